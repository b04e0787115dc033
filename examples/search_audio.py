"""Search the settings of the audio network with whole locations held out.

Takes a set in the layout of TAU Urban Audio-Visual Scenes with official folds, and searches inside
the training clips of one fold, so that its test clips stay unseen until the end::

    python search_audio.py data/avsc-mini --fold 1 --duration 5 --channels mono

Successive halving (`HalvingRandomSearchCV`) trains many settings for a few epochs and goes on with
the better third for three times as many. Features are settings like any other: each kind is
computed once, and comes from the cache after that.
"""

import argparse
import os
from pathlib import Path

# TensorFlow greets on the error stream unless it is told not to before it loads.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pandas as pd
from scipy.stats import loguniform
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import HalvingRandomSearchCV, StratifiedGroupKFold
from sklearn.pipeline import Pipeline

from skavsc import (
    AudioSceneClassifier,
    GammatoneMelTransformer,
    load_tau_urban_av,
    macro_log_loss_scorer,
)
from skavsc.training.augmentation import FilterAugment, Mixup, SpecAugment

SETTINGS = {
    "features__filterbank": ["gammatone", "mel"],
    "features__f_max": [None, 8000.0],
    "classifier__learning_rate": loguniform(5e-4, 5e-3),
    "classifier__batch_size": [8, 16, 32],
    "classifier__augmentation__mixup__alpha": [0.0, 0.2, 0.4],
    "classifier__augmentation__mixup__domain": ["decibels", "power"],
    "classifier__augmentation__filteraugment__gain": [0.0, 0.15],
    "classifier__augmentation__specaugment__time_mask": [0, 10],
    "classifier__augmentation__specaugment__frequency_mask": [0, 12],
    "classifier__dropout": [0.0, 0.2],
    "classifier__label_smoothing": [0.0, 0.1],
}


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("--fold", type=int, default=1, help="the official fold")
    parser.add_argument("--duration", type=float, default=10.0, help="seconds of each clip")
    parser.add_argument("--channels", choices=["lrd", "hpd", "mono", "stereo"], default="lrd")
    parser.add_argument("--filters", type=int, nargs=3, default=[32, 64, 128])
    parser.add_argument("--candidates", type=int, default=9, help="settings to begin with")
    parser.add_argument("--epochs", type=int, nargs=2, default=[20, 180], help="first and last")
    parser.add_argument("--cache", default="skavsc-cache", help="where features are kept")
    options = parser.parse_args()

    clips = load_tau_urban_av(options.root, subset="all")
    train, test = list(clips.cv)[options.fold - 1]
    X, y, groups = clips.X.iloc[train], clips.y[train], clips.groups[train]
    pipeline = Pipeline(
        [
            (
                "features",
                GammatoneMelTransformer(
                    channels=options.channels, duration=options.duration, memory=options.cache
                ),
            ),
            (
                "classifier",
                AudioSceneClassifier(
                    filters=options.filters,
                    augmentation=[Mixup(), FilterAugment(), SpecAugment()],
                    random_state=0,
                ),
            ),
        ]
    )
    first, last = options.epochs
    search = HalvingRandomSearchCV(
        pipeline,
        SETTINGS,
        n_candidates=options.candidates,
        resource="classifier__epochs",
        min_resources=first,
        max_resources=last,
        factor=3,
        cv=StratifiedGroupKFold(3),
        scoring=macro_log_loss_scorer,
        # On a set too small to hold anything out, every score would be NaN and one the best.
        error_score="raise",
        random_state=0,
        verbose=2,
    )
    # The first groups are those of the search's folds, the others those that each training holds
    # out of its own clips to stop by.
    search.fit(X, y, groups=groups, classifier__groups=groups)

    found = pd.DataFrame(search.cv_results_)
    names = [f"param_{name}" for name in SETTINGS]
    columns = ["iter", "n_resources", "mean_test_score", "std_test_score", *names]
    shown = found[columns].sort_values(["iter", "mean_test_score"], ascending=False)
    print(shown.rename(columns=lambda name: name.split("__")[-1]).to_string(index=False))
    print(f"\nbest: {search.best_params_}")
    accuracy = search.best_estimator_.score(clips.X.iloc[test], clips.y[test])
    print(f"accuracy on the {len(test)} test clips of fold {options.fold}: {accuracy:.3f}")


if __name__ == "__main__":
    main()

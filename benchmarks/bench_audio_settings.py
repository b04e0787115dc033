"""Which settings of the audio network help on a small set, and what the chosen ones reach.

Takes a set in the layout of TAU Urban Audio-Visual Scenes with official folds. Inside the training
clips of each fold, settings that build on each other are compared with whole recordings held out.
With ``--test`` the one with the lowest log loss there is trained on all training clips of the fold
and tested once::

    OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 \
        python benchmarks/bench_audio_settings.py ROOT --duration 5 --jobs 2

"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import Pipeline

from skavsc import (
    AudioSceneClassifier,
    GammatoneMelTransformer,
    accuracy_interval,
    format_results,
    load_tau_urban_av,
    macro_log_loss,
    results_table,
)
from skavsc.training.augmentation import FilterAugment, Mixup

# Each step changes the setting before it.
STEPS = {
    "as published, batches of 16": {"epochs": 120, "batch_size": 16},
    "log-mel": {"filterbank": "mel"},
    "bands to 8 kHz": {"f_max": 8000.0},
    "cosine, none held out": {"rate_schedule": "cosine", "validation_fraction": 0, "epochs": 100},
    "learning rate 3e-3": {"learning_rate": 3e-3},
    "mixup 0.2": {"augmentation": [Mixup(0.2)]},
    "200 epochs": {"epochs": 200},
    "random filters": {"augmentation": [Mixup(0.2), FilterAugment(gain=0.15)]},
    "geometric mean of seconds": {"clip_average": "geometric"},
    "clean statistics": {"clean_statistics": True},
    "mixup of powers, 0.4": {
        "augmentation": [Mixup(0.4, domain="power"), FilterAugment(gain=0.15)]
    },
    "400 epochs": {"epochs": 400},
    "overlapping seconds": {"starts_per_second": 5},
}
OF_FEATURES = ("filterbank", "f_max")


def candidates(options: argparse.Namespace) -> dict[str, Pipeline]:
    """Build a pipeline from clips to scenes for every step."""
    settings: dict[str, object] = {}
    found = {}
    for name, change in STEPS.items():
        settings.update(change)
        if options.steps and name not in options.steps:
            continue
        sound = {key: value for key, value in settings.items() if key in OF_FEATURES}
        training = {key: value for key, value in settings.items() if key not in OF_FEATURES}
        transformer = GammatoneMelTransformer(
            channels="mono", duration=options.duration, memory=options.cache, **sound
        )
        classifier = AudioSceneClassifier(
            filters=options.filters, random_state=options.seed, **training
        )
        found[name] = Pipeline([("features", transformer), ("classifier", classifier)])
    return found


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("--duration", type=float, default=10.0, help="seconds of each clip")
    parser.add_argument("--folds", type=int, nargs="+", help="official folds, by default all")
    parser.add_argument("--filters", type=int, nargs=3, default=[32, 64, 128])
    parser.add_argument("--splits", type=int, default=3, help="of three inside each fold")
    parser.add_argument("--steps", nargs="+", choices=STEPS, help="of the settings, by default all")
    parser.add_argument("--test", action="store_true", help="test the best of each fold")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", default="skavsc-cache", help="where features are kept")
    options = parser.parse_args()

    clips = load_tau_urban_av(options.root, subset="all")
    inside, tested = [], []
    for fold, (train, test) in enumerate(clips.cv, start=1):
        if options.folds and fold not in options.folds:
            continue
        X, y, groups = clips.X.iloc[train], clips.y[train], clips.groups[train]
        pipelines = candidates(options)
        splits = StratifiedGroupKFold(3, shuffle=True, random_state=options.seed)
        table = results_table(
            pipelines,
            X,
            y,
            groups=groups,
            cv=list(splits.split(y, y, groups))[: options.splits],
            n_jobs=options.jobs,
            verbose=1,
        )
        print(f"\nfold {fold}, inside its {len(train)} training clips\n{format_results(table)}")
        best = table["macro_log_loss"].idxmin()
        print(f"lowest log loss: {best}")
        inside.append(table)
        if options.test:
            chosen = pipelines[best].fit(X, y, classifier__groups=groups)
            truth, scores = clips.y[test], chosen.predict_proba(clips.X.iloc[test])
            accuracy = float((chosen.classes_[scores.argmax(axis=1)] == truth).mean())
            loss = macro_log_loss(truth, scores, labels=chosen.classes_)
            print(f"on {len(test)} test clips: accuracy {accuracy:.3f}, log loss {loss:.3f}")
            tested.append((accuracy, loss, len(test)))
    means = sum(table[["accuracy", "macro_log_loss"]] for table in inside) / len(inside)
    print(f"\nmeans inside the training clips\n{means.round(3).to_string()}")
    if tested:
        results = pd.DataFrame(tested, columns=["accuracy", "macro_log_loss", "n_clips"])
        accuracy, n_clips = results["accuracy"].mean(), int(results["n_clips"].sum())
        low, high = accuracy_interval(accuracy, n_clips)
        print(
            f"\ntest: accuracy {accuracy:.3f} ({low:.3f} to {high:.3f}, {n_clips} clips), "
            f"macro log loss {results['macro_log_loss'].mean():.3f}"
        )


if __name__ == "__main__":
    main()

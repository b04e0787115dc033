"""What the fusion makes of subnetworks that know their training clips by heart.

Takes a set in the layout of TAU Urban Audio-Visual Scenes with official folds. Inside the training
clips of each fold, a third of whose recordings is held out, the subnetworks are trained once for
all settings of the fusion that are compared; but where clips are held out to stop the fusion by,
the subnetworks are trained without them too::

    OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 \
        python benchmarks/bench_fusion_settings.py ROOT --duration 5 \
        --network squeezenet11 --weights squeezenet_places365.npz

What is trained is kept, so that a run that is cut short goes on where it was; but for
``--stacked``, which tries `LateFusionClassifier` on the same subnetworks, fitted four times each.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline

from skavsc import (
    AudioSceneClassifier,
    GammatoneMelTransformer,
    ImageEmbedder,
    LateFusionClassifier,
    ModalityUnion,
    SECRNNClassifier,
    VideoFrameSampler,
    VisualSceneClassifier,
    cross_validate_secrnn,
    load_tau_urban_av,
    results_table,
)
from skavsc.training.augmentation import FilterAugment, Mixup

SETTINGS = {
    "as in the table": {},
    "mixup 0.4": {"augmentation": [Mixup(0.4)]},
    "mixup 1.0": {"augmentation": [Mixup(1.0)]},
    "label smoothing 0.1": {"label_smoothing": 0.1},
    "learning rate 1e-4": {"learning_rate": 1e-4},
    "clips held out": {"validation_fraction": 0.15, "rate_schedule": "halving"},
}
STACKED = "LateFusionClassifier"


def subnetworks(options: argparse.Namespace) -> tuple[AudioSceneClassifier, VisualSceneClassifier]:
    """Build the subnetworks as for the table of small sets."""
    audio = AudioSceneClassifier(
        filters=options.filters,
        batch_size=16,
        epochs=options.audio_epochs,
        learning_rate=3e-3,
        rate_schedule="cosine",
        augmentation=[Mixup(0.4, domain="power"), FilterAugment(gain=0.15)],
        clean_statistics=True,
    )
    return audio, VisualSceneClassifier(learning_rate=1e-3, epochs=80, rate_schedule="cosine")


def framework(options: argparse.Namespace, setting: dict[str, object]) -> SECRNNClassifier:
    """Build the framework as for that table, but for the setting."""
    known = {
        "learning_rate": 1e-3,
        "epochs": 30,
        "rate_schedule": "cosine",
        "validation_fraction": 0,
        "random_state": options.seed,
    }
    return SECRNNClassifier(*subnetworks(options), **(known | setting))


def stacked(options: argparse.Namespace) -> LateFusionClassifier:
    """Build the fusion that learns from what the subnetworks say of clips unknown to them."""
    parts = zip(("audio", "visual"), subnetworks(options), strict=True)
    whole = {"validation_fraction": 0, "random_state": options.seed}
    return LateFusionClassifier(
        [(name, part.set_params(**whole)) for name, part in parts], cv=3, random_state=options.seed
    )


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("--network", choices=["vgg16", "squeezenet11"], default="vgg16")
    parser.add_argument("--weights", default="places365", help="of the image network: a file")
    parser.add_argument("--duration", type=float, default=10.0, help="seconds of each clip")
    parser.add_argument("--features", nargs="+", default=["mel"])
    parser.add_argument("--folds", type=int, nargs="+", help="official folds, by default all")
    parser.add_argument("--filters", type=int, nargs=3, default=[32, 64, 128])
    parser.add_argument("--audio-epochs", type=int, default=400)
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--stacked", action="store_true", help="LateFusionClassifier alone")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("skavsc-fusion"), help="what is kept")
    options = parser.parse_args()

    kept = {"memory": options.work / "features"}
    picture = make_pipeline(
        VideoFrameSampler(duration=options.duration),
        ImageEmbedder(options.network, weights=options.weights, **kept),
    )
    clips = load_tau_urban_av(options.root, subset="all")
    features = {}
    for filterbank in options.features:
        sound = GammatoneMelTransformer(
            filterbank, channels="mono", f_max=8000.0, duration=options.duration, **kept
        )
        union = ModalityUnion([("audio", sound), ("visual", picture)])
        features[filterbank] = union.fit_transform(clips.X)
    names = [STACKED] if options.stacked else options.settings
    tables: dict[str, list[pd.DataFrame]] = {name: [] for name in names}
    for fold, (train, _) in enumerate(clips.cv, start=1):
        if options.folds and fold not in options.folds:
            continue
        y, groups = clips.y[train], clips.groups[train]
        splits = StratifiedGroupKFold(3, shuffle=True, random_state=options.seed)
        inside = list(splits.split(y, y, groups))[:1]
        for name in names:
            if options.stacked:
                table = pd.concat(
                    results_table({kind: stacked(options)}, X[train], y, groups=groups, cv=inside)
                    for kind, X in features.items()
                )
            else:
                table = cross_validate_secrnn(
                    framework(options, SETTINGS[name]),
                    {kind: X[train] for kind, X in features.items()},
                    y,
                    groups=groups,
                    cv=inside,
                    memory=options.work / "networks",
                    verbose=1,
                )
            tables[name].append(table[["accuracy", "macro_log_loss"]])
            print(f"\nfold {fold}, {name}\n{tables[name][-1].round(3).to_string()}", flush=True)
    means = pd.concat({name: sum(found) / len(found) for name, found in tables.items()})
    print(f"\nmeans inside the training clips\n{means.round(3).to_string()}")


if __name__ == "__main__":
    main()

r"""The published results table on a set in the layout of TAU Urban Audio-Visual Scenes.

Trains the audio network on log-mel and on gammatone features, the visual network, and the early and
late fusion of each, on the official folds, and prints accuracy with its 95 % interval and macro log
loss beside the published figures. Training stops by locations that are held out of the training
clips; the test clips are looked at once, for the table::

    python reproduce_table.py TAU-urban-audio-visual-scenes-2021-development \
        --weights vgg16-places365_weights_tf_dim_ordering_tf_kernels_notop.h5 --unit segment

Features and every trained network are kept in a folder (``--work``): run the same command again
after an interruption, and it goes on with the network that it was at.

With ``--fine-tune-images`` the image network is trained too before the fusion, as the published one
is (of one fold, and slow without a GPU); with ``--fusion '{"fine_tune": "all"}'`` besides, all of
it together at the end.

Sets unlike that one need other settings, given as JSON. A small set of 5 s clips with mono sound
that holds nothing above 8 kHz, and an image network of its own::

    python reproduce_table.py data/avsc-mini --network squeezenet11 \
        --weights data/squeezenet_places365.npz --duration 5 \
        --sound '{"channels": "mono", "f_max": 8000}' --audio '{"batch_size": 16}' \
        --visual '{"learning_rate": 1e-3, "epochs": 80}' \
        --fusion '{"learning_rate": 1e-3, "epochs": 30}'
"""

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# TensorFlow greets on the error stream unless it is told not to before it loads.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import joblib
import numpy as np
import pandas as pd
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from skavsc import (
    AudioSceneClassifier,
    GammatoneMelTransformer,
    ImageEmbedder,
    ModalityUnion,
    SECRNNClassifier,
    VideoFrameSampler,
    VisualSceneClassifier,
    cross_validate_secrnn,
    format_results,
    load_tau_urban_av,
)
from skavsc.evaluation import PUBLISHED_ACCURACY
from skavsc.training.augmentation import FilterAugment, Mixup

FILTERBANKS = {"log-mel": "mel", "gammatone": "gammatone"}


def image_embedder(options: argparse.Namespace) -> ImageEmbedder:
    """Build what turns frames into embeddings."""
    return ImageEmbedder(
        options.network, weights=options.weights, memory=options.work / "features", verbose=1
    )


def extracted(clips: pd.DataFrame, options: argparse.Namespace) -> dict[str, Any]:
    """Compute both kinds of features; the picture once, as it is the same in both."""
    shared = {"memory": options.work / "features", "verbose": 1}
    steps: list[tuple[str, Any]] = [("frames", VideoFrameSampler(duration=options.duration))]
    if not options.fine_tune_images:
        steps.append(("embedding", image_embedder(options)))
    picture = Pipeline(steps)
    features: dict[str, Any] = {}
    for kind in options.features:
        sound = GammatoneMelTransformer(
            FILTERBANKS[kind], duration=options.duration, n_jobs=-1, **shared, **options.sound
        )
        if not features:
            union = ModalityUnion([("audio", sound), ("visual", picture)])
            features[kind] = union.fit_transform(clips)
        else:
            features[kind] = next(iter(features.values())).copy()
            features[kind]["audio"] = sound.fit_transform(clips)
    return features


def fitted(classifier: Any, X: Any, y: Any, groups: Any) -> Any:
    """Fit a classifier, in a function whose outcome can be kept."""
    return classifier.fit(X, y, groups=groups)


def main(arguments: Sequence[str] | None = None) -> pd.DataFrame:
    """Run the example and return its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("--network", choices=["vgg16", "squeezenet11"], default="vgg16")
    parser.add_argument(
        "--weights",
        default="places365",
        help="of the image network: a file, or places365, which fetches those of VGG16 (default)",
    )
    parser.add_argument("--features", nargs="+", choices=FILTERBANKS, default=list(FILTERBANKS))
    parser.add_argument("--duration", type=float, default=10.0, help="seconds of each clip")
    parser.add_argument(
        "--unit",
        choices=["clip", "segment"],
        default="clip",
        help="what is scored (default clip; the published figures are of segments)",
    )
    for name, of in (
        ("sound", "GammatoneMelTransformer"),
        ("audio", "AudioSceneClassifier"),
        ("visual", "VisualSceneClassifier"),
        ("fusion", "SECRNNClassifier"),
    ):
        parser.add_argument(
            f"--{name}", type=json.loads, default={}, help=f"parameters of {of}, as JSON"
        )
    parser.add_argument("--fold", type=int, help="one official fold only, from 1")
    parser.add_argument(
        "--fine-tune-images",
        action="store_true",
        help="train the image network too, as the published one was; of one fold",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("skavsc-table"), help="what is kept")
    options = parser.parse_args(arguments)

    clips = load_tau_urban_av(options.root, subset="all")
    folds = list(clips.cv)
    if options.fold is not None:
        folds = [folds[options.fold - 1]]
    if options.fine_tune_images and len(folds) > 1:
        parser.error(f"--fine-tune-images trains for one fold, of {len(folds)}; give --fold")
    features = extracted(clips.X, options)

    visual: Any = VisualSceneClassifier().set_params(**options.visual)
    embedder = None
    if options.fine_tune_images:
        visual.set_params(
            fine_tune="all", embedder=image_embedder(options), random_state=options.seed
        )
        frames = next(iter(features.values()))["visual"]
        train, _ = folds[0]
        keep = joblib.Memory(str(options.work / "networks"), verbose=0).cache
        trained = keep(fitted)(visual, frames[train], clips.y[train], clips.groups[train])
        visual = FrozenEstimator(trained)
        # The framework is given frames then, and is to see them as the trained network does.
        embedder = FrozenEstimator(trained.embedder_)
    framework = SECRNNClassifier(
        AudioSceneClassifier(augmentation=[Mixup(), FilterAugment(gain=0)]).set_params(
            **options.audio
        ),
        visual,
        embedder=embedder,
        random_state=options.seed,
        **options.fusion,
    )
    table = cross_validate_secrnn(
        framework,
        features,
        clips.y,
        groups=clips.groups,
        cv=folds,
        unit=options.unit,
        memory=options.work / "networks",
        verbose=1,
    )
    table.to_csv(options.work / "table.csv")
    print(f"\n{len(folds)} of {len(clips.cv)} official folds, {np.unique(clips.y).size} scenes")
    print(format_results(table, published=PUBLISHED_ACCURACY))
    return table


if __name__ == "__main__":
    main()

"""Train and compare on a folder of your own clips, save the best model and use it.

The folder holds one folder a label, with media files that have both sound and picture, or pairs in
``audio/`` and ``video/``::

    clips/tram/monday.mp4
    clips/tram/tuesday.mp4
    clips/park/pond.mp4
    ...

    python own_clips.py clips --weights vgg16-places365_weights_tf_dim_ordering_tf_kernels_notop.h5

Clips of one place must share the beginning of their names up to the last hyphen (``pond-1.mp4``,
``pond-2.mp4``), so that no place is in training and test at once.
"""

import argparse
from pathlib import Path

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import Pipeline

import skavsc
from skavsc import (
    AudioSceneClassifier,
    GammatoneMelTransformer,
    ModalityUnion,
    SECRNNClassifier,
    VGGPlacesEmbedder,
    VideoFrameSampler,
    VisualSceneClassifier,
    cross_validate_secrnn,
    format_results,
    load_clip_folder,
)


def place(stem: str) -> str:
    """Return the recording location of a clip: its name up to the last hyphen."""
    return stem.rpartition("-")[0] or stem


def features_of(filterbank: str, options: argparse.Namespace) -> ModalityUnion:
    """Build the transformer from a clip table to the features of sound and picture."""
    shared = {"memory": options.cache, "verbose": 1}
    weights = None if options.weights == "none" else options.weights
    sound = GammatoneMelTransformer(filterbank, duration=options.duration, n_jobs=-1, **shared)
    picture = Pipeline(
        [
            ("frames", VideoFrameSampler(duration=options.duration)),
            ("embedding", VGGPlacesEmbedder(weights, **shared)),
        ]
    )
    return ModalityUnion([("audio", sound), ("visual", picture)])


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--weights",
        default="places365",
        help="a file of weights of VGG16; places365 to fetch them; none for an untrained one",
    )
    parser.add_argument("--duration", type=float, default=10.0, help="seconds of each clip")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--cache", default="skavsc-cache", help="where features are kept")
    parser.add_argument("--model", default="model.skops", help="where the model is saved")
    options = parser.parse_args()

    clips = load_clip_folder(options.folder, groups=place)
    # Places of different labels may have the same name.
    groups = np.array(
        [f"{label}/{name}" for label, name in zip(clips.y, clips.groups, strict=True)]
    )
    print(f"{len(clips.X)} clips, {len(clips.target_names)} labels, {len(set(groups))} places")
    kinds = {"log-mel": "mel", "gammatone": "gammatone"}
    features = {
        kind: features_of(filterbank, options).fit_transform(clips.X)
        for kind, filterbank in kinds.items()
    }
    framework = SECRNNClassifier(
        AudioSceneClassifier(batch_size=16, epochs=options.epochs),
        VisualSceneClassifier(learning_rate=1e-3, epochs=options.epochs),
        learning_rate=1e-3,
        epochs=options.epochs,
        random_state=0,
    )
    table = cross_validate_secrnn(
        framework,
        features,
        clips.y,
        groups=groups,
        cv=StratifiedGroupKFold(options.folds),
        verbose=1,
    )
    print(format_results(table))

    model = Pipeline([("features", features_of("gammatone", options)), ("classifier", framework)])
    model.fit(clips.X, clips.y, classifier__groups=groups)
    skavsc.save(model, options.model)
    print(f"late fusion on gammatone features, fitted on all clips: {options.model}")
    for path, label in zip(clips.X["video"][:5], model.predict(clips.X[:5]), strict=True):
        print(f"  {path}: {label}")


if __name__ == "__main__":
    main()

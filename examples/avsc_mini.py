"""The published table on real sounds and photos, with a small image network.

Takes a set in the layout of TAU Urban Audio-Visual Scenes with official folds, here one of 240
clips of 5 s whose sounds are mono, and the weights of SqueezeNet 1.1 trained on Places365::

    python avsc_mini.py data/avsc-mini data/squeezenet_places365.npz

Prints accuracy and macro log loss of the audio network, the visual network and their early and
late fusion over the folds. Features are kept in a cache; the networks take some minutes a fold.
"""

import argparse
import os
from pathlib import Path

# TensorFlow greets on the error stream unless it is told not to before it loads.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from sklearn.pipeline import Pipeline

from skavsc import (
    AudioSceneClassifier,
    GammatoneMelTransformer,
    ImageEmbedder,
    ModalityUnion,
    SECRNNClassifier,
    VideoFrameSampler,
    VisualSceneClassifier,
    format_published,
    format_results,
    load_tau_urban_av,
    published_table,
)


def features_of(filterbank: str, options: argparse.Namespace) -> ModalityUnion:
    """Build the transformer; the recordings are mono, so left and right would be the same."""
    shared = {"memory": options.cache, "verbose": 1}
    sound = GammatoneMelTransformer(filterbank, "mono", duration=options.duration, **shared)
    picture = Pipeline(
        [
            ("frames", VideoFrameSampler(duration=options.duration)),
            ("embedding", ImageEmbedder("squeezenet11", weights=options.weights, **shared)),
        ]
    )
    return ModalityUnion([("audio", sound), ("visual", picture)])


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--filterbank", choices=["gammatone", "mel"], default="gammatone")
    parser.add_argument("--duration", type=float, default=5.0, help="seconds of each clip")
    parser.add_argument("--audio-epochs", type=int, default=160)
    parser.add_argument("--cache", default="skavsc-cache", help="where features are kept")
    options = parser.parse_args()

    clips = load_tau_urban_av(options.root, subset="all")
    features = features_of(options.filterbank, options).fit_transform(clips.X)
    framework = SECRNNClassifier(
        # Nine steps an epoch on 136 clips: more of them than the published batch of 32 gives.
        AudioSceneClassifier(batch_size=16, epochs=options.audio_epochs, rate_patience=30),
        VisualSceneClassifier(learning_rate=1e-3, epochs=80),
        learning_rate=1e-3,
        epochs=30,
        random_state=0,
    )
    table = published_table(
        {options.filterbank: features},
        clips.y,
        groups=clips.groups,
        cv=clips.cv,
        framework=framework,
        verbose=1,
    )
    print(format_published(table))
    print(format_results(table.droplevel("features")))


if __name__ == "__main__":
    main()

r"""The challenge's baseline, made of scikit-learn parts, on a set in TAU's layout.

The baseline of DCASE 2021 task 1b has a perceptron of 512, 128 and 64 units for each modality, on
embeddings of sound and picture by frozen networks (OpenL3 there), and a layer that joins them. Here
the perceptrons are scikit-learn's, on the mean embedding of a clip, and the layer is a logistic
regression on their probabilities out of fold::

    python challenge_baseline.py TAU-urban-audio-visual-scenes-2021-development \
        --audio-model yamnet.onnx --image-model mobilenet_v2.onnx

Networks that are in files of your own, such as OpenL3 saved as ONNX, need to have said what they
were trained with, as JSON::

    python challenge_baseline.py ROOT \
        --audio-model openl3_audio.onnx \
        --audio '{"sample_rate": 48000, "window": 1.0, "hop": 0.1}' \
        --image-model openl3_image.onnx --image '{"preprocessing": [[127.5, 127.5, 127.5],
                                                                    [127.5, 127.5, 127.5]]}'

The challenge's own figures for its baseline are an accuracy of 77.1 % and a log loss of 0.662, for
segments of one second of the evaluation set.
"""

import argparse
import json
from typing import Any

from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from skavsc import (
    AudioEmbedder,
    ImageEmbedder,
    LateFusionClassifier,
    ModalityUnion,
    TimePooling,
    VideoFrameSampler,
    cross_validate_scenes,
    load_tau_urban_av,
)


def baseline(options: argparse.Namespace) -> Pipeline:
    """Build the baseline, from a clip table to labels."""
    kept = {"memory": options.cache, "n_jobs": options.jobs, "verbose": 1}
    sound = AudioEmbedder(options.audio_model, duration=options.duration, **kept, **options.audio)
    picture = make_pipeline(
        VideoFrameSampler(fps=1, duration=options.duration),
        ImageEmbedder(options.image_model, **kept, **options.image),
    )
    perceptron = MLPClassifier((512, 128, 64), max_iter=options.epochs, random_state=options.seed)
    branch = make_pipeline(TimePooling(["mean"]), StandardScaler(), perceptron)
    fusion = LateFusionClassifier(
        [("audio", branch), ("visual", branch)],
        LogisticRegression(),
        cv=options.folds,
        random_state=options.seed,
    )
    features = ModalityUnion([("audio", sound), ("visual", picture)])
    return Pipeline([("features", features), ("classifier", fusion)])


def main(arguments: list[str] | None = None) -> Any:
    """Run the example, and return its report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", help="the folder with meta.csv")
    parser.add_argument("--audio-model", default="yamnet")
    parser.add_argument("--audio", type=json.loads, default={}, help="of AudioEmbedder, as JSON")
    parser.add_argument("--image-model", default="clip-vit-base-patch32")
    parser.add_argument("--image", type=json.loads, default={}, help="of ImageEmbedder, as JSON")
    parser.add_argument("--duration", type=float, default=10.0, help="seconds of each clip")
    parser.add_argument("--epochs", type=int, default=200, help="at most, of a perceptron")
    parser.add_argument("--folds", type=int, default=5, help="inner ones of the fusion")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, help="clips at the same time")
    parser.add_argument("--cache", default="skavsc-cache", help="where embeddings are kept")
    options = parser.parse_args(arguments)

    clips = load_tau_urban_av(options.root, subset="all")
    report = cross_validate_scenes(
        baseline(options),
        clips.X,
        clips.y,
        groups=clips.groups,
        cv=list(clips.cv),
        modalities=("audio", "video"),
    )
    print(report)
    return report


if __name__ == "__main__":
    main()

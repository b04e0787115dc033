"""What louder and quieter sound does to each recipe's predictions, sound alone.

Takes a set in the layout of TAU Urban Audio-Visual Scenes with official folds. Each recipe is
fitted on the training clips as they are, and predicts the test clips as they are and times a gain,
cut off at full scale as a file would be::

    OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 \
        python benchmarks/bench_levels.py ROOT --duration 5 --sound-model yamnet.onnx
"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from skavsc import load_tau_urban_av, macro_log_loss, make_scene_classifier
from skavsc.media import read_sound

GAINS = (1.0, 0.1, 10.0)


def recipes(options: argparse.Namespace) -> dict[str, Pipeline]:
    """Build each recipe, and the embeddings at a set level."""
    shared = {"modalities": ["audio"], "duration": options.duration, "random_state": 0}
    embeddings = {**shared, "audio_model": options.sound_model, "C": 0.1}
    found = {
        "embeddings": make_scene_classifier("embeddings", **embeddings),
        "embeddings, level -30 dBFS": make_scene_classifier("embeddings", **embeddings),
        "statistics": make_scene_classifier("statistics", **shared, C=0.01),
        "published": make_scene_classifier("published", **shared),
    }
    found["embeddings, level -30 dBFS"].set_params(features__level=-30.0)
    found["published"].set_params(
        features__channels="mono",
        features__f_max=8000.0,
        classifier__filters=options.filters,
        classifier__epochs=options.epochs,
        classifier__batch_size=16,
        classifier__learning_rate=3e-3,
        classifier__rate_schedule="cosine",
        classifier__validation_fraction=0,
        classifier__clean_statistics=True,
    )
    return {name: found[name] for name in options.recipes or found}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root")
    parser.add_argument("--sound-model", default="yamnet", help="the frozen network")
    parser.add_argument("--duration", type=float, default=10.0, help="seconds of each clip")
    parser.add_argument("--recipes", nargs="+", help="by name, by default all")
    parser.add_argument("--filters", type=int, nargs=3, default=[32, 64, 128])
    parser.add_argument("--epochs", type=int, default=100, help="of the published network")
    options = parser.parse_args()

    clips = load_tau_urban_av(options.root, subset="all")
    sounds = [read_sound(path, duration=options.duration) for path in clips.X["audio"]]
    rows = []
    for name, pipeline in recipes(options).items():
        for fold, (train, test) in enumerate(clips.cv, start=1):
            pipeline.fit([sounds[i] for i in train], clips.y[train])
            as_it_is = None
            for gain in GAINS:
                changed = [(np.clip(gain * sounds[i][0], -1, 1), sounds[i][1]) for i in test]
                probabilities = pipeline.predict_proba(changed)
                predicted = pipeline.classes_[probabilities.argmax(axis=1)]
                as_it_is = predicted if as_it_is is None else as_it_is
                loss = macro_log_loss(clips.y[test], probabilities, labels=pipeline.classes_)
                rows.append(
                    {
                        "recipe": name,
                        "gain": gain,
                        "fold": fold,
                        "accuracy": np.mean(predicted == clips.y[test]),
                        "macro_log_loss": loss,
                        "labels changed": np.mean(predicted != as_it_is),
                    }
                )
        means = pd.DataFrame(rows).groupby(["recipe", "gain"], sort=False).mean()
        print(means.drop(columns="fold").loc[name].round(3).to_string(), name, flush=True)


if __name__ == "__main__":
    main()

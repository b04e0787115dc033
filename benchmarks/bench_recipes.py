"""Cross-validate the recipe with frozen networks on a set in TAU's layout, its official folds.

python benchmarks/bench_recipes.py ROOT --audio-model yamnet.onnx --image-model mobilenet.onnx
"""

import argparse
import time

from skavsc import load_tau_urban_av, make_scene_classifier
from skavsc.evaluation import cross_validate_scenes


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root")
    parser.add_argument("--audio-model", required=True)
    parser.add_argument("--image-model", required=True)
    parser.add_argument("--duration", type=float, default=5.0)
    parser.add_argument("--cache")
    options = parser.parse_args()
    clips = load_tau_urban_av(options.root, subset="all")
    for modalities in (["audio"], ["audio", "visual"]):
        started = time.perf_counter()
        pipeline = make_scene_classifier(
            "embeddings",
            modalities=modalities,
            audio_model=options.audio_model,
            image_model=options.image_model,
            duration=options.duration,
            memory=options.cache,
            n_jobs=2,
            random_state=0,
        )
        report = cross_validate_scenes(
            pipeline, clips.X, clips.y, groups=clips.groups, cv=list(clips.cv)
        )
        clip = report.summary().loc["clips"]
        print(
            f"{' + '.join(modalities):16} accuracy {clip['accuracy']:.4f}, macro log loss "
            f"{clip['macro_log_loss']:.4f}, {time.perf_counter() - started:.0f} s"
        )


if __name__ == "__main__":
    main()

r"""Cross-validate the recipe with frozen networks on a set in TAU's layout, its official folds.

python benchmarks/bench_recipes.py ROOT --audio-model yamnet.onnx --image-model mobilenet.onnx
python benchmarks/bench_recipes.py ROOT --audio-model yamnet.onnx --image-model squeezenet11 \
    --image-weights squeezenet_places365.npz
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
    parser.add_argument("--image-weights", help="a file, for an image network without weights")
    parser.add_argument("--duration", type=float, default=5.0)
    parser.add_argument("--C", type=float, help="a strength, in place of one chosen inside")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--cache")
    options = parser.parse_args()
    clips = load_tau_urban_av(options.root, subset="all")
    for modalities in (["audio"], ["visual"], ["audio", "visual"]):
        started, used = time.perf_counter(), time.process_time()
        pipeline = make_scene_classifier(
            "embeddings",
            modalities=modalities,
            audio_model=options.audio_model,
            image_model=options.image_model,
            duration=options.duration,
            C=options.C,
            memory=options.cache,
            n_jobs=options.jobs,
            random_state=0,
        )
        embedding = (
            "features__embedding" if modalities == ["visual"] else "features__visual__embedding"
        )
        if options.image_weights and "visual" in modalities:
            pipeline.set_params(**{f"{embedding}__weights": options.image_weights})
        report = cross_validate_scenes(
            pipeline, clips.X, clips.y, groups=clips.groups, cv=list(clips.cv)
        )
        clip = report.summary().loc["clips"]
        print(
            f"{' + '.join(modalities):16} accuracy {clip['accuracy']:.4f}, macro log loss "
            f"{clip['macro_log_loss']:.4f}, {time.perf_counter() - started:.0f} s, "
            f"{time.process_time() - used:.0f} s of this process's processor time"
        )


if __name__ == "__main__":
    main()

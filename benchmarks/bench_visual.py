"""Frames against OpenCV, and VGG16 on each runtime against Keras ``predict``.

Each pair is timed in turn, round after round, in one process; the figure is the median of the
rounds' ratios, so that a machine that is busy for a while slows both sides. Run it as
``python benchmarks/bench_visual.py [--rounds 5] [--weights FILE]``.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import joblib
import numpy as np

from skavsc.exceptions import UntrainedWeightsWarning
from skavsc.media import read_frames, write_clip
from skavsc.networks import vgg16_base
from skavsc.pretrained import installed_runtimes, open_keras
from skavsc.visual import VGGPlacesEmbedder
from skavsc.visual._image_network import preprocess

FPS, SECONDS, SIZE = 5, 10, 224


def interleaved(
    baseline: Callable[[], Any], ours: Callable[[], Any], rounds: int
) -> tuple[float, float, str]:
    """Give the median seconds of both, and the medians of the rounds' ratios as text."""
    rows = []
    for _ in range(rounds):
        row = []
        for run in (baseline, ours):
            start = time.perf_counter(), time.process_time()
            run()
            row.append((time.perf_counter() - start[0], time.process_time() - start[1]))
        rows.append(row)
    seconds = np.array(rows)  # rounds, sides, (clock, processor)
    clock, processor = np.median(seconds[:, 0] / seconds[:, 1], axis=0)
    theirs_s, ours_s = np.median(seconds[:, :, 0], axis=0)
    return theirs_s, ours_s, f"ratio {clock:.2f} (processor time {processor:.2f})"


def moving_texture(rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Ten seconds of 1280 x 720 at 30 frames a second: texture, a moving disc, sensor noise."""
    blotches = cv2.GaussianBlur(rng.integers(0, 256, (1020, 1900, 3)).astype(np.uint8), (0, 0), 2)
    texture = cv2.normalize(blotches, None, 0, 255, cv2.NORM_MINMAX)
    for i in range(30 * SECONDS):
        frame = texture[i : i + 720, 2 * i : 2 * i + 1280].copy()
        centre = (int(600 + 300 * np.sin(i / 20)), int(300 + 100 * np.cos(i / 9)))
        cv2.circle(frame, centre, 80, (255, 0, 0), -1)
        noisy = frame.astype(np.int16) + rng.integers(-5, 6, frame.shape)
        yield np.clip(noisy, 0, 255).astype(np.uint8)


def opencv_loop(path: Path) -> np.ndarray:
    """Grab every frame, retrieve and resize every sixth, as scripts usually do."""
    capture = cv2.VideoCapture(str(path))
    frames = []
    number = 0
    while capture.grab():
        if number % 6 == 0:
            _, frame = capture.retrieve()
            frames.append(cv2.resize(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), (SIZE, SIZE)))
        number += 1
    return np.stack(frames)


def bench_frames(rounds: int) -> None:
    """Time the frames of one clip."""
    with tempfile.TemporaryDirectory() as folder:
        path = write_clip(
            Path(folder) / "clip.mp4", moving_texture(np.random.default_rng(0)), 30, quality=20
        )
        megabits = path.stat().st_size * 8e-6 / SECONDS

        def ours() -> np.ndarray:
            return read_frames(path, fps=FPS, duration=SECONDS, size=SIZE)

        same = np.array_equal(ours(), opencv_loop(path))
        theirs_s, ours_s, ratio = interleaved(lambda: opencv_loop(path), ours, rounds)
    print(
        f"frames of a 10 s 1280x720 clip ({megabits:.1f} Mbit/s): OpenCV {theirs_s:.3f} s, "
        f"read_frames {ours_s:.3f} s, {ratio}, same pixels: {same}"
    )


def bench_vgg16(rounds: int, weights: str | None, batch_size: int) -> None:
    """Time the embedding of one batch of frames by each runtime."""
    import keras

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (1, batch_size, SIZE, SIZE, 3), dtype=np.uint8)
    base = vgg16_base((SIZE, SIZE, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(base.output)
    reference = keras.Model(base.inputs, pooled)

    def predict() -> np.ndarray:
        ready = preprocess(images[0], "places365")
        return reference.predict(ready, batch_size=batch_size, verbose=0)

    for runtime in installed_runtimes():
        embedder = VGGPlacesEmbedder(weights, runtime=runtime, batch_size=batch_size).fit(images)
        live = open_keras("vgg16", weights, embedder.seed_)
        base.set_weights(live.model.get_weights())
        expected, features = predict(), embedder.transform(images)[0]
        deviation = np.abs(features - expected).max() / np.abs(expected).max()
        theirs_s, ours_s, ratio = interleaved(predict, lambda: embedder.transform(images), rounds)  # noqa: B023
        print(
            f"VGG16, batch {batch_size}: Keras predict {batch_size / theirs_s:.1f} frames/s, "
            f"{runtime} {batch_size / ours_s:.1f} frames/s, {ratio}, "
            f"largest deviation {deviation:.1e}"
        )


def main() -> None:
    """Run both benchmarks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--weights", help="a file of VGG16 weights; random ones without it")
    parser.add_argument("--batch-size", type=int, default=10)
    options = parser.parse_args()
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    widest = "AVX-512" if "avx512f" in flags else "AVX2" if "avx2" in flags else "less than AVX2"
    print(f"{joblib.cpu_count()} cores, {widest}; median of {options.rounds} rounds")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UntrainedWeightsWarning)
        bench_frames(options.rounds)
        bench_vgg16(options.rounds, options.weights, options.batch_size)


if __name__ == "__main__":
    main()

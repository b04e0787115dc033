"""Cost and memory of predicting one clip, as a service does.

``python benchmarks/bench_prediction.py`` fits the audio network of the published size on features
of 10 s and compares, in turns, ``predict_proba`` of one clip with the network alone
(``predict_on_batch`` of its ten segments). It then predicts clips in one thread and in eight, in
turns, and compares the probabilities; gives the growth of the memory over many predictions of a
small network; and its largest memory in predicting the files of many clips, by ``predict_clips``
and by a Pipeline's own ``predict_proba``.
"""

from __future__ import annotations

import argparse
import gc
import os
import resource
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.pipeline import make_pipeline

from skavsc import AudioSceneClassifier, GammatoneMelTransformer, make_scenes, predict_clips

PAGE = os.sysconf("SC_PAGE_SIZE")


def memory() -> float:
    """Return the resident memory of this process in MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / 1e6


def fitted(
    n_bands: int, n_frames: int, **options: object
) -> tuple[AudioSceneClassifier, np.ndarray]:
    """Fit a network for an epoch, and return it with eight clips."""
    rng = np.random.default_rng(0)
    X = rng.normal(-60, 8, (8, n_bands, n_frames, 3)).astype(np.float32)
    model = AudioSceneClassifier(epochs=1, validation_fraction=0, random_state=0, **options)
    return model.fit(X, np.arange(8) % 2), X


def one_clip(turns: int) -> None:
    """Compare a prediction of one clip with the network alone."""
    model, X = fitted(64, 500)
    network = model.keras_classifier_.model_
    segments = np.stack(np.split(X[0], 10, axis=1))
    runs = {
        "predict_proba": lambda: model.predict_proba(X[:1]),
        "network": lambda: network.predict_on_batch(segments),
    }
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(turns + 1):
        for name, run in runs.items():
            begin = time.perf_counter()
            run()
            if turn:  # the first one traces
                times[name].append(1e3 * (time.perf_counter() - begin))
    ours, bare = (np.array(times[name]) for name in runs)
    for name, values in times.items():
        half, most = np.percentile(values, [50, 95])
        print(f"{name}: {half:.1f} ms, p95 {most:.1f} ms ({most / half:.2f} times as long)")
    print(f"on top: {np.median(ours - bare):.2f} ms, median over {turns} turns", flush=True)


def threads(n_threads: int, turns: int) -> None:
    """Compare many threads that share a model with one."""
    model, X = fitted(64, 500)
    clips = [X[index : index + 1] for index in range(len(X))] * 2
    expected = [model.predict_proba(clip) for clip in clips]
    ratios = []
    for _ in range(turns):
        seconds = []
        for n in (1, n_threads):
            begin = time.perf_counter()
            with ThreadPoolExecutor(n) as pool:
                found = list(pool.map(model.predict_proba, clips))
            seconds.append(time.perf_counter() - begin)
            same = all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
            assert same, f"{n} threads give other probabilities"
        ratios.append(seconds[0] / seconds[1])
    print(
        f"{n_threads} threads: equal; one takes {np.median(ratios):.2f} times as long", flush=True
    )


def growth(predictions: int) -> None:
    """Give the memory after every tenth of many predictions."""
    model, X = fitted(8, 20, filters=(2, 2, 2), reduction=1, segment_frames=10)
    for done in range(predictions + 1):
        if done % max(predictions // 10, 1) == 0:
            gc.collect()
            print(f"{done:6d} predictions: {memory():.1f} MB", flush=True)
        model.predict_proba(X[:1])


def many_files(n_clips: int) -> None:
    """Give the largest memory in predicting a tenth of the clips, all, and all without batches."""
    with tempfile.TemporaryDirectory() as folder:
        scenes = make_scenes(folder, 2, 4, 1, duration=1.0, size=(64, 48))
        pipeline = make_pipeline(
            GammatoneMelTransformer(duration=1.0),
            AudioSceneClassifier(filters=(2, 2, 2), epochs=1, validation_fraction=0),
        ).fit(scenes.X, scenes.y)
        table = pd.concat([scenes.X] * (n_clips // len(scenes.X)))
        for name, predict, clips in (
            ("predict_clips", predict_clips, table[: n_clips // 10]),
            ("predict_clips", predict_clips, table),
            ("predict_proba", lambda model, X: model.predict_proba(X), table),
        ):
            predict(pipeline, clips)
            most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
            print(f"{name} of {len(clips)} files: at most {most:.0f} MB", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--predictions", type=int, default=10_000)
    parser.add_argument("--turns", type=int, default=100)
    parser.add_argument("--files", type=int, default=4000)
    options = parser.parse_args()
    one_clip(options.turns)
    threads(8, max(options.turns // 20, 3))
    growth(options.predictions)
    many_files(options.files)

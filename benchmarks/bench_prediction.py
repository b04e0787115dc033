"""Cost and memory of predicting one clip, as a service does.

``python benchmarks/bench_prediction.py`` compares ``predict_proba`` of one clip with the network
alone (``predict_on_batch`` of its segments), in turns, and gives the growth of the memory over many
predictions.
"""

from __future__ import annotations

import argparse
import gc
import os
import time
from pathlib import Path

import numpy as np

from skavsc.classifiers import AudioSceneClassifier

PAGE = os.sysconf("SC_PAGE_SIZE")


def memory() -> float:
    """Return the resident memory of this process in MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / 1e6


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--predictions", type=int, default=10_000)
    parser.add_argument("--turns", type=int, default=200)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    X, y = rng.normal(-60, 8, (8, 8, 20, 1)).astype(np.float32), np.arange(8) % 2
    model = AudioSceneClassifier(
        filters=(2, 2, 2), reduction=1, segment_frames=10, epochs=1, validation_fraction=0
    ).fit(X, y)
    network = model.keras_classifier_.model_
    segments = np.stack([X[0, :, :10], X[0, :, 10:]])
    runs = {
        "predict_proba": lambda: model.predict_proba(X[:1]),
        "network": lambda: network.predict_on_batch(segments),
    }
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(options.turns):
        for name, run in runs.items():
            begin = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - begin)
    one, other = (1e3 * np.median(times[name]) for name in runs)
    print(f"one clip: predict_proba {one:.2f} ms, its network {other:.2f} ms, {one / other:.1f} x")
    for done in range(options.predictions + 1):
        if done % max(options.predictions // 10, 1) == 0:
            gc.collect()
            print(f"{done:6d} predictions: {memory():.1f} MB")
        model.predict_proba(X[:1])


if __name__ == "__main__":
    main()

"""Memory and speed of training, against Keras alone.

``python benchmarks/bench_training.py leak`` fits many small networks in one process and gives
the growth of its memory, with the optimizer of this package and with Keras's own.
``python benchmarks/bench_training.py speed`` trains the full-size audio network by
AudioSceneClassifier, from memory and from a memory-mapped file, and by a bare Keras ``fit`` on
crops that are cut already; with ``--network visual`` VisualSceneClassifier's on embeddings. The
three run in turns, so that a load from elsewhere meets all; a ratio is the median of the ratios
of the turns. The best turns, which nothing else met, are compared too. Two threads that compute
are at times given one core by the machine, for seconds on end, which no turn can even out:
``TF_NUM_INTRAOP_THREADS=1`` gives steadier ratios.
"""

from __future__ import annotations

import argparse
import gc
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import keras
import numpy as np

from skavsc.classifiers import AudioSceneClassifier, VisualSceneClassifier
from skavsc.networks import audio_network, visual_network
from skavsc.training import _trainer

PAGE = os.sysconf("SC_PAGE_SIZE")


def memory() -> float:
    """Give the resident memory of this process in MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / 1e6


def features(n_clips: int, n_bands: int, n_frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Give random features and labels of ten classes."""
    rng = np.random.default_rng(0)
    X = rng.normal(-40, 9, size=(n_clips, n_bands, n_frames, 3)).astype(np.float32)
    return X, np.arange(n_clips) % 10


def grow(n_fits: int) -> None:
    """Fit small networks and print by how much each leaves the memory larger."""
    X, y = features(40, 16, 100)
    used = []
    for _ in range(n_fits):
        options = {"filters": (4, 4, 4), "epochs": 2, "validation_fraction": 0.25}
        AudioSceneClassifier(**options, random_state=0).fit(X, y).predict(X)
        gc.collect()
        used.append(memory())
    # The first fits load and warm up what stays for good.
    slope = np.polyfit(np.arange(n_fits - 5), used[5:], 1)[0]
    print(
        f"  {used[0]:.0f} MB after 1 fit, {used[-1]:.0f} MB after {n_fits}: {slope:+.2f} MB a fit"
    )


def leak(n_fits: int) -> None:
    """Compare the growth with both optimizers."""
    print("skavsc's Adam:")
    grow(n_fits)
    with mock.patch.object(_trainer, "Adam", keras.optimizers.Adam):
        print("keras.optimizers.Adam:")
        grow(n_fits)


def speed(name: str, n_turns: int, n_clips: int, epochs: int) -> None:
    """Compare steps a second of a classifier with a bare Keras fit."""
    if name == "audio":
        classifier, (X, y) = AudioSceneClassifier, features(n_clips, 64, 500)
        bare, n_frames, batch_size = audio_network(10), 50, 32
    else:
        classifier, (X, y) = VisualSceneClassifier, features(n_clips, 50, 512)
        X = np.ascontiguousarray(X[..., 0])
        bare, n_frames, batch_size = visual_network(10, backbone=None), 5, 16
    folder = tempfile.TemporaryDirectory()
    np.save(Path(folder.name) / "X.npy", X)
    mapped = np.load(Path(folder.name) / "X.npy", mmap_mode="r")
    options = {
        "epochs": epochs,
        "batch_size": batch_size,
        "validation_fraction": 0,
        "warm_start": True,
        "random_state": 0,
    }
    ours, from_file = classifier(**options), classifier(**options)

    rng = np.random.default_rng(0)
    last_start = X.shape[-2] - n_frames
    starts = rng.integers(last_start, size=n_clips, endpoint=True)
    crops = np.stack([clip[..., s : s + n_frames, :] for clip, s in zip(X, starts, strict=True)])
    targets = np.eye(10, dtype=np.float32)[y]
    bare.compile(
        keras.optimizers.Adam(1e-3),
        "categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=False,
    )

    candidates: dict[str, Callable[[], object]] = {
        "Keras": lambda: bare.fit(crops, targets, batch_size=batch_size, epochs=epochs, verbose=0),
        "in memory": lambda: ours.fit(X, y),
        "memory-mapped": lambda: from_file.fit(mapped, y),
    }
    for run in candidates.values():
        run()
    steps = epochs * -(-n_clips // batch_size)
    rates: dict[str, list[float]] = {way: [] for way in candidates}
    for _ in range(n_turns):
        for way in rng.permutation(list(candidates)):
            run = candidates[way]
            begin = time.perf_counter()
            run()
            rates[way].append(steps / (time.perf_counter() - begin))
    print(
        f"{name} network, {steps} steps of {batch_size} clips a turn, {n_turns} turns, "
        f"load {os.getloadavg()[0]:.1f}"
    )
    for way, values in rates.items():
        ratios = np.array(values) / rates["Keras"]
        print(
            f"  {way:14s} {np.median(values):5.2f} steps/s, {np.median(ratios):.3f} of Keras "
            f"({ratios.min():.3f} to {ratios.max():.3f}); best {max(values):.2f}, "
            f"{max(values) / max(rates['Keras']):.3f}"
        )
    between = np.array(rates["memory-mapped"]) / rates["in memory"]
    print(f"  memory-mapped against in memory: {np.median(between):.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["leak", "speed"])
    parser.add_argument("--network", choices=["audio", "visual"], default="audio")
    parser.add_argument("--fits", type=int, default=30)
    parser.add_argument("--turns", type=int, default=12)
    parser.add_argument("--clips", type=int, default=320)
    parser.add_argument("--epochs", type=int, default=2)
    arguments = parser.parse_args()
    if arguments.what == "leak":
        leak(arguments.fits)
    else:
        speed(arguments.network, arguments.turns, arguments.clips, arguments.epochs)

"""Training steps a second of the networks by backend, precision and threads.

``python benchmarks/bench_backends.py --backends tensorflow jax torch=/venv/bin/python`` starts a
process for each backend, by the given interpreter or this one, which train the same network by
turns: Keras ``train_on_batch`` of a batch at hand. A ratio, against TensorFlow in float32 with as
many threads, is the median over the turns.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from typing import Any

import numpy as np

PRECISIONS = ("float32", "bfloat16")
STEPS = {"audio": 2, "visual": 40, "fusion": 4}


def build(network: str) -> tuple[Any, Any, int]:
    """Build a network of the published size, and a batch for it."""
    from skavsc.networks import audio_network, fusion_network, visual_network

    rng = np.random.default_rng(0)
    n_clips = 32 if network == "audio" else 16
    sound = rng.normal(-40, 9, (n_clips, 64, 50, 3)).astype(np.float32)
    picture = rng.normal(size=(n_clips, 5, 512)).astype(np.float32)
    if network == "audio":
        return audio_network(), sound, n_clips
    if network == "visual":
        return visual_network(backbone=None), picture, n_clips
    return fusion_network(visual=visual_network(backbone=None)), [sound, picture], n_clips


def work(network: str) -> None:
    """Train a few steps in the precision that each line asks for, and print the seconds."""
    import keras

    from skavsc.pretrained._precision import lower_precision

    models = {}
    for precision in PRECISIONS:
        model, batch, n_clips = build(network)
        if precision == "bfloat16":
            lower_precision(model)
        optimizer, loss = keras.optimizers.Adam(1e-3), "categorical_crossentropy"
        jit_compile = keras.backend.backend() == "jax"
        model.compile(optimizer, loss, jit_compile=jit_compile)
        models[precision] = model
    targets = np.eye(10, dtype=np.float32)[np.arange(n_clips) % 10]
    for line in sys.stdin:
        begin = time.perf_counter()
        for _ in range(STEPS[network]):
            models[line.strip()].train_on_batch(batch, targets)
        print(time.perf_counter() - begin, flush=True)


class Worker:
    """A process that trains with one backend."""

    def __init__(self, backend: str, network: str, n_threads: int) -> None:
        self.name, _, python = backend.partition("=")
        # JAX takes as many threads as there are cores that it may use.
        cores = ["taskset", "-c", ",".join(map(str, range(n_threads)))]
        threads = {
            "OMP_NUM_THREADS": str(n_threads),
            "TF_NUM_INTRAOP_THREADS": str(n_threads),
            "TF_NUM_INTEROP_THREADS": "1",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "KERAS_BACKEND": self.name,
        }
        self.process = subprocess.Popen(
            [*cores, python or sys.executable, __file__, "--work", network],
            env=os.environ | threads,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def train(self, precision: str) -> float:
        """Train a few steps, and return the seconds."""
        self.process.stdin.write(precision + "\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", choices=STEPS)
    parser.add_argument("--backends", nargs="+", default=["tensorflow", "jax"])
    parser.add_argument("--networks", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    if options.work:
        work(options.work)
        return
    for network in options.networks:
        for n_threads in options.threads:
            workers = [Worker(backend, network, n_threads) for backend in options.backends]
            pairs = [(worker, precision) for worker in workers for precision in PRECISIONS]
            for worker, precision in pairs:
                worker.train(precision)  # traces and compiles
            turns = np.array([[w.train(p) for w, p in pairs] for _ in range(options.turns)])
            print(f"{network} network, {n_threads} threads, load {os.getloadavg()[0]:.1f}")
            for (worker, precision), seconds in zip(pairs, turns.T, strict=True):
                rate = STEPS[network] / np.median(seconds)
                ratio = np.median(turns[:, 0] / seconds)
                print(f"  {worker.name} {precision}: {rate:.2f} steps/s, {ratio:.2f}", flush=True)
            for worker in workers:
                worker.process.stdin.close()
                worker.process.wait()


if __name__ == "__main__":
    main()

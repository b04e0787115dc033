"""What embedding costs beyond the network itself: files to vectors, and bare onnxruntime calls.

Of 10 s of stereo noise at 48 kHz (24 bit), and of ten frames of noise. Both sides run turn by turn
on one core, in processor time; a ratio is the median of the ratios of the turns::

    python benchmarks/bench_embedders.py yamnet.onnx mobilenet_v2.onnx
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

# Read once, when NumPy is imported.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402
import soundfile  # noqa: E402

from skavsc import AudioEmbedder, ImageEmbedder  # noqa: E402
from skavsc.media import read_sound  # noqa: E402

SECONDS = 10


def session_of(path: str) -> onnxruntime.InferenceSession:
    """Open a network on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def compare(sides: dict[str, Callable[[], object]], rounds: int) -> dict[str, np.ndarray]:
    """Time the sides turn by turn, in processor seconds, after a first call that is not counted."""
    for run in sides.values():
        run()
    times = {name: np.empty(rounds) for name in sides}
    for turn in range(rounds):
        for name, run in sides.items():
            start = time.process_time()
            run()
            times[name][turn] = time.process_time() - start
    return times


def report(title: str, times: dict[str, np.ndarray], whole: str, bare: str) -> None:
    """Print the median of each side and of the ratio."""
    print(title)
    for name, seconds in times.items():
        low, high = 1e3 * seconds.min(), 1e3 * seconds.max()
        print(f"  {name:34} {1e3 * np.median(seconds):7.1f} ms ({low:.1f} to {high:.1f})")
    ratio = times[whole] / times[bare]
    print(
        f"  {whole} / {bare}: {np.median(ratio):.3f} (best turns {_best(times, whole, bare):.3f})"
    )


def _best(times: dict[str, np.ndarray], whole: str, bare: str) -> float:
    return float(times[whole].min() / times[bare].min())


def sound(model: str, folder: Path, rounds: int, hop: float) -> None:
    """Compare the embedder of sound, on a file and on a waveform, with the bare calls."""
    rng = np.random.default_rng(0)
    path = folder / "sound.wav"
    soundfile.write(path, 0.1 * rng.standard_normal((48_000 * SECONDS, 2)), 48_000, "PCM_24")
    embedder = AudioEmbedder(model, duration=SECONDS, hop=hop).fit([])
    rate, window = embedder.sample_rate_, round(embedder.window_ * embedder.sample_rate_)
    waveform = read_sound(path, sample_rate=rate, downmix=True)[0].mean(axis=0)
    n_steps = round(SECONDS / hop)
    starts = np.clip(
        np.arange(n_steps) * round(hop * rate) + (round(hop * rate) - window) // 2,
        0,
        len(waveform) - window,
    )
    windows = [np.ascontiguousarray(waveform[start : start + window]) for start in starts]
    session = session_of(model)
    name, output = session.get_inputs()[0].name, embedder.output_

    def bare() -> np.ndarray:
        return np.concatenate([session.run([output], {name: one})[0] for one in windows])

    times = compare(
        {
            "file": lambda: embedder.transform([path]),
            "waveform": lambda: embedder.transform([waveform]),
            "bare": bare,
            "decoding alone": lambda: read_sound(path, sample_rate=rate, downmix=True),
        },
        rounds,
    )
    report(
        f"{SECONDS} s of sound, {n_steps} windows of {embedder.window_} s", times, "file", "bare"
    )
    print(f"  waveform / bare: {np.median(times['waveform'] / times['bare']):.3f}")


def images(model: str, rounds: int) -> None:
    """Compare the embedder of frames with the bare calls."""
    session = session_of(model)
    given = session.get_inputs()[0]
    frames = np.random.default_rng(0).integers(0, 256, (1, SECONDS, 224, 224, 3), dtype=np.uint8)
    # The embedder uses all cores that it is given; here it is given one.
    embedder = ImageEmbedder(model).fit(frames)

    def bare() -> np.ndarray:
        return np.concatenate([session.run(None, {given.name: one[None]})[0] for one in frames[0]])

    times = compare({"frames": lambda: embedder.transform(frames), "bare": bare}, rounds)
    report(f"{SECONDS} frames of 224 x 224", times, "frames", "bare")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("audio_model", help="a file of YAMNet, .onnx")
    parser.add_argument("image_model", help="a file of an image network, .onnx")
    parser.add_argument("--hop", type=float, default=0.5, help="seconds from window to window")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as folder:
        sound(options.audio_model, Path(folder), options.rounds, options.hop)
    images(options.image_model, options.rounds)


if __name__ == "__main__":
    main()

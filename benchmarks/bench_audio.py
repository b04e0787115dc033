"""Time of the audio features against gammatone and librosa, on one core.

Ours and theirs run in turns, so that a load from elsewhere meets both; a ratio is the median of
the ratios of the turns. Run it with ``python benchmarks/bench_audio.py``.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

# Read once, when NumPy is imported.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[_name] = "1"

import librosa  # noqa: E402
import numpy as np  # noqa: E402
from gammatone.gtgram import gtgram  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from skavsc.audio import GammatoneMelTransformer  # noqa: E402

RATE = 44_100
SECONDS = 10
STFT = {"n_fft": 2048, "win_length": 1764, "hop_length": 882}

Array = NDArray[np.floating]


def scene() -> Array:
    """Give 10 s of stereo: rumble, hiss, a chord, and clicks on the left, 24 bit."""
    rng = np.random.default_rng(0)
    shape = 2, SECONDS * RATE
    rumble = np.cumsum(rng.standard_normal(shape), axis=1)
    time_axis = np.arange(shape[1]) / RATE
    chord = sum(np.sin(2 * np.pi * pitch * time_axis) for pitch in (220, 277, 330, 5000))
    sound = 0.1 * rumble / np.abs(rumble).max() + 0.003 * rng.standard_normal(shape) + 0.05 * chord
    sound[0, :: RATE // 3] += 0.5
    return (sound / np.abs(sound).max()).astype(np.float32)


def with_gammatone(sound: Array) -> Array:
    """Give left, right and difference by gtgram, in dB, the last window twice."""
    left, right = sound
    bands = [gtgram(x, RATE, 0.04, 0.02, 64, 0)[::-1] for x in (left, right, left - right)]
    decibels = 20 * np.log10(np.stack(bands, axis=-1))
    return np.concatenate([decibels, decibels[:, -1:]], axis=1)


def log_mel(signal: Array | None = None, power: Array | None = None) -> Array:
    """Give the log-mel spectrogram of a signal or of a power spectrogram by librosa."""
    bands = librosa.feature.melspectrogram(y=signal, S=power, sr=RATE, n_mels=64, **STFT)
    return librosa.power_to_db(bands, ref=np.max)[:, : 50 * SECONDS]


def with_librosa(sound: Array) -> Array:
    """Give the log-mel of left, right and difference."""
    left, right = sound
    return np.stack([log_mel(x) for x in (left, right, left - right)], axis=-1)


def separated_with_librosa(sound: Array) -> Array:
    """Give the log-mel of the harmonic and the percussive part and of the difference."""
    left, right = sound
    parts = librosa.decompose.hpss(librosa.stft(librosa.to_mono(sound), **STFT))
    bands = [log_mel(power=np.abs(part) ** 2) for part in parts]
    return np.stack([*bands, log_mel(left - right)], axis=-1)


def timed(function: Callable[[Array], Array], sound: Array) -> float:
    """Give the seconds of one call."""
    start = time.perf_counter()
    function(sound)
    return time.perf_counter() - start


def main() -> None:
    """Run the comparisons and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7, help="turns, at least 5")
    repeats = max(parser.parse_args().repeats, 5)
    sound = scene()
    cases: list[tuple[str, dict[str, str], Callable[[Array], Array], float]] = [
        ("gammatone lrd / gtgram x 3", {}, with_gammatone, 40),
        (
            "log-mel hpd / librosa",
            {"filterbank": "mel", "channels": "hpd"},
            separated_with_librosa,
            8,
        ),
        ("log-mel lrd / librosa", {"filterbank": "mel"}, with_librosa, 2),
    ]
    print(f"{SECONDS} s stereo at {RATE} Hz in memory, one core, {repeats} turns")
    print("| what | ours / ms | theirs / ms | ratio | wanted | first call / s | deviation / dB |")
    print("|---|---|---|---|---|---|---|")
    for name, parameters, theirs, wanted in cases:
        transformer = GammatoneMelTransformer(**parameters).fit([])

        def ours(sound: Array, transformer: GammatoneMelTransformer = transformer) -> Array:
            return transformer.transform([sound])[0]

        first = timed(ours, sound)
        # In float64, because rounding within the other package is not our deviation.
        deviation = np.abs(ours(sound) - theirs(sound.astype(np.float64))).max()
        theirs(sound)
        turns = np.array([(timed(ours, sound), timed(theirs, sound)) for _ in range(repeats)])
        ratio = np.median(turns[:, 1] / turns[:, 0])
        mine, others = 1000 * np.median(turns, axis=0)
        print(
            f"| {name} | {mine:.1f} | {others:.0f} | {ratio:.1f} | {wanted} | {first:.2f} "
            f"| {deviation:.0e} |"
        )


if __name__ == "__main__":
    main()

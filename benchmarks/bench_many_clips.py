"""Work over many clips: a warm cache against extraction, and peak memory.

*Warm cache*: rounds of extracting some clips without a cache and of taking all of them from a
warm one, in turn, in one process; the figure is the median of the rounds' ratios of seconds a
clip. A fresh process is timed too, apart from its imports.

*Peak memory*: fresh processes with fresh caches extract 40 and 400 clips to a memory-mapped
array, and report the largest resident memory of the process and of its largest worker.

Run it as ``python benchmarks/bench_many_clips.py [--clips 400] [--rounds 5]``; the clips take
2.9 MB of disk each, the caches 0.4 MB.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import joblib
import numpy as np
import soundfile
from joblib.externals.loky import get_reusable_executor

from skavsc._clips import ClipCache, map_clips
from skavsc.audio import GammatoneMelTransformer
from skavsc.media import write_clip
from skavsc.visual import VideoFrameSampler

SECONDS = 10


def write_sounds(folder: Path, n_clips: int, seconds: float) -> list[str]:
    """Write stereo noise, all clips different, in the format of the published data set."""
    rng = np.random.default_rng(0)
    paths = []
    for number in range(n_clips):
        paths.append(str(folder / f"{number}-{seconds:g}s.wav"))
        noise = rng.uniform(-0.5, 0.5, (round(48_000 * seconds), 2))
        soundfile.write(paths[-1], noise, 48_000, subtype="PCM_24")
    return paths


def write_pictures(folder: Path, n_clips: int) -> list[str]:
    """Write small videos, all of them different."""
    rng = np.random.default_rng(0)
    paths = []
    for number in range(n_clips):
        levels = rng.integers(0, 256, (5 * SECONDS, 1, 1, 3), dtype=np.uint8)
        frames = np.broadcast_to(levels, (5 * SECONDS, 120, 160, 3))
        paths.append(str(write_clip(folder / f"{number}.mp4", frames, 5)))
    return paths


def timed(paths: list[str], **options: object) -> float:
    """Give the milliseconds a clip of one transform."""
    transformer = GammatoneMelTransformer(**options)
    start = time.perf_counter()
    transformer.transform(paths)
    return 1e3 * (time.perf_counter() - start) / len(paths)


FRESH = """
import json, sys
sys.path.insert(0, sys.argv[1])
from bench_many_clips import timed
print(timed(json.loads(sys.argv[2]), duration=float(sys.argv[3]), memory=sys.argv[4]))
"""


def bench_warm(folder: Path, n_clips: int, rounds: int, seconds: float, reference: float) -> None:
    """Print how much faster a warm cache is than the extraction of clips of 10 s."""
    paths = write_sounds(folder, n_clips, seconds)
    memory = str(folder / f"cache-{seconds:g}s")
    timed(paths, duration=seconds, memory=memory, n_jobs=2)
    time.sleep(2.5)  # digests of younger files are not remembered
    timed(paths, duration=seconds, memory=memory)
    long = paths[:20]
    if seconds != reference:
        long = write_sounds(folder, 20, reference)
    rows = []
    for _ in range(rounds):
        extracted = timed(long, duration=reference)
        rows.append((extracted, timed(paths, duration=seconds, memory=memory)))
    folder_of_code = str(Path(__file__).parent)
    fresh = [
        float(
            subprocess.run(
                [
                    sys.executable,
                    "-c",
                    FRESH,
                    folder_of_code,
                    json.dumps(paths),
                    str(seconds),
                    memory,
                ],
                check=True,
                capture_output=True,
                text=True,
            ).stdout
        )
        for _ in range(rounds)
    ]
    extracted, warm = np.median(rows, axis=0)
    ratio = np.median([cold / hit for cold, hit in rows])
    print(
        f"{n_clips} clips of {seconds:g} s from a warm cache: {warm:.3f} ms a clip, in a fresh "
        f"process {np.median(fresh):.3f} ms; extraction of {reference:g} s: {extracted:.1f} ms; "
        f"ratio {ratio:.0f}"
    )


def mean_colours(frames: np.ndarray) -> np.ndarray:
    """Stand for a network: as many features as VGG16 gives."""
    return np.resize(frames.mean(axis=(1, 2)), (len(frames), 512)).astype(np.float32)


def peak(process: int | str) -> float:
    """Give the largest resident memory of a process so far, in MiB."""
    # Not ru_maxrss, which a process inherits from the one that started it.
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def measure(kind: str, folder: str, n_clips: int, n_jobs: int) -> None:
    """Extract in this process, and print its peak memory and that of its workers, in MiB."""
    suffix = "wav" if kind == "sound" else "mp4"
    paths = [str(path) for path in sorted(Path(folder).glob(f"*.{suffix}"))[:n_clips]]
    with tempfile.TemporaryDirectory() as memory:
        options = {"n_jobs": n_jobs, "memory": memory, "mmap_mode": "r"}
        if kind == "sound":
            shape = GammatoneMelTransformer(**options).transform(paths).shape
        else:
            frames = VideoFrameSampler(duration=SECONDS).transform(paths)
            cache = ClipCache(memory, "colours", 1, {})
            shape = map_clips(
                mean_colours,
                list(frames),
                shape=(5 * SECONDS, 512),
                prepare=np.asarray,
                cache=cache,
                n_jobs=n_jobs,
                mmap_mode="r",
            ).shape
    assert shape[0] == n_clips
    workers = []
    if kind == "sound" and n_jobs > 1:
        # The pool that has just been used; it is kept for some minutes.
        workers = list(get_reusable_executor(reuse=True)._processes)
    print(json.dumps([peak("self"), max(map(peak, workers), default=0)]))


def bench_memory(kind: str, folder: Path, n_clips: int, n_jobs: int) -> None:
    """Print the peak memory for a tenth of the clips and for all of them."""
    peaks = []
    for number in (n_clips // 10, n_clips):
        done = subprocess.run(
            [sys.executable, __file__, "--measure", kind, folder, str(number), str(n_jobs)],
            check=True,
            capture_output=True,
            text=True,
        )
        peaks.append(json.loads(done.stdout))
    few, many = np.array(peaks)
    workers = ""
    if few[1]:
        change = many[1] / few[1] - 1
        workers = f", largest worker {few[1]:.0f} and {many[1]:.0f} MiB ({change:+.1%})"
    print(
        f"peak memory, {kind}, n_jobs={n_jobs}, {n_clips // 10} and {n_clips} clips of "
        f"{SECONDS} s: {few[0]:.0f} and {many[0]:.0f} MiB ({many[0] / few[0] - 1:+.1%}){workers}"
    )


def main() -> None:
    """Run the benchmarks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--measure", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        kind, folder, n_clips, n_jobs = options.measure
        measure(kind, folder, int(n_clips), int(n_jobs))
        return
    print(f"{joblib.cpu_count()} cores; median of {options.rounds} rounds")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, seconds in enumerate([1.0, SECONDS]):
            part = folder / str(number)
            part.mkdir()
            bench_warm(part, options.clips, options.rounds, seconds, SECONDS)
        for n_jobs in (1, 2):
            bench_memory("sound", folder / "1", options.clips, n_jobs)
        write_pictures(folder, options.clips)
        for n_jobs in (1, 2):
            bench_memory("picture", folder, options.clips, n_jobs)


if __name__ == "__main__":
    main()

"""Damaged files on their way to features: an error or features, never a crash or a hang."""

import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from skavsc.media import write_clip

# One line an attempt, written before it, so that the last one names the file that crashed.
EXTRACT = """
import sys
import warnings
import numpy as np
from skavsc.audio import GammatoneMelTransformer
from skavsc.exceptions import MediaError
from skavsc.visual import VideoFrameSampler

warnings.simplefilter("ignore")
sound = GammatoneMelTransformer("mel", sample_rate=16_000, duration=1.0)
picture = VideoFrameSampler(fps=5, size=32, duration=1.0)
for path in sys.argv[1:]:
    for kind in ["sound", "picture"]:
        if kind == "picture" and not path.endswith(("mp4", "mkv", "ts", "avi", "webm")):
            continue
        print(path, kind, end=" ", flush=True)
        try:
            if kind == "sound":
                [features] = sound.transform([path])
                present = ~np.isnan(features)
                n_frames = int(present.all(axis=(0, 2)).sum())
                # Frames that are there come first, and are there as a whole.
                assert features.shape == (64, 50, 3), features.shape
                assert present[:, :n_frames].all() and not present[:, n_frames:].any()
                assert np.isfinite(features[:, :n_frames]).all()
            else:
                [lazy] = picture.transform([path])
                frames, n_frames = lazy.read()
                assert frames.shape == (5, 32, 32, 3), frames.shape
                assert not frames[n_frames:].any()
                assert np.asarray(lazy).shape == frames.shape
            assert n_frames > 0
        except MediaError as error:
            assert error.path == path and error.stage and error.cause
            n_frames = 0
        print(n_frames, flush=True)
"""


@pytest.fixture(scope="module")
def sources(tmp_path_factory, make_tones, make_frames):
    """Small files of 0.5 s: (name, content)."""
    folder = tmp_path_factory.mktemp("sources")
    sound = make_tones(0.5)
    paths = [
        folder / f"whole.{suffix}"
        for suffix in ("wav", "flac", "ogg", "mp4", "mkv", "ts", "avi", "webm")
    ]
    for path in paths[:3]:
        soundfile.write(path, sound.T, 48_000)
    for path in paths[3:]:
        codecs = {
            ".avi": {"picture_codec": "mpeg4", "sound_codec": "mp2"},
            ".webm": {"picture_codec": "libvpx", "sound_codec": "libopus"},
        }.get(path.suffix, {})
        write_clip(path, make_frames(0.5), 25, sound=sound, **codecs)
    return [(path.name, np.fromfile(path, dtype=np.uint8)) for path in paths]


def damaged(content, number, rng):
    """Flip a few bytes, mostly near the beginning, where they do most harm.

    A quarter is cut, loses a block or has two blocks exchanged instead.
    """
    content = content.copy()
    if number % 4 == 3:
        first, second, length = rng.integers(1, content.size // 2, 3)
        if number % 3 == 0:
            return content[: max(first, 50)]
        if number % 3 == 1:
            return np.delete(content, np.s_[first : first + length])
        length = min(length, content.size // 4)
        block = content[first : first + length].copy()
        content[first : first + length] = content[second : second + length]
        content[second : second + length] = block
        return content
    reach = content.size if number % 2 else min(500, content.size)
    where = rng.integers(0, reach, size=rng.integers(1, 10))
    content[where] ^= rng.integers(1, 256, size=where.size, dtype=np.uint8)
    return content


@pytest.mark.parametrize("n_files", [64, pytest.param(3000, marks=pytest.mark.slow)])
def test_flipped_bytes(tmp_path, sources, n_files):
    rng = np.random.default_rng(n_files)
    paths = []
    for number in range(n_files):
        name, content = sources[number % len(sources)]
        paths.append(tmp_path / f"{number}-{name}")
        damaged(content, number // len(sources), rng).tofile(paths[-1])
    done = subprocess.run(
        [sys.executable, "-c", EXTRACT, *map(str, paths)],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, (done.stdout[-300:], done.stderr[-2000:])
    n_videos = sum(name.endswith(("mp4", "mkv", "ts", "avi", "webm")) for name, _ in sources)
    outcomes = [line.split() for line in done.stdout.splitlines()]
    assert len(outcomes) == n_files + n_files * n_videos // len(sources)
    for kind in ("sound", "picture"):
        lengths = [int(n_frames) for _, its_kind, n_frames in outcomes if its_kind == kind]
        # Both happen often: damage that is noticed, and damage that is survived.
        assert lengths.count(0) > 5
        assert len(lengths) - lengths.count(0) > 5

"""Small real media files that the tests of all rooms share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from skavsc.media import write_clip

AVSC_MINI = Path(__file__).resolve().parents[2] / "shared" / "data" / "avsc-mini"


def tones(duration=1.0, rate=48_000, channels=2, frequency=440.0):
    """A tone a channel, each with its own pitch and a little noise: (channels, samples)."""
    rng = np.random.default_rng(0)
    time = np.arange(round(duration * rate)) / rate
    pitch = frequency * 1.5 ** np.arange(channels)[:, None]
    return 0.3 * np.sin(2 * np.pi * pitch * time) + 0.01 * rng.uniform(-1, 1, (channels, time.size))


def moving_frames(duration=1.0, fps=25, height=48, width=64):
    """Red left half, blue right half, and a white bar that crosses both in the clip's time."""
    n_frames = round(duration * fps)
    frames = np.zeros((n_frames, height, width, 3), dtype=np.uint8)
    frames[:, :, : width // 2, 0] = 220
    frames[:, :, width // 2 :, 2] = 220
    for number, frame in enumerate(frames):
        left = number * width // n_frames
        frame[height // 4 : height // 2, left : left + width // 8] = 255
    return frames


def write_wav(path, duration=1.0, rate=48_000, channels=2, subtype="PCM_24", **kwargs):
    """Write ``tones`` to a wav file and give its path."""
    sound = tones(duration, rate, channels, **kwargs)
    soundfile.write(path, sound.T, rate, subtype=subtype)
    return Path(path)


@pytest.fixture(scope="session")
def media_dir(tmp_path_factory):
    """A folder for generated media, kept for the whole session."""
    return tmp_path_factory.mktemp("media")


@pytest.fixture(scope="session")
def wav_path(media_dir):
    """One second of stereo sound, 48 kHz, 24 bit."""
    return write_wav(media_dir / "stereo.wav")


@pytest.fixture(scope="session")
def video_path(media_dir):
    """One second of ``moving_frames`` at 25 frames a second, 64 x 48, without sound."""
    return write_clip(media_dir / "picture.mp4", moving_frames(), 25)


@pytest.fixture(scope="session")
def clip_path(media_dir):
    """An mp4 with both streams: ``moving_frames`` and ``tones``, one second."""
    return write_clip(media_dir / "both.mp4", moving_frames(), 25, sound=tones())


@pytest.fixture(scope="session")
def make_wav():
    """The function ``write_wav(path, duration, rate, channels, subtype)``."""
    return write_wav


@pytest.fixture(scope="session")
def make_frames():
    """The function ``moving_frames(duration, fps, height, width)``."""
    return moving_frames


@pytest.fixture(scope="session")
def make_tones():
    """The function ``tones(duration, rate, channels, frequency)``."""
    return tones


@pytest.fixture(scope="session")
def avsc_mini():
    """The development set beside the checkout; the test is skipped where it is not."""
    if not AVSC_MINI.is_dir():
        pytest.skip(f"needs {AVSC_MINI}")
    return AVSC_MINI

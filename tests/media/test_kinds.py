"""Media kinds against the ffmpeg command, which writes every file and decodes it too.

Sound: the number of samples, and where three bursts begin. Picture: the number of the frame on
show at each instant. ``pytest -m slow -s tests/media/test_kinds.py`` prints a line a kind.
"""

import re
import shutil
import subprocess
import warnings

import av
import numpy as np
import pytest

from skavsc.exceptions import DamagedMediaWarning
from skavsc.media import read_frames, read_sound

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the ffmpeg command"),
]

# (suffix, encoder, channel counts, sampling rates)
USUAL = (16_000, 44_100, 48_000)
SOUND = [
    ("wav", "pcm_u8", (1, 2, 6), USUAL),
    ("wav", "pcm_s16le", (1, 2, 3, 4, 6, 8), USUAL),
    ("wav", "pcm_s24le", (1, 2, 6), USUAL),
    ("wav", "pcm_s32le", (2,), USUAL),
    ("wav", "pcm_f32le", (1, 2, 6), USUAL),
    ("wav", "pcm_f64le", (2,), USUAL),
    ("wav", "pcm_alaw", (1, 2), USUAL),
    ("wav", "pcm_mulaw", (1, 2), USUAL),
    ("wav", "adpcm_ima_wav", (1, 2), USUAL),
    ("wav", "adpcm_ms", (1, 2), USUAL),
    ("w64", "pcm_s16le", (2, 6), USUAL),
    ("aiff", "pcm_s16be", (1, 2, 6), USUAL),
    ("aiff", "pcm_s24be", (2,), USUAL),
    ("au", "pcm_s16be", (1, 2), USUAL),
    ("caf", "pcm_s24be", (2, 6), USUAL),
    ("caf", "alac", (2,), USUAL),
    ("flac", "flac", (1, 2, 6, 8), USUAL),
    ("ogg", "flac", (1, 2), USUAL),
    ("ogg", "libvorbis", (1, 2, 6), USUAL),
    ("ogg", "libopus", (1, 2, 6, 8), (48_000,)),
    ("mp3", "libmp3lame", (1, 2), USUAL),
    ("mp2", "mp2", (1, 2), (44_100, 48_000)),
    ("aac", "aac", (1, 2, 6), USUAL),
    ("m4a", "aac", (1, 2, 6, 8), USUAL),
    ("m4a", "alac", (1, 2, 6), USUAL),
    ("mov", "pcm_s16le", (1, 2, 6), USUAL),
    ("ac3", "ac3", (1, 2, 6), (44_100, 48_000)),
    ("eac3", "eac3", (2, 6), (44_100, 48_000)),
    ("mka", "pcm_s16le", (1, 2, 6, 8), USUAL),
    ("mka", "flac", (1, 2, 6, 8), USUAL),
    ("mka", "libvorbis", (1, 2, 6), USUAL),
    ("mka", "libopus", (1, 2, 6), (48_000,)),
    ("mka", "aac", (1, 2, 6), USUAL),
    ("webm", "libvorbis", (1, 2), USUAL),
    ("webm", "libopus", (1, 2, 6), (48_000,)),
    ("ts", "aac", (1, 2, 6), USUAL),
    ("ts", "mp2", (1, 2), (44_100, 48_000)),
    ("ts", "ac3", (2, 6), (44_100, 48_000)),
    ("avi", "pcm_s16le", (1, 2), USUAL),
    ("avi", "libmp3lame", (1, 2), (44_100, 48_000)),
    ("wma", "wmav2", (1, 2), (44_100, 48_000)),
    ("wv", "wavpack", (1, 2, 6), USUAL),
    ("tta", "tta", (1, 2, 6), USUAL),
    ("flv", "libmp3lame", (1, 2), (44_100,)),
    ("nut", "pcm_s16le", (1, 2), USUAL),
]
# (suffix, encoder, options, frame rates)
RATES = ("10", "25", "30000/1001", "50")
PICTURE = [
    ("mp4", "libx264", "", RATES),
    ("mp4", "libx264", "-bf 0", RATES),
    ("mp4", "libx265", "-x265-params log-level=none", RATES),
    ("mp4", "mpeg4", "-bf 2 -q:v 2", RATES),
    ("mov", "mjpeg", "-q:v 2", RATES),
    ("mov", "prores", "", RATES),
    ("mkv", "libx264", "", RATES),
    ("mkv", "ffv1", "", RATES),
    ("mkv", "libvpx-vp9", "-deadline realtime", RATES),
    ("webm", "libvpx", "-deadline realtime", RATES),
    ("avi", "mpeg4", "-q:v 2", RATES),
    ("avi", "mjpeg", "-q:v 2", RATES),
    ("ts", "libx264", "", RATES),
    ("ts", "mpeg2video", "-q:v 2", ("25", "30000/1001", "50")),
    ("mpg", "mpeg1video", "-q:v 2", ("25", "30000/1001", "50")),
    ("wmv", "wmv2", "-q:v 2", RATES),
    ("flv", "flv", "-q:v 2", RATES),
    ("ogv", "libtheora", "-q:v 10", RATES),
    ("nut", "libx264", "", RATES),
]
BURSTS = (0.5, 1.0, 1.5)
SECONDS = 2.0


def ffmpeg(folder, *arguments):
    command = ["ffmpeg", "-v", "info", "-nostats", "-y", *map(str, arguments)]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=60)


def write_sound(folder, suffix, codec, channels, rate):
    """Write 2 s of faint noise with three bursts of a 1 kHz tone in every channel."""
    time = np.arange(round(SECONDS * rate)) / rate
    sound = np.random.default_rng(0).uniform(-1e-3, 1e-3, (channels, len(time)))
    for begin in BURSTS:
        inside = (time >= begin) & (time < begin + 0.05)
        sound[:, inside] += 0.4 * np.sin(2 * np.pi * 1000 * (time[inside] - begin))
    sound.T.astype("<f4").tofile(folder / "in.f32")
    layout = {1: "mono", 2: "stereo", 3: "2.1", 4: "quad", 6: "5.1", 8: "7.1"}[channels]
    name = f"a.{suffix}"
    given = ["-f", "f32le", "-ar", rate, "-ac", channels, "-channel_layout", layout, "-i", "in.f32"]
    ffmpeg(folder, *given, "-c:a", codec, "-b:a", f"{96 * channels}k", "-strict", "-2", name)
    return folder / name


def onsets(sound, rate):
    """Where the bursts begin, in seconds."""
    loud = np.flatnonzero(np.abs(sound).max(axis=0) > 0.1) / rate
    return loud[np.diff(loud, prepend=-1) > 0.2]


@pytest.mark.parametrize(("suffix", "codec", "channels", "rates"), SOUND)
def test_sound(tmp_path, suffix, codec, channels, rates):
    n_files = 0
    worst = [0, 0.0]
    for n_channels in channels:
        for rate in rates:
            path = write_sound(tmp_path, suffix, codec, n_channels, rate)
            waveform, found = read_sound(path)
            raw = ffmpeg(tmp_path, "-i", path.name, "-f", "f32le", "-").stdout
            expected = np.frombuffer(raw, "<f4").reshape(-1, n_channels).T
            kind = f"{path.name}, {codec}, {n_channels} channels, {rate} Hz"
            assert (found, len(waveform)) == (rate, n_channels), kind
            lengths = {expected.shape[1]}
            if av.library_versions["libavformat"] >= (63,):
                # FFmpeg 9 drops what an encoder has filled its last block up with; the command may
                # be older.
                lengths.add(round(SECONDS * rate))
            samples = min(abs(waveform.shape[1] - length) for length in lengths)
            moved = np.abs(onsets(waveform, rate) - onsets(expected, rate)).max()
            worst = [max(worst[0], samples), max(worst[1], moved)]
            assert samples <= 1, f"{kind}: {waveform.shape[1]}, not {lengths} samples"
            assert moved <= 1e-3, kind
            n_files += 1
    row = f"{n_files:3} files, {worst[0]} samples, {1e3 * worst[1]:.2f} ms"
    print(f"\n{suffix:5}{codec:16}{row}")  # noqa: T201


@pytest.mark.parametrize(("suffix", "codec", "channels", "rates"), SOUND)
def test_sound_that_is_cut_off(tmp_path, suffix, codec, channels, rates):
    """What the ffmpeg command gets of 60 % of a file, and a warning if that is to be known."""
    path = write_sound(tmp_path, suffix, codec, channels[0], rates[-1])
    content = path.read_bytes()
    path.write_bytes(content[: int(0.6 * len(content))])
    command = ["ffmpeg", "-v", "error", "-i", path.name, "-f", "f32le", "-"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    expected = len(done.stdout) // 4 // channels[0]
    if not expected:
        pytest.skip("the index is at the end, so that nothing can be read")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        waveform, _ = read_sound(path)
    # The last packet is not whole; decoders differ in what they make of it.
    assert abs(waveform.shape[1] - expected) <= 4096
    if suffix not in {"mp2", "aac", "ac3", "eac3", "nut"}:
        assert [w.category for w in caught] == [DamagedMediaWarning]


@pytest.mark.parametrize(("channels", "rate"), [(1, 8_000), (2, 16_000), (1, 32_000)])
def test_speex(tmp_path, channels, rate):
    """Placed by its time stamps; the ffmpeg command keeps what they put before time 0."""
    waveform, found = read_sound(write_sound(tmp_path, "spx", "libspeex", channels, rate))
    assert (found, len(waveform)) == (rate, channels)
    assert abs(waveform.shape[1] / rate - SECONDS) < 0.015
    assert np.abs(onsets(waveform, rate) - BURSTS).max() < 6e-3


@pytest.mark.parametrize("headers", ["1", "0"])
def test_joined_mp3(tmp_path, headers):
    path = write_sound(tmp_path, "mp3", "libmp3lame", 2, 44_100)
    ffmpeg(tmp_path, "-i", path.name, "-c", "copy", "-write_xing", headers, "one.mp3")
    path.write_bytes(2 * (tmp_path / "one.mp3").read_bytes())
    raw = ffmpeg(tmp_path, "-i", path.name, "-f", "f32le", "-").stdout
    expected = np.frombuffer(raw, "<f4").reshape(-1, 2).T
    waveform, _ = read_sound(path)
    np.testing.assert_allclose(waveform, expected, atol=1e-5)


def write_picture(folder, suffix, codec, options, rate):
    """Write 50 frames whose grey tells their number."""
    levels = (30 + 4 * np.arange(50)).astype(np.uint8)
    np.repeat(levels, 64 * 64).tofile(folder / "in.gray")
    name = f"a.{suffix}"
    given = ["-f", "rawvideo", "-pix_fmt", "gray", "-s", "64x64", "-r", rate, "-i", "in.gray"]
    pixels = {"prores": "yuv422p10le", "mjpeg": "yuvj420p"}.get(codec, "yuv420p")
    ffmpeg(folder, *given, "-c:v", codec, *options.split(), "-pix_fmt", pixels, name)
    return folder / name


def shown_by_ffmpeg(folder, name):
    """The times and the mean levels of all frames that the ffmpeg command decodes."""
    decode = ["-i", name, "-vsync", "passthrough", "-vf", "format=gray,showinfo"]
    log = ffmpeg(folder, *decode, "-f", "null", "-").stderr.decode()
    found = re.findall(r"pts_time:\s*(\S+) .*mean:\[(\d+)", log)
    return np.array(found, dtype=float).T


@pytest.mark.parametrize(("suffix", "codec", "options", "rates"), PICTURE)
def test_picture(tmp_path, suffix, codec, options, rates):
    n_files = 0
    for rate in rates:
        path = write_picture(tmp_path, suffix, codec, options, rate)
        times, levels = shown_by_ffmpeg(tmp_path, path.name)
        frames = read_frames(path, fps=7, duration=1.0, size=8)
        instants = np.arange(len(frames)) / 7
        at = np.searchsorted(times, instants + 0.5e-3, side="right") - 1
        expected = levels[np.maximum(at, 0)]
        found = frames[..., 0].mean(axis=(1, 2))
        # Both decode the same levels; their conversions to grey and to RGB differ by a line.
        slope, offset = np.polyfit(expected, found, 1)
        difference = np.abs(found - (slope * expected + offset)).max()
        assert difference < 2, f"{path.name}, {codec}, {rate}: {found}, {expected}"
        assert 0.95 < slope < 1.25
        n_files += 1
    print(f"\n{suffix:5}{codec:16}{n_files:3} files, frames by number")  # noqa: T201


def test_there_are_at_least_300_files():
    n_sound = sum(len(channels) * len(rates) for *_, channels, rates in SOUND)
    n_picture = sum(len(rates) for *_, rates in PICTURE)
    assert n_sound + len(SOUND) + n_picture >= 300

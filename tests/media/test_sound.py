import os
import subprocess
import sys
import textwrap
from fractions import Fraction

import av
import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from skavsc.exceptions import MediaError, MediaNotFoundError
from skavsc.media import read_sound, write_clip


def write_late_sound(path, delay, frames, sound, rate=48_000):
    """Write a clip whose sound track begins ``delay`` seconds after its picture."""
    with av.open(str(path), "w") as container:
        picture = container.add_stream("libx264", rate=25)
        picture.height, picture.width = frames[0].shape[:2]
        track = container.add_stream("aac", rate=rate)
        track.layout = "stereo"
        for image in frames:
            for packet in picture.encode(av.VideoFrame.from_ndarray(image)):
                container.mux(packet)
        container.mux(picture.encode(None))
        block = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(sound, dtype=np.float32), format="fltp", layout="stereo"
        )
        block.sample_rate = rate
        block.pts = round(delay * rate)
        block.time_base = Fraction(1, rate)
        for packet in track.encode(block):
            container.mux(packet)
        container.mux(track.encode(None))
    return path


@pytest.mark.parametrize(
    ("suffix", "subtype", "step"),
    [
        ("wav", "PCM_U8", 2**-7),
        ("wav", "PCM_16", 2**-15),
        ("wav", "PCM_24", 2**-23),
        ("wav", "PCM_32", 2**-23),
        ("wav", "FLOAT", 2**-23),
        ("wav", "DOUBLE", 2**-23),
        ("flac", "PCM_24", 2**-23),
        ("aiff", "PCM_16", 2**-15),
    ],
)
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_samples_of_every_depth_and_channel_count(
    tmp_path, make_tones, suffix, subtype, step, channels
):
    sound = make_tones(0.1, channels=channels)
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, sound.T, 48_000, subtype=subtype)
    waveform, rate = read_sound(path)
    assert rate == 48_000
    assert waveform.dtype == np.float32
    assert waveform.flags.c_contiguous
    assert waveform.shape == sound.shape
    assert np.abs(waveform - sound).max() <= 1.01 * step


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 192_000])
def test_resampling_keeps_the_tone_and_the_length(tmp_path, rate):
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(rate) / rate)
    soundfile.write(tmp_path / "a.wav", tone, rate, subtype="FLOAT")
    waveform, given_rate = read_sound(tmp_path / "a.wav", sample_rate=44_100)
    assert given_rate == 44_100
    assert waveform.shape == (1, 44_100)
    expected = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(44_100) / 44_100)
    assert np.abs(waveform[0] - expected)[500:-500].max() < 1e-4


def test_resampling_is_that_of_soxr(wav_path):
    whole, _ = read_sound(wav_path)
    expected = soxr.resample(whole.T, 48_000, 44_100, quality="HQ").T
    np.testing.assert_array_equal(read_sound(wav_path, sample_rate=44_100)[0], expected)


@given(duration=st.floats(0.01, 1.5), sample_rate=st.sampled_from([None, 16_000, 44_100]))
@settings(max_examples=30, deadline=None)
def test_cutting_and_resampling_commute(wav_path, duration, sample_rate):
    whole, rate = read_sound(wav_path, sample_rate=sample_rate)
    part, _ = read_sound(wav_path, sample_rate=sample_rate, duration=duration)
    expected = whole[:, : round(duration * rate)]
    np.testing.assert_allclose(part, expected, atol=1e-6)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov", "ts"])
def test_sound_tracks_of_containers(tmp_path, make_frames, make_tones, suffix):
    # The 128 kbit/s of AAC leave an error far below the tones.
    sound = make_tones()
    path = write_clip(tmp_path / f"a.{suffix}", make_frames(), 25, sound=sound)
    waveform, rate = read_sound(path, duration=1.0)
    assert rate == 48_000
    assert waveform.shape == sound.shape
    if suffix == "ts":
        # Such a stream does not flag the run-in of the codec: 1024 samples.
        waveform, sound = waveform[:, 1024:], sound[:, :-1024]
    error = (waveform - sound)[:, 2000:-2000]
    assert np.sqrt(np.mean(error**2)) < 0.02


def test_lossy_sound_files(tmp_path, make_tones):
    sound = make_tones()
    for name, subtype in {"a.ogg": "VORBIS", "a.mp3": "MPEG_LAYER_III"}.items():
        soundfile.write(tmp_path / name, sound.T, 48_000, subtype=subtype)
        waveform, _ = read_sound(tmp_path / name)
        assert abs(waveform.shape[1] - 48_000) < 2500
        assert abs(waveform[:, 4000:40_000].std() / sound[:, 4000:40_000].std() - 1) < 0.05


@pytest.mark.parametrize("delay", [0.2, 0.4671])
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_late_sound_is_preceded_by_silence(tmp_path, make_frames, delay, suffix):
    # 0.1 s of silence in the recording itself, then noise: the clock shows where it begins.
    rng = np.random.default_rng(0)
    sound = np.concatenate([np.zeros((2, 4800)), rng.uniform(-0.5, 0.5, (2, 48_000))], axis=1)
    path = write_late_sound(tmp_path / f"a.{suffix}", delay, make_frames(), sound)
    waveform, rate = read_sound(path)
    begins = np.argmax(np.abs(waveform[0]) > 0.1) / rate
    # Codecs smear a beginning over a block, and mkv rounds time to milliseconds.
    assert abs(begins - (delay + 0.1)) < 0.006
    assert not waveform[:, : round((delay - 0.05) * rate)].any()
    assert abs(waveform.shape[1] / rate - (delay + 1.1)) < 0.05


def test_gaps_within_a_track_are_filled(tmp_path):
    path = tmp_path / "a.mkv"
    rate = 48_000
    with av.open(str(path), "w") as container:
        track = container.add_stream("pcm_s16le", rate=rate)
        track.layout = "mono"
        for start in (0.0, 1.5):
            frame = av.AudioFrame.from_ndarray(
                np.full((1, rate // 2), 8000, dtype=np.int16), format="s16", layout="mono"
            )
            frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
            frame.pts = round(start * rate)
            for packet in track.encode(frame):
                container.mux(packet)
        container.mux(track.encode(None))
    waveform, _ = read_sound(path)
    assert waveform.shape == (1, 2 * rate)
    loud = waveform[0] > 0.1
    assert loud[: rate // 2].all()
    assert loud[3 * rate // 2 :].all()
    assert not loud[rate // 2 : 3 * rate // 2].any()


def test_of_several_tracks_the_default_one_is_read(tmp_path):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        tracks = []
        for number in range(2):
            track = container.add_stream("pcm_s16le", rate=16_000)
            track.layout = "mono"
            track.disposition = av.stream.Disposition.default if number else 0
            tracks.append(track)
        for number, track in enumerate(tracks):
            frame = av.AudioFrame.from_ndarray(
                np.full((1, 1600), 1000 * (number + 1), dtype=np.int16),
                format="s16",
                layout="mono",
            )
            frame.sample_rate = 16_000
            container.mux(track.encode(frame))
            container.mux(track.encode(None))
    waveform, _ = read_sound(path)
    np.testing.assert_allclose(waveform, 2000 / 2**15)


def test_odd_names(tmp_path, wav_path, clip_path):
    for source in (wav_path, clip_path):
        for name in ("sp ace é 音.dat", "http:a", "concat:b|c", os.fsdecode(b"\xff\xfe")):
            target = tmp_path / name
            target.write_bytes(source.read_bytes())
            assert read_sound(target)[0].shape[0] == 2


@pytest.fixture
def bad(tmp_path, wav_path, clip_path, video_path):
    """Files that cannot be used, by what is wrong, with a word of the expected cause."""

    def file(name, content):
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    def sound(name, samples, **kwargs):
        soundfile.write(tmp_path / name, samples, 48_000, **kwargs)
        return tmp_path / name

    header = bytearray(wav_path.read_bytes())
    header[24:28] = (3).to_bytes(4, "little")
    long = write_clip(
        tmp_path / "long.mp4", sound=np.random.default_rng(0).uniform(-1, 1, (1, 480_000))
    )
    infinite = np.zeros(4800)
    infinite[17] = np.inf
    return {
        "empty": (file("empty.wav", b""), "empty"),
        "text": (file("text.wav", b"Not a sound.\n" * 99), "not a sound or video file"),
        "text as mp4": (file("text.mp4", b"Not a video.\n" * 99), "not a sound or video file"),
        "playlist": (file("list.m3u8", b"#EXTM3U\n#EXTINF:1,\n/etc/hostname\n"), "not a sound"),
        "header only": (sound("header.wav", np.zeros((0, 2)), subtype="PCM_24"), "no samples"),
        "nan": (sound("nan.wav", np.full(4800, np.nan), subtype="FLOAT"), "NaN or infinite"),
        "inf": (sound("inf.wav", infinite, subtype="DOUBLE"), "NaN or infinite"),
        "rate": (file("rate.wav", bytes(header)), "sampling rate of 3 Hz"),
        "directory": (tmp_path, "directory"),
        "no sound": (video_path, "no sound track"),
        "cut mp4": (file("cut.mp4", long.read_bytes()[:50_000]), "not a sound or video file"),
        "nul in the name": ("a\0b.wav", "null"),
    }


BAD = [
    "empty",
    "text",
    "text as mp4",
    "playlist",
    "header only",
    "nan",
    "inf",
    "rate",
    "directory",
    "no sound",
    "cut mp4",
    "nul in the name",
]


@pytest.mark.parametrize("kind", BAD)
def test_unusable_files_say_what_and_why(bad, kind):
    path, cause = bad[kind]
    with pytest.raises(MediaError, match=cause) as caught:
        read_sound(path, sample_rate=44_100)
    assert caught.value.stage in {"open", "read sound"}
    assert "\0" in str(path) or caught.value.path == os.fspath(path)


def test_missing_file(tmp_path):
    with pytest.raises(MediaNotFoundError, match="no such file"):
        read_sound(tmp_path / "none.wav")


def test_pipes_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(MediaError, match="not a regular file"):
        read_sound(tmp_path / "pipe.wav")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path, wav_path):
    path = tmp_path / "secret.wav"
    path.write_bytes(wav_path.read_bytes())
    path.chmod(0)
    with pytest.raises(MediaError, match="Permission denied"):
        read_sound(path)


def test_a_file_that_changes_while_it_is_read(tmp_path, wav_path, monkeypatch):
    path = tmp_path / "a.wav"
    path.write_bytes(wav_path.read_bytes())
    read = soundfile.SoundFile.read

    def read_and_append(self, *args, **kwargs):
        with path.open("ab") as file:
            file.write(b"more")
        return read(self, *args, **kwargs)

    # Not a stand-in: the real reader, with another writer at work between two of its steps.
    monkeypatch.setattr(soundfile.SoundFile, "read", read_and_append)
    with pytest.raises(MediaError, match="changed while"):
        read_sound(path)


@pytest.mark.parametrize("name", ["sample_rate", "duration"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_parameters_must_be_positive(wav_path, name, value):
    with pytest.raises(ValueError, match=f"{name}=.* must be greater than 0"):
        read_sound(wav_path, **{name: value})


@pytest.mark.slow
def test_flipped_bytes_never_crash_hang_or_give_garbage_lengths(tmp_path, make_tones, make_frames):
    sound = make_tones(0.5)
    sources = [write_clip(tmp_path / "0.mp4", make_frames(0.5), 25, sound=sound)]
    sources.append(write_clip(tmp_path / "1.mkv", make_frames(0.5), 25, sound=sound))
    for number, suffix in enumerate(["wav", "flac", "ogg", "mp3"], 2):
        sources.append(tmp_path / f"{number}.{suffix}")
        soundfile.write(sources[-1], sound.T, 48_000)
    rng = np.random.default_rng(0)
    damaged = []
    for number in range(120):
        source = sources[number % len(sources)]
        content = np.fromfile(source, dtype=np.uint8)
        # Most flips in the header, where they do most harm.
        reach = content.size if number % 3 == 0 else min(400, content.size)
        where = rng.integers(0, reach, size=rng.integers(1, 8))
        content[where] ^= rng.integers(1, 256, size=where.size, dtype=np.uint8)
        damaged.append(tmp_path / f"damaged{number}{source.suffix}")
        content.tofile(damaged[-1])
    code = """
        import sys
        from skavsc.exceptions import MediaError
        from skavsc.media import read_sound
        outcomes = {"read": 0, "refused": 0}
        for path in sys.argv[1:]:
            try:
                waveform, rate = read_sound(path, sample_rate=44100, duration=1.0)
            except MediaError:
                outcomes["refused"] += 1
            else:
                assert rate == 44100 and waveform.ndim == 2, path
                assert 0 < waveform.shape[1] <= 44100, path
                outcomes["read"] += 1
        print(outcomes["read"], outcomes["refused"])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, damaged)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    n_read, n_refused = map(int, done.stdout.split())
    assert n_read + n_refused == 120
    assert min(n_read, n_refused) > 10

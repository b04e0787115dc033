import av
import numpy as np
import pytest

from skavsc.exceptions import MediaError
from skavsc.media import write_clip


def decode(path, **streams):
    with av.open(str(path)) as container:
        return list(container.decode(**streams))


def test_colours_and_times_survive(tmp_path, make_frames):
    path = write_clip(tmp_path / "x.mp4", make_frames(duration=2.0), 25)
    frames = decode(path, video=0)
    np.testing.assert_allclose([f.time for f in frames], np.arange(50) / 25)
    picture = frames[0].to_ndarray(format="rgb24")
    np.testing.assert_allclose(picture[40, 4], [220, 0, 0], atol=12)
    np.testing.assert_allclose(picture[40, 60], [0, 0, 220], atol=12)
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"
        assert float(container.duration / av.time_base) == pytest.approx(2.0)
        assert not container.streams.audio


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_both_streams_lie_side_by_side(tmp_path, make_frames, make_tones, suffix):
    sound = make_tones(duration=3.0)
    path = write_clip(tmp_path / f"x{suffix}", make_frames(duration=3.0), 25, sound=sound)
    heard = np.concatenate([f.to_ndarray() for f in decode(path, audio=0)], axis=1)
    assert heard.shape[1] >= sound.shape[1]
    # The encoder smears the first milliseconds of a sudden onset.
    middle = slice(4_000, 140_000)
    assert np.abs(heard[:, middle] - sound[:, middle]).std() < 0.02
    with av.open(str(path)) as container:
        order = [(p.stream.type, float(p.pts * p.time_base)) for p in container.demux() if p.size]
    latest = {"audio": 0.0, "video": 0.0}
    for kind, time in order:
        latest[kind] = time
        assert abs(latest["audio"] - latest["video"]) < 1.6  # not one stream after the other


def test_sound_alone_keeps_samples_with_a_lossless_codec(tmp_path, make_tones):
    sound = make_tones(rate=16_000)
    path = write_clip(tmp_path / "x.mkv", sound=sound, rate=16_000, sound_codec="pcm_s16le")
    frames = decode(path, audio=0)
    heard = np.concatenate([f.to_ndarray().reshape(-1, 2).T for f in frames], axis=1) / 2**15
    assert frames[0].sample_rate == 16_000
    np.testing.assert_allclose(heard, sound, atol=1 / 2**15)


def test_times_give_a_variable_rate_and_a_late_start(tmp_path, make_frames):
    times = 0.467 + np.arange(25) ** 1.2 / 25
    path = write_clip(tmp_path / "x.mp4", make_frames(), times=times)
    np.testing.assert_allclose([f.time for f in decode(path, video=0)], times, atol=2e-5)


def test_an_iterator_and_an_array_give_the_same_file(tmp_path, make_frames):
    frames = make_frames()
    one = write_clip(tmp_path / "a.mp4", frames, 29.97)
    two = write_clip(tmp_path / "b.mp4", (frame for frame in frames), 29.97)
    assert one.read_bytes() == two.read_bytes()


def test_the_same_frames_give_the_same_file_every_time(tmp_path):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (10, 30, 40, 3), dtype=np.uint8).repeat(8, 1).repeat(8, 2)
    frames = [np.roll(frame, number, axis=1) for number, frame in enumerate(frames)]
    files = {write_clip(tmp_path / "x.mp4", frames, 10).read_bytes() for _ in range(10)}
    assert len(files) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frames": None}, "at least one of them"),
        ({"frames": []}, "frames is empty"),
        ({"frames": np.zeros((2, 48, 63, 3), np.uint8)}, "63 x 48 pixels.*even.*yuv444p"),
        ({"frames": np.zeros((2, 48, 64), np.uint8)}, r"frames\[0\] is uint8 of shape \(48, 64\)"),
        ({"frames": np.zeros((2, 48, 64, 3))}, r"frames\[0\] is float64"),
        ({"frames": [np.zeros((8, 8, 3), np.uint8), np.zeros((8, 6, 3), np.uint8)]}, "frames.1."),
        ({"fps": 0}, "fps must be greater than 0"),
        ({"fps": float("nan")}, "fps must be"),
        ({"times": [0.0]}, "more frames than times"),
        ({"times": [0.5, 0.4]}, "increasing, but 0.4"),
        ({"sound": np.ones((2, 0))}, r"shape \(2, 0\)"),
        ({"sound": np.ones(99, dtype=np.int16)}, "sound is int16"),
        ({"sound": np.full(99, 1.5)}, "peak is 1.5"),
        ({"sound": np.array([0.0, np.nan])}, "peak is nan"),
        ({"picture_codec": "h265000"}, "picture_codec='h265000'"),
    ],
)
def test_bad_arguments_are_named(tmp_path, change, message):
    arguments = {"frames": np.zeros((2, 48, 64, 3), np.uint8)} | change
    with pytest.raises(ValueError, match=message):
        write_clip(tmp_path / "x.mp4", **arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("no such folder/x.mp4", {}, "no such folder/x.mp4: write: No such file"),
        ("x.xyz", {}, "no container is known by the suffix '.xyz'"),
        ("x.mp4", {"sound": np.zeros(9), "rate": 12_345}, "x.mp4: write: "),
    ],
)
def test_what_cannot_be_written_is_a_media_error(tmp_path, make_frames, name, arguments, message):
    with pytest.raises(MediaError, match=message):
        write_clip(tmp_path / name, make_frames(), **arguments)


def test_a_failure_leaves_the_older_file(tmp_path, make_frames):
    path = write_clip(tmp_path / "x.mp4", make_frames())
    before = path.read_bytes()

    def stops():
        yield from make_frames()[:3]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_clip(path, stops())
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]

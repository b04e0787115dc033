"""Frames at regular instants: OpenCV's pixels, true time stamps, and files that are no videos."""

import os
import shutil
import struct
import subprocess
import sys
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skavsc.exceptions import MediaError, MediaNotFoundError
from skavsc.media import read_frames, write_clip


def textured(n_frames=20, height=90, width=122, seed=0):
    """Coloured blotches that move by two pixels a frame."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (9, 16, 3)).astype(np.uint8)
    wide = cv2.resize(coarse, (width + 2 * n_frames, height), interpolation=cv2.INTER_CUBIC)
    return np.stack([wide[:, 2 * i : 2 * i + width] for i in range(n_frames)])


def numbered(n_frames, height=32, width=32):
    """Grey frames whose brightness tells their number: 10 levels apart."""
    levels = 20 + 10 * np.arange(n_frames)
    return np.broadcast_to(levels[:, None, None, None], (n_frames, height, width, 3)).astype(
        np.uint8
    )


def numbers(frames):
    return np.round((frames.mean(axis=(1, 2, 3)) - 20) / 10).astype(int).tolist()


def opencv_frames(path, size=None):
    capture = cv2.VideoCapture(str(path))
    frames = []
    while True:
        good, frame = capture.read()
        if not good:
            return np.stack(frames)
        frame = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        frames.append(frame if size is None else cv2.resize(frame, (size, size)))


@pytest.fixture(scope="module")
def long_path(media_dir):
    return write_clip(media_dir / "long.mp4", textured(60), fps=30)


# The pixels.


@pytest.mark.parametrize(
    ("suffix", "codec", "pixels", "height", "width"),
    [
        (".mp4", "libx264", "yuv420p", 90, 122),
        (".mp4", "libx264", "yuv444p", 91, 123),
        (".mp4", "libx264", "yuv420p10le", 90, 122),
        (".mp4", "libx264", "yuvj420p", 90, 122),
        (".mkv", "ffv1", "yuv420p", 91, 123),
        (".webm", "libvpx-vp9", "yuv420p", 90, 122),
        (".avi", "libx264", "yuv420p", 90, 122),
        (".ts", "mpeg2video", "yuv420p", 90, 122),
        (".mkv", "ffv1", "bgr0", 1, 1),
    ],
)
def test_pixels_equal_opencv(tmp_path, suffix, codec, pixels, height, width):
    path = tmp_path / f"clip{suffix}"
    write_raw(path, textured(12, height, width), 25, codec, pixels)
    np.testing.assert_array_equal(read_frames(path, fps=25), opencv_frames(path))
    np.testing.assert_array_equal(read_frames(path, fps=25, size=56), opencv_frames(path, 56))


def write_raw(path, frames, rate, codec, pixels):
    """Encode without the checks of write_clip, which refuses odd sizes with 4:2:0."""
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pixels
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


@pytest.mark.parametrize("fps", [1, 5, 7.5, 30])
def test_skipping_leaves_the_pixels(long_path, fps):
    everything = opencv_frames(long_path, 64)
    frames = read_frames(long_path, fps=fps, size=64)
    shown = [int(np.floor(i * 30 / fps + 1e-6)) for i in range(int(2 * fps))]
    np.testing.assert_array_equal(frames, everything[shown])


def test_colours_are_red_green_blue(video_path):
    frames = read_frames(video_path, fps=5)
    left, right = frames[0, 40:, 4:28].mean(axis=(0, 1)), frames[0, 40:, 36:60].mean(axis=(0, 1))
    assert left[0] > 180
    assert max(left[1:]) < 40
    assert right[2] > 180
    assert max(right[:2]) < 40


@pytest.mark.parametrize("name", ["nearest", "linear", "cubic", "area", "lanczos4"])
def test_named_interpolation(video_path, name):
    flag = getattr(cv2, f"INTER_{name.upper()}")
    whole = opencv_frames(video_path)[0]
    expected = cv2.resize(whole, (40, 30), interpolation=flag)
    frames = read_frames(video_path, fps=1, size=(30, 40), interpolation=name)
    np.testing.assert_array_equal(frames[0], expected)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation_metadata(tmp_path, degrees):
    path = tmp_path / "turned.mp4"
    frames = textured(5, 48, 64)
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=5)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        stream.set_display_rotation(degrees)
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    turned = read_frames(path, fps=5)
    assert turned.shape[1:3] == ((48, 64) if degrees == 180 else (64, 48))
    np.testing.assert_array_equal(turned, opencv_frames(path))


# The clock.


def test_variable_frame_rate_and_half_open_rule(tmp_path):
    times = [0, 0.2, 0.25, 0.39, 0.41, 1.0, 1.19, 1.2]
    path = write_clip(tmp_path / "vfr.mp4", numbered(8), times=times)
    # At 0.2 s the frame that begins there; at 0.4 s that of 0.39 s; nothing new until 1 s.
    assert numbers(read_frames(path, fps=5)) == [0, 1, 3, 4, 4, 5, 7]


@given(
    gaps=st.lists(st.integers(1, 900), min_size=1, max_size=15),
    fps=st.sampled_from([1, 2, 5, 8, 29.97]),
)
@settings(max_examples=25, deadline=None)
def test_any_times_give_the_last_frame_not_later(tmp_path_factory, gaps, fps):
    times = np.cumsum([0, *gaps]) / 1000
    path = tmp_path_factory.mktemp("vfr") / "any.mkv"
    write_clip(path, numbered(len(times)), times=times)
    frames = read_frames(path, fps=fps, duration=float(times[-1]) + 0.01)
    instants = np.arange(len(frames)) / fps
    expected = np.searchsorted(times, instants + 0.5e-3, side="right") - 1
    assert numbers(frames) == expected.tolist()
    assert len(frames) == max(round(fps * (times[-1] + 0.01)), 1)


def test_rounded_time_stamps(tmp_path):
    # In milliseconds 2/3 s is 0.667: a stamp later than the instant that it stands for.
    path = write_clip(tmp_path / "thirds.mkv", numbered(9), fps=3)
    assert numbers(read_frames(path, fps=3)) == list(range(9))


def late_picture(path, start, n_frames=10, rate=10):
    """Sound from 0, picture from ``start`` seconds."""
    times = start + np.arange(n_frames) / rate
    sound = np.zeros((1, round((start + n_frames / rate) * 48_000)))
    return write_clip(path, numbered(n_frames), times=times, sound=sound)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_picture_that_starts_after_the_sound(tmp_path, suffix):
    path = late_picture(tmp_path / f"late{suffix}", 0.467)
    # 0, 0.2 and 0.4 s come before the picture; 0.6 s lies within frame 1 (0.567 to 0.667 s).
    assert numbers(read_frames(path, fps=5, duration=1.4)) == [0, 0, 0, 1, 3, 5, 7]


def test_earliest_stream_is_time_zero(tmp_path):
    times = 100 + np.arange(10) / 10
    path = write_clip(tmp_path / "offset.ts", numbered(10), times=times)
    assert numbers(read_frames(path, fps=5)) == [0, 2, 4, 6, 8]


def test_duration_limits_and_short_files_give_what_they_have(video_path, tmp_path):
    assert len(read_frames(video_path, fps=5)) == 5
    assert len(read_frames(video_path, fps=5, duration=0.6)) == 3
    assert len(read_frames(video_path, fps=5, duration=10)) == 5
    single = write_clip(tmp_path / "single.mp4", numbered(1), fps=25)
    assert read_frames(single, fps=5, duration=10).shape == (1, 32, 32, 3)
    np.testing.assert_array_equal(
        read_frames(video_path, fps=5, duration=0.6), read_frames(video_path, fps=5)[:3]
    )


def test_avi_keeps_the_order_of_frames(tmp_path):
    path = tmp_path / "old.avi"
    write_raw(path, numbered(12), 12, "libx264", "yuv420p")
    assert numbers(read_frames(path, fps=6)) == [0, 2, 4, 6, 8, 10]


def test_trimmed_without_encoding(tmp_path, long_path):
    """A cut between key frames keeps frames that are decoded and not shown."""
    whole = tmp_path / "whole.mp4"
    write_raw(whole, textured(60), 30, "libx264", "yuv420p")
    trimmed = tmp_path / "trimmed.mp4"
    with av.open(whole) as source, av.open(trimmed, "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                # Time stamps before 0 become an edit list.
                shift = round(Fraction(1, 2) / packet.time_base)
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                packet.stream = stream
                target.mux(packet)
    np.testing.assert_array_equal(read_frames(trimmed, fps=30), opencv_frames(trimmed))
    np.testing.assert_array_equal(read_frames(trimmed, fps=30)[0], read_frames(whole, fps=30)[15])


# Streams.


def test_cover_art_is_no_video(tmp_path):
    path = tmp_path / "song.mp4"
    with av.open(path, "w") as container:
        sound = container.add_stream("aac", rate=48_000)
        cover = container.add_stream("mjpeg", rate=1)
        cover.height, cover.width, cover.pix_fmt = 32, 32, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), "float32"), "fltp", "mono")
        frame.sample_rate = 48_000
        container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
        container.mux(cover.encode(av.VideoFrame.from_ndarray(numbered(1)[0], format="rgb24")))
        container.mux(cover.encode(None))
    with pytest.raises(MediaError, match=r"read picture: the file has no video stream"):
        read_frames(path)


def test_stream_flagged_as_default(tmp_path):
    path = tmp_path / "two.mkv"
    with av.open(path, "w") as container:
        streams = []
        for size, level in ((32, 50), (64, 150)):
            stream = container.add_stream("ffv1", rate=5)
            stream.height = stream.width = size
            stream.pix_fmt = "bgr0"
            streams.append((stream, np.full((size, size, 3), level, "uint8")))
        streams[1][0].disposition = av.stream.Disposition.default
        for _ in range(5):
            for stream, image in streams:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        for stream, _ in streams:
            container.mux(stream.encode(None))
    frames = read_frames(path, fps=5)
    assert frames.shape == (5, 64, 64, 3)
    assert (frames == 150).all()


def test_large_video(tmp_path):
    path = write_clip(tmp_path / "4k.mp4", textured(2, 2160, 3840), fps=5)
    np.testing.assert_array_equal(read_frames(path, fps=5, size=64), opencv_frames(path, 64))


def test_name_with_spaces_and_letters(video_path, tmp_path):
    path = tmp_path / "a b ü 日本:1.mp4"
    path.write_bytes(video_path.read_bytes())
    np.testing.assert_array_equal(read_frames(path), read_frames(str(video_path)))


# Files that cannot be used.


def test_missing_file(tmp_path):
    with pytest.raises(MediaNotFoundError, match=r"gone\.mp4: open: there is no such file"):
        read_frames(tmp_path / "gone.mp4")


def faststart(source, target):
    """Copy with the index before the pictures, as for streaming."""
    with (
        av.open(source) as old,
        av.open(target, "w", options={"movflags": "faststart"}) as new,
    ):
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)
    return target.read_bytes()


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (lambda whole: b"", "the file is empty"),
        (
            lambda whole: b"Dear diary, today I filmed a tram.\n" * 50,
            "not a video file, .*FFmpeg",
        ),
        (lambda whole: whole[:300], "the file has no video stream"),
        (lambda whole: bytes(5000), "FFmpeg: Invalid data"),
        (lambda whole: b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n", "FFmpeg"),
    ],
    ids=["empty", "text", "head", "zeros", "playlist"],
)
def test_unreadable_content(tmp_path, content, cause):
    whole = tmp_path / "whole.mp4"
    write_raw(whole, textured(60), 30, "libx264", "yuv420p")
    path = tmp_path / "bad.mp4"
    path.write_bytes(content(faststart(whole, tmp_path / "fast.mp4")))
    with pytest.raises(MediaError, match=cause) as caught:
        read_frames(path)
    assert caught.value.path == str(path)
    assert caught.value.stage in ("open", "read picture")


def test_truncation_after_the_part_that_is_read(tmp_path):
    whole = tmp_path / "whole.mp4"
    write_raw(whole, textured(90), 30, "libx264", "yuv420p")
    content = faststart(whole, tmp_path / "fast.mp4")
    path = tmp_path / "cut.mp4"
    path.write_bytes(content[: -len(content) // 3])
    np.testing.assert_array_equal(
        read_frames(path, fps=5, duration=0.6), read_frames(whole, fps=5, duration=0.6)
    )


def test_sound_file_and_directory(wav_path, tmp_path):
    with pytest.raises(MediaError, match="the file has no video stream"):
        read_frames(wav_path)
    with pytest.raises(MediaError, match="directory"):
        read_frames(tmp_path)


def test_file_that_changes_while_it_is_read(tmp_path, monkeypatch):
    path = write_clip(tmp_path / "growing.mp4", numbered(10), fps=10)
    convert = cv2.cvtColor

    def grow(*args):
        with path.open("ab") as file:
            file.write(b"more")
        return convert(*args)

    # Not a stand-in: the real reader, with another writer at work between two of its steps.
    monkeypatch.setattr(cv2, "cvtColor", grow)
    with pytest.raises(MediaError, match="changed while it was read"):
        read_frames(path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fps": 0}, "fps=0 must be greater than 0"),
        ({"duration": -1}, "duration=-1 must be greater than 0"),
        ({"fps": np.nan}, "fps=nan must be greater than 0 and finite"),
        ({"size": 0}, "size must be a height and a width"),
        ({"size": (3, 4, 5)}, "size must be a height and a width"),
        ({"interpolation": "bilinear"}, "interpolation='bilinear' is unknown; use one of .*linear"),
    ],
)
def test_bad_parameters(video_path, options, message):
    with pytest.raises(ValueError, match=message):
        read_frames(video_path, **options)


FLIP = """
import sys, numpy as np
from skavsc.exceptions import MediaError
from skavsc.media import read_frames
content = open(sys.argv[1], "rb").read()
rng = np.random.default_rng(0)
read = failed = 0
for _ in range(100):
    damaged = bytearray(content)
    for position in rng.integers(0, len(content), rng.integers(1, 20)):
        damaged[position] = rng.integers(256)
    open(sys.argv[2], "wb").write(damaged)
    try:
        frames = read_frames(sys.argv[2], fps=5, duration=4, size=32)
        assert 1 <= len(frames) <= 20 and frames.shape[1:] == (32, 32, 3), frames.shape
        read += 1
    except MediaError:
        failed += 1
print(read, failed)
"""


@pytest.mark.slow
def test_flipped_bytes_neither_crash_nor_hang(tmp_path):
    path = write_clip(tmp_path / "good.mp4", textured(60), fps=30)
    done = subprocess.run(
        [sys.executable, "-c", FLIP, path, tmp_path / "flipped.mp4"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    read, failed = map(int, done.stdout.split())
    assert read + failed == 100
    assert failed > 0


# Turned and mirrored pictures.

MATRICES = {
    # The display matrix (a, b; c, d) of ISO 14496-12 and what it does to an image.
    "as it is": ((1, 0, 0, 1), lambda image: image),
    "90": ((0, 1, -1, 0), lambda image: np.rot90(image, -1)),
    "180": ((-1, 0, 0, -1), lambda image: np.rot90(image, 2)),
    "270": ((0, -1, 1, 0), lambda image: np.rot90(image)),
    "mirrored": ((-1, 0, 0, 1), lambda image: image[:, ::-1]),
    "upside down": ((1, 0, 0, -1), lambda image: image[::-1]),
    "mirrored and 90": ((0, 1, 1, 0), lambda image: image.transpose(1, 0, 2)),
    "mirrored and 270": ((0, -1, -1, 0), lambda image: np.rot90(image, 2).transpose(1, 0, 2)),
}


@pytest.fixture(scope="module")
def turned(tmp_path_factory):
    """An mp4 for each display matrix, written into its track header."""
    folder = tmp_path_factory.mktemp("turned")
    path = folder / "plain.mp4"
    write_raw(path, textured(5, 48, 64), 5, "libx264", "yuv420p")
    content = path.read_bytes()
    at = content.index(b"tkhd") + 4 + 40  # version 0: the matrix follows 40 bytes
    for name, ((a, b, c, d), _) in MATRICES.items():
        matrix = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
        (folder / f"{name}.mp4").write_bytes(content[:at] + matrix + content[at + 36 :])
    return folder


@pytest.mark.parametrize("name", MATRICES)
def test_display_matrix(turned, name):
    expected = [MATRICES[name][1](image) for image in opencv_frames(turned / "plain.mp4")]
    np.testing.assert_array_equal(read_frames(turned / f"{name}.mp4", fps=5), expected)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the ffmpeg command")
@pytest.mark.parametrize("name", MATRICES)
def test_display_matrix_as_the_ffmpeg_command(turned, name):
    frames = read_frames(turned / f"{name}.mp4", fps=5)
    command = ["ffmpeg", "-v", "error", "-i", f"{name}.mp4", "-f", "rawvideo", "-pix_fmt", "rgb24"]
    raw = subprocess.run([*command, "-"], check=True, cwd=turned, capture_output=True).stdout
    expected = np.frombuffer(raw, np.uint8).reshape(frames.shape)
    # Colours are converted and turned in another order, so that they differ a little.
    assert np.abs(frames.astype(int) - expected).mean() < 2

"""Clocks: gaps, jitter, time stamps that are fine, absent, empty, or begin anew."""

import shutil
import struct
import subprocess
from fractions import Fraction

import av
import numpy as np
import pytest

from skavsc.media import read_frames, read_sound, write_clip

RATE = 48_000


def numbers(frames, first=20, step=4):
    return np.round((frames[:, 32, 32, 0].astype(float) - first) / step).astype(int).tolist()


# AVI.


@pytest.mark.parametrize(
    ("codec", "pixels", "options"),
    [
        ("mjpeg", "yuvj420p", {"qscale": "2"}),
        ("mpeg4", "yuv420p", {"qscale": "2"}),
        ("ffv1", "bgr0", {}),
    ],
)
def test_avi_with_dropped_frames(tmp_path, encode_picture, grey, codec, pixels, options):
    # The camera delivers nothing from 0.04 to 0.8 s.
    kept = [0, *range(20, 50)]
    path = encode_picture(
        tmp_path / "a.avi",
        grey(20 + 4 * np.array(kept)),
        25,
        codec,
        pixels,
        numbers=kept,
        options=options,
    )
    expected = [0, 0, 0, 0, 20, 25, 30, 35, 40, 45]
    np.testing.assert_allclose(numbers(read_frames(path, fps=5)), expected, atol=1)


@pytest.mark.parametrize(
    ("codec", "options"),
    [("mpeg4", {"bf": "2", "qscale": "1"}), ("libx264", {"crf": "5"}), ("libx264", {"bf": "0"})],
)
def test_avi_of_frames_in_another_order(tmp_path, encode_picture, grey, codec, options):
    kept = [*range(10), *range(20, 40)]
    path = encode_picture(
        tmp_path / "a.avi",
        grey(20 + 4 * np.array(kept)),
        10,
        codec,
        numbers=kept,
        options=options,
    )
    expected = [*range(10), *[9] * 10, *range(20, 40)]
    np.testing.assert_allclose(numbers(read_frames(path, fps=10)), expected, atol=1)
    assert numbers(read_frames(path, fps=10, duration=1.5))[10:] == [9] * 5


@pytest.mark.parametrize("suffix", ["avi", "mkv"])
def test_picture_that_begins_late(tmp_path, make_noise, grey, suffix):
    path = tmp_path / f"a.{suffix}"
    with av.open(path, "w") as container:
        picture = container.add_stream("mjpeg", rate=10)
        picture.height = picture.width = 64
        picture.pix_fmt, picture.options = "yuvj420p", {"qscale": "2"}
        track = container.add_stream("pcm_s16le", rate=RATE)
        track.layout = "mono"
        for block in range(20):
            part = (make_noise(0.1, 1) * 2**15).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(part, "s16", "mono")
            frame.sample_rate, frame.pts = RATE, block * 4800
            frame.time_base = Fraction(1, RATE)
            container.mux(track.encode(frame))
            if block >= 10:
                [image] = grey([20 + 4 * block])
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
                frame.pts, frame.time_base = block, Fraction(1, 10)
                container.mux(picture.encode(frame))
        container.mux(track.encode(None))
        container.mux(picture.encode(None))
    assert numbers(read_frames(path, fps=5)) == [10] * 6 + [12, 14, 16, 18]
    # Where it begins after what is asked for, the first frame stands for it.
    assert numbers(read_frames(path, fps=5, duration=0.4)) == [10, 10]


def test_picture_that_begins_after_what_is_read(tmp_path, grey, make_noise):
    times = 3 + np.arange(10) / 10
    for suffix in ("mp4", "mkv", "mov"):
        path = write_clip(
            tmp_path / f"a.{suffix}",
            grey(20 + 4 * np.arange(10)),
            times=times,
            sound=make_noise(4),
        )
        assert numbers(read_frames(path, fps=5, duration=1.0)) == [0] * 5


# Jitter and gaps of sound.


@pytest.mark.parametrize("late", [0, 9, 12, 19])
def test_one_late_time_stamp_is_not_silence(tmp_path, encode_sound, make_noise, late):
    def stamp(packet):
        if packet.pts * packet.time_base == 1:
            packet.pts = packet.dts = packet.pts + round(late / 1000 / packet.time_base)
        return packet

    noise = make_noise(2, 1)
    path = encode_sound(tmp_path / "a.mkv", noise, stamp=stamp)
    waveform, _ = read_sound(path)
    np.testing.assert_allclose(waveform, noise, atol=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_jitter_is_not_silence(tmp_path, encode_sound, make_noise, seed):
    rng = np.random.default_rng(seed)

    def stamp(packet):
        packet.pts = packet.dts = packet.pts + int(rng.integers(0, 18))  # ms, of 20
        return packet

    noise = make_noise(2, 1)
    path = encode_sound(tmp_path / "a.mkv", noise, stamp=stamp)
    waveform, _ = read_sound(path)
    begins = waveform.shape[1] - noise.shape[1]
    assert 0 <= begins <= 0.018 * RATE
    np.testing.assert_allclose(waveform[:, begins:], noise, atol=1e-4)


def test_a_lost_packet_is_silence_to_the_millisecond(tmp_path, encode_sound):
    def stamp(packet):
        return None if packet.pts * packet.time_base == 1 else packet

    path = encode_sound(tmp_path / "a.mkv", np.full((1, 2 * RATE), 0.5), stamp=stamp)
    waveform, _ = read_sound(path)
    assert waveform.shape == (1, 2 * RATE)
    silent = np.flatnonzero(waveform[0] == 0)
    assert abs(silent[0] / RATE - 1) <= 1e-3
    assert abs(len(silent) / RATE - 0.02) <= 1e-3


def test_a_slow_clock_leaves_no_holes(tmp_path, encode_sound, make_noise):
    """Sound whose time stamps run ahead by 1 % for a while has no holes of 10 ms."""

    def stamp(packet):
        packet.pts = packet.dts = packet.pts + packet.pts // 100
        return packet

    noise = make_noise(8, 1)
    path = encode_sound(tmp_path / "a.mkv", noise, stamp=stamp)
    waveform, _ = read_sound(path)
    np.testing.assert_allclose(waveform, noise, atol=1e-4)


# Fine, absent and empty time stamps.


@pytest.mark.parametrize("start", [0, 30, 33])
def test_a_clock_finer_than_microseconds(tmp_path, encode_picture, grey, start):
    path = encode_picture(
        tmp_path / "a.mp4",
        grey(20 + 4 * np.arange(50)),
        25,
        numbers=range(0, 50 * 400_000, 400_000),
        unit=Fraction(1, 10_000_000),
        options={"bf": "0", "crf": "5"},
        container_options={
            "video_track_timescale": "10000000",
            "movflags": "frag_keyframe+empty_moov+default_base_moof",
        },
    )
    content = bytearray(path.read_bytes())
    at = content.find(b"tfdt") + 8
    content[at : at + 8] = struct.pack(">Q", start)
    path.write_bytes(content)
    assert numbers(read_frames(path, fps=5)) == list(range(0, 50, 5))


@pytest.mark.parametrize("suffix", ["h264", "m4v"])
def test_bare_streams_follow_the_frame_rate(tmp_path, encode_picture, grey, suffix):
    codec = "libx264" if suffix == "h264" else "mpeg4"
    levels = 20 + 4 * np.arange(50)
    path = encode_picture(tmp_path / f"a.{suffix}", grey(levels), 25, codec)
    np.testing.assert_allclose(numbers(read_frames(path, fps=5)), np.arange(0, 50, 5), atol=1)


def test_a_bare_stream_is_read_as_far_as_needed(tmp_path, encode_picture, grey):
    path = encode_picture(tmp_path / "a.h264", grey(np.arange(250) % 200), 25)
    whole = read_frames(path, fps=5)
    # The bytes after 3.5 s are never looked at.
    content = bytearray(path.read_bytes())
    content[-len(content) // 4 :] = bytes(len(content) // 4)
    (tmp_path / "b.h264").write_bytes(content)
    part = read_frames(tmp_path / "b.h264", fps=5, duration=1.0)
    np.testing.assert_array_equal(part, whole[:5])


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the ffmpeg command")
def test_empty_packets_repeat_the_frame_before(tmp_path, grey):
    levels = np.r_[40:66, 66:116]  # nothing new from 1 to 2 s
    write_clip(
        tmp_path / "a.mkv", grey(levels), times=np.r_[np.arange(26) / 25, 2 + np.arange(50) / 25]
    )
    subprocess.run(
        ["ffmpeg", "-v", "error", "-i", "a.mkv", "-r", "25", "-c:v", "libtheora", "a.ogv"],
        check=True,
        cwd=tmp_path,
    )
    expected = read_frames(tmp_path / "a.mkv", fps=5)[:, 32, 32, 0].astype(int)
    found = read_frames(tmp_path / "a.ogv", fps=5)[:, 32, 32, 0].astype(int)
    assert len(found) == 20
    assert np.abs(found - expected).max() <= 3


# Parts of joined files.


def joined(folder, encode_sound, grey, begins):
    """Join two transport streams of 2 s, each with a burst in its middle."""
    parts = []
    for number, begin in enumerate(begins):
        sound = np.zeros((1, 2 * RATE))
        sound[:, RATE : RATE + 960] = 0.9
        path = write_clip(
            folder / "part.ts",
            grey(40 + 4 * np.arange(20 * number, 20 * number + 20)),
            times=begin + np.arange(20) / 10,
            sound=np.concatenate([np.zeros((1, round(begin * RATE))), sound], axis=1),
            sound_codec="mp2",
        )
        parts.append(path.read_bytes())
    path = folder / "joined.ts"
    path.write_bytes(b"".join(parts))
    return path


def test_joined_parts_of_one_clock(tmp_path, encode_picture, grey):
    parts = []
    for first in (0, 20):
        path = encode_picture(
            tmp_path / "part.ts",
            grey(40 + 4 * np.arange(first, first + 20)),
            10,
            numbers=range(first, first + 20),
            options={"bf": "0"},
        )
        parts.append(path.read_bytes())
    (tmp_path / "joined.ts").write_bytes(b"".join(parts))
    # At the join the counters jump, which FFmpeg takes for damage.
    assert numbers(read_frames(tmp_path / "joined.ts", fps=10), 40) == list(range(40))


def test_joined_parts_whose_clock_begins_anew(tmp_path, encode_sound, grey):
    path = joined(tmp_path, encode_sound, grey, (0, 0))
    # In the middle of each frame, because sound begins 10 ms early, by the run-in of the codec.
    frames = numbers(read_frames(path, fps=20), 40)[1::2]
    np.testing.assert_allclose(frames[:20], np.arange(20), atol=1)
    assert len(frames) in (40, 41)
    np.testing.assert_allclose(frames[-20:], np.arange(20, 40), atol=1)
    waveform, _ = read_sound(path)
    loud = np.flatnonzero(np.abs(waveform[0]) > 0.4) / RATE
    assert abs(loud[0] - 1.01) < 0.005
    # The second burst comes with its frame, the tenth of its part.
    frame = len(frames) / 10 - 1
    assert abs(loud[loud > 2][0] - frame) < 0.06


# Several programs.


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the ffmpeg command")
def test_picture_and_sound_of_one_program(tmp_path):
    command = ["ffmpeg", "-v", "error"]
    for size, hertz in (("64x64", 300), ("128x128", 900)):
        command += ["-f", "lavfi", "-i", f"color=gray:s={size}:d=2"]
        command += ["-f", "lavfi", "-i", f"sine={hertz}:d=2"]
    command += [part for number in range(4) for part in ("-map", str(number))]
    command += ["-c:v", "mpeg2video", "-c:a", "mp2", "-ac:a:0", "2", "-ac:a:1", "1"]
    # The larger picture is that players choose, and stereo the sound: they are not together.
    command += ["-program", "st=0:st=1", "-program", "st=2:st=3", "a.ts"]
    subprocess.run(command, check=True, cwd=tmp_path)
    frames = read_frames(tmp_path / "a.ts")
    waveform, rate = read_sound(tmp_path / "a.ts")
    part = waveform[0, rate // 2 : rate // 2 + rate]
    hertz = int(np.abs(np.fft.rfft(part * np.hanning(rate))).argmax())
    assert (frames.shape[1], hertz) in {(64, 300), (128, 900)}

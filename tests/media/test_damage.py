"""One rule for damage, one for failures of dependencies, and the limits."""

import math
import subprocess
import sys
import warnings

import av
import numpy as np
import pytest
import soundfile

from skavsc.exceptions import DamagedMediaWarning, MediaError
from skavsc.media import read_frames, read_sound, write_clip
from skavsc.media._file import UnusableError, media_errors

RATE = 48_000


# Files that are cut off.


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
@pytest.mark.parametrize(
    ("suffix", "kind"),
    [
        ("wav", "PCM_16"),
        ("wav", "FLOAT"),
        ("rf64", "PCM_16"),
        ("w64", "PCM_16"),
        ("aiff", "PCM_24"),
        ("au", "PCM_16"),
        ("flac", "PCM_16"),
    ],
)
def test_sound_files_cut_off(tmp_path, make_noise, suffix, kind, share):
    whole, path = tmp_path / f"whole.{suffix}", tmp_path / f"cut.{suffix}"
    soundfile.write(whole, make_noise(2).T, RATE, kind, format=suffix.upper())
    content = whole.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    expected, _ = read_sound(whole)
    with pytest.warns(DamagedMediaWarning, match=rf"cut\.{suffix}: read sound: ") as caught:
        waveform, _ = read_sound(path)
    assert len(caught) == 1
    n_samples = waveform.shape[1]
    assert abs(n_samples / (2 * RATE) - share) < 0.05
    np.testing.assert_array_equal(waveform[:, :-1], expected[:, : n_samples - 1])
    # What is asked for is there: nothing to warn of.
    part, _ = read_sound(path, duration=0.3)
    np.testing.assert_array_equal(part, expected[:, : round(0.3 * RATE)])


@pytest.fixture(scope="module")
def containers(tmp_path_factory, make_noise, grey):
    """Clips of 4 s in streamable containers, by suffix."""
    folder = tmp_path_factory.mktemp("containers")
    frames = np.random.default_rng(0).integers(0, 40, (100, 64, 64, 3), dtype=np.uint8)
    frames += grey(np.arange(100)).astype(np.uint8)
    paths = {}
    for suffix, codecs in {
        "mkv": {},
        "webm": {"picture_codec": "libvpx", "sound_codec": "libopus"},
        "avi": {"picture_codec": "mpeg4", "sound_codec": "mp2"},
        "ts": {},
        "mov": {"sound_codec": "pcm_s16le"},
    }.items():
        paths[suffix] = write_clip(
            folder / f"whole.{suffix}", frames, 25, sound=make_noise(4), **codecs
        )
    options = {"movflags": "faststart"}
    with av.open(paths["mov"]) as old, av.open(folder / "whole.mp4", "w", options=options) as new:
        copies = [new.add_stream_from_template(stream) for stream in old.streams]
        for packet in old.demux():
            if packet.dts is not None:
                packet.stream = copies[packet.stream.index]
                new.mux(packet)
    paths["mp4"] = folder / "whole.mp4"
    del paths["mov"]
    return paths


@pytest.mark.parametrize("share", [0.4, 0.7])
@pytest.mark.parametrize("suffix", ["mkv", "webm", "avi", "ts", "mp4"])
def test_containers_cut_off(tmp_path, containers, suffix, share):
    content = containers[suffix].read_bytes()
    length = int(share * len(content))
    path = tmp_path / f"cut.{suffix}"
    path.write_bytes(content[: length + (length % 188 == 0)])
    for read, unit in ((read_frames, 5), (lambda path, **how: read_sound(path, **how)[0].T, RATE)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            whole = read(containers[suffix])
            first = read(path, duration=0.4)
        with pytest.warns(DamagedMediaWarning, match=rf"cut\.{suffix}: read (sound|picture): "):
            part = read(path)
        assert abs(len(part) / unit / 4 - share) < 0.15
        n_same = int(0.8 * len(part))
        np.testing.assert_array_equal(part[:n_same], whole[:n_same])
        np.testing.assert_array_equal(first, whole[: len(first)])


def end_of_packet(path, share):
    """Where the last packet ends before a share of a file."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux() if packet.size]
    content = path.read_bytes()
    ends = [content.index(bytes(packet)) + packet.size for packet in packets]
    return max(end for end in ends if end < share * len(content))


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [
        ("mp3", "libmp3lame"),
        ("flac", "flac"),
        ("tta", "tta"),
        ("wv", "wavpack"),
        ("oga", "flac"),
        ("opus", "libopus"),
        ("wma", "wmav2"),
        ("mka", "aac"),
        ("mka", "pcm_s16le"),
        ("avi", "mp2"),
        ("flv", "libmp3lame"),
    ],
)
def test_a_cut_behind_a_packet(tmp_path, encode_sound, make_noise, suffix, codec):
    """Where nothing but the structure tells; whole files give no warning."""
    whole, path = tmp_path / f"whole.{suffix}", tmp_path / f"cut.{suffix}"
    rate = 44_100 if suffix in {"mp3", "flv"} else RATE
    encode_sound(whole, make_noise(2), codec, rate=rate, options={"b": "128k"})
    expected, _ = read_sound(whole)
    # FLV tells of a cut within a packet only.
    path.write_bytes(whole.read_bytes()[: end_of_packet(whole, 0.6) - (suffix == "flv")])
    with pytest.warns(DamagedMediaWarning, match=rf"cut\.{suffix}: read sound: "):
        waveform, _ = read_sound(path)
    n_samples = waveform.shape[1]
    assert n_samples < 0.95 * expected.shape[1]
    np.testing.assert_array_equal(waveform[:, :-4096], expected[:, : n_samples - 4096])


def of_unknown_size(content, names):
    """Write all ones for the sizes of the Matroska elements with some names."""
    content = bytearray(content)
    for name in names:
        at = -1
        while (at := content.find(name, at + 1)) >= 0:
            size = at + len(name)
            n_bytes = 9 - content[size].bit_length()
            ones = bytes([2 ** (9 - n_bytes) - 1]) + b"\xff" * (n_bytes - 1)
            content[size : size + n_bytes] = ones
    return bytes(content)


def test_live_webm(tmp_path, containers):
    """Of unknown size it is whole as long as its last block is."""
    content = of_unknown_size(containers["webm"].read_bytes(), [b"\x18S\x80g", b"\x1fC\xb6u"])
    content = content[: content.rindex(b"\x1cS\xbbk")]  # without an index
    path = tmp_path / "a.webm"
    path.write_bytes(content)
    expected, _ = read_sound(containers["webm"])
    np.testing.assert_array_equal(read_sound(path)[0], expected)
    np.testing.assert_array_equal(read_frames(path), read_frames(containers["webm"]))
    end = end_of_packet(path, 0.6)
    path.write_bytes(content[:end])
    n_samples = read_sound(path)[0].shape[1]
    assert 0.4 < n_samples / expected.shape[1] < 0.8
    path.write_bytes(content[: end - 5])
    for read in (read_sound, read_frames):
        with pytest.warns(DamagedMediaWarning, match=r"a\.webm: .*cut off"):
            read(path)


def test_avi_that_was_not_closed(tmp_path, containers):
    content = bytearray(containers["avi"].read_bytes())
    at = content.index(b"movi") - 8
    assert content[at : at + 4] == b"LIST"
    content = content[: content.index(b"idx1")]
    content[4:8] = content[at + 4 : at + 8] = bytes(4)
    path = tmp_path / "a.avi"
    path.write_bytes(content)
    np.testing.assert_array_equal(read_sound(path)[0], read_sound(containers["avi"])[0])
    path.write_bytes(content[:-100])
    for read in (read_sound, read_frames):
        with pytest.warns(DamagedMediaWarning, match=r"a\.avi: .*cut off"):
            read(path)


def test_transport_stream_of_bluray(tmp_path, containers):
    """Packets of 192 bytes, four of them a time stamp."""
    content = containers["ts"].read_bytes()
    packets = [content[at : at + 188] for at in range(0, len(content), 188)]
    content = b"".join((27 * 192 * n).to_bytes(4, "big") + p for n, p in enumerate(packets))
    path = tmp_path / "a.m2ts"
    path.write_bytes(content)
    expected, _ = read_sound(containers["ts"])
    np.testing.assert_array_equal(read_sound(path)[0], expected)
    path.write_bytes(content[: len(content) * 3 // 5 // 192 * 192 + 90])
    with pytest.warns(DamagedMediaWarning, match=r"a\.m2ts: "):
        read_sound(path)


# Packets that cannot be decoded.


@pytest.fixture(scope="module")
def ac3(tmp_path_factory, encode_sound, make_noise):
    return encode_sound(
        tmp_path_factory.mktemp("ac3") / "a.ac3", make_noise(2), "ac3", block=1536
    ).read_bytes()


def test_a_packet_that_is_cut_at_the_beginning(tmp_path, ac3):
    (tmp_path / "a.ac3").write_bytes(ac3[500:])
    with pytest.warns(DamagedMediaWarning, match=r"a\.ac3: .*1 of 6[23] packets"):
        waveform, _ = read_sound(tmp_path / "a.ac3")
    assert abs(waveform.shape[1] / RATE - 2) < 0.05
    assert waveform[:, 4000:].std() > 0.1


@pytest.mark.filterwarnings("ignore::skavsc.exceptions.DamagedMediaWarning")
def test_a_packet_that_is_cut_at_the_end(tmp_path, ac3):
    (tmp_path / "a.ac3").write_bytes(ac3[:-300])
    waveform, _ = read_sound(tmp_path / "a.ac3")
    assert abs(waveform.shape[1] / RATE - 2) < 0.05


def damaged_flac(encode_sound, make_noise, folder, lost):
    """A Matroska file of FLAC, of whose 50 packets some hold garbage."""

    def stamp(packet):
        if round(packet.pts * packet.time_base / 0.08) in lost:
            broken = av.Packet(b"\xff\xf8" + bytes(40))
            broken.pts, broken.dts, broken.time_base = packet.pts, packet.dts, packet.time_base
            broken.stream = packet.stream
            return broken
        return packet

    return encode_sound(folder / "a.mka", make_noise(4), "flac", stamp=stamp, block=3840)


def test_few_lost_packets_are_silent(tmp_path, encode_sound, make_noise):
    path = damaged_flac(encode_sound, make_noise, tmp_path, {10, 30})
    with pytest.warns(DamagedMediaWarning, match="2 of [0-9]+ packets cannot be decoded"):
        waveform, _ = read_sound(path)
    assert abs(waveform.shape[1] - 4 * RATE) <= RATE // 1000
    silent = (waveform[0] == 0).nonzero()[0]
    assert 0 < len(silent) < 0.3 * RATE
    assert waveform[:, -RATE:].std() > 0.1


def test_many_lost_packets_between_are_an_error(tmp_path, encode_sound, make_noise):
    path = damaged_flac(encode_sound, make_noise, tmp_path, set(range(5, 40, 3)))
    with pytest.raises(MediaError, match=r"packets cannot be decoded, more than 10%"):
        read_sound(path)


def test_a_frame_that_is_lost_is_held_over(tmp_path, encode_picture, grey):
    path = encode_picture(
        tmp_path / "a.mkv", grey(np.arange(50) * 4), 25, "ffv1", "bgr0", options={"g": "1"}
    )
    content = bytearray(path.read_bytes())
    with av.open(path) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    at = content.index(packets[20])
    content[at : at + len(packets[20])] = b"\xff" * len(packets[20])
    path.write_bytes(content)
    with pytest.warns(DamagedMediaWarning, match=r"a\.mkv: read picture: 1 of 50 packets"):
        frames = read_frames(path, fps=25)
    expected = np.arange(50) * 4
    expected[20] = expected[19]
    np.testing.assert_array_equal(frames[:, 0, 0, 0], expected)


# Failures of dependencies.


class Unprintable(Exception):
    def __str__(self):
        return "\udcff"


KINDS = [
    IndexError("list index out of range"),
    OSError(22, "Invalid argument"),
    MemoryError(),
    ValueError("bad"),
    KeyError("x"),
    TypeError("x"),
    OverflowError("x"),
    ZeroDivisionError("x"),
    AssertionError(),
    RuntimeError("x"),
    NotImplementedError(),
    EOFError(),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "x"),
    StopIteration(),
    RecursionError(),
    BufferError(),
    av.error.InvalidDataError(1, "Invalid data", "fd:"),
    av.error.ExitError(2, "Exit", "fd:"),
    soundfile.LibsndfileError(1),
    UnusableError("why"),
    Unprintable(),
]


@pytest.mark.parametrize("stage", ["read sound", "read picture"])
@pytest.mark.parametrize("error", KINDS, ids=lambda error: type(error).__name__)
def test_every_failure_is_a_media_error(error, stage):
    def decoder():
        raise error

    with pytest.raises(MediaError) as caught, media_errors("a.mkv", stage):
        decoder()
    assert (caught.value.path, caught.value.stage) == ("a.mkv", stage)
    assert caught.value.cause


MISTAKES = (AssertionError, AttributeError, ImportError, NameError, TypeError)


@pytest.mark.parametrize("module", ["skavsc.media._sound", "av.stream", None])
@pytest.mark.parametrize("error", [*KINDS, *(kind("x") for kind in MISTAKES)], ids=repr)
def test_our_own_mistakes_are_not_taken_for_damage(error, module):
    """What tells is the kind, and whose code raised it."""
    code = {"__name__": module, "error": error.with_traceback(None)}
    exec("def decoder():\n    raise error", code)
    ours = module == "skavsc.media._sound" and isinstance(error, MISTAKES)
    expected = type(error) if ours else MediaError
    with pytest.raises(expected) as caught, media_errors("a.mkv", "read sound"):
        code["decoder"]()
    assert (caught.value is error) == ours


def test_a_mistake_in_a_reader_surfaces(wav_path, clip_path, monkeypatch):
    monkeypatch.delattr("skavsc.media._sound._is_plain")
    with pytest.raises(NameError, match="_is_plain"):
        read_sound(wav_path)
    monkeypatch.delattr("skavsc.media._clock.Clock.time")
    with pytest.raises(AttributeError, match="time"):
        read_frames(clip_path)


def test_interruptions_and_our_own_errors_pass():
    for error in (KeyboardInterrupt(), SystemExit(), GeneratorExit()):
        with pytest.raises(type(error)), media_errors("a", "read sound"):
            raise error
    first = MediaError("a", "open", "why")
    with pytest.raises(MediaError) as caught, media_errors("b", "read sound"):
        raise first
    assert caught.value is first


@pytest.mark.parametrize("error", [MemoryError(), OSError(22, "Invalid argument"), IndexError("x")])
def test_a_decoder_that_fails_on_the_way(clip_path, wav_path, monkeypatch, error):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(soundfile.SoundFile, "read", fail)
    with pytest.raises(MediaError, match=r"stereo\.wav: read sound: "):
        read_sound(wav_path)
    monkeypatch.setattr(av, "open", fail)
    with pytest.raises(MediaError, match=r"both\.mp4: read sound: "):
        read_sound(clip_path)
    with pytest.raises(MediaError, match=r"both\.mp4: read picture: "):
        read_frames(clip_path)


# Samples beyond reason.


def test_samples_far_outside_full_scale_are_damage(tmp_path):
    sound = np.full((4800, 2), 0.1, np.float32)
    sound[77, 1] = 1e30
    soundfile.write(tmp_path / "a.wav", sound, RATE, "FLOAT")
    with pytest.raises(MediaError, match=r"a\.wav: .* reach 1e\+30 times full scale, beyond 65536"):
        read_sound(tmp_path / "a.wav")


def test_floats_at_the_scale_of_integers_are_read(tmp_path):
    sound = np.full((4800, 2), -32768, np.float32)
    soundfile.write(tmp_path / "a.wav", sound, RATE, "FLOAT")
    assert read_sound(tmp_path / "a.wav")[0].min() == -32768


# Limits.

MEASURE = """
import resource, sys
import skavsc.media as media
from skavsc.exceptions import MediaError
media.read_sound(sys.argv[1])
media.read_frames(sys.argv[2])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    result = eval("media." + sys.argv[3])
    print("read")
except MediaError as error:
    print(error.cause)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def measured(call, wav_path, video_path):
    """The outcome of a call in a fresh process, and by how many MiB it grew."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, wav_path, video_path, call],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    outcome, growth = done.stdout.splitlines()
    return outcome, int(growth) / 1024


def test_a_bomb_takes_no_memory(tmp_path, wav_path, video_path):
    path = tmp_path / "a.gif"
    with av.open(path, "w") as container:
        stream = container.add_stream("gif", rate=5)
        stream.height = stream.width = 9000
        stream.pix_fmt = "gray"
        frame = av.VideoFrame(9000, 9000, "gray")
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        frame.pts = 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    outcome, growth = measured(f"read_frames({str(path)!r}, size=8)", wav_path, video_path)
    assert "more than max_pixels=67108864" in outcome
    assert growth < 60  # the frame takes 324 MB


def test_a_frame_of_too_many_pixels(video_path):
    with pytest.raises(MediaError, match="64 x 48 pixels, more than max_pixels=3071; raise it"):
        read_frames(video_path, max_pixels=3071)
    with pytest.raises(MediaError, match="more than max_pixels=1000"):
        read_frames(video_path, max_pixels=1000)
    assert read_frames(video_path, max_pixels=3072).shape == (5, 48, 64, 3)


def test_too_many_samples_a_second(tmp_path, encode_sound):
    path = encode_sound(tmp_path / "a.mkv", np.zeros((6, 40_000)), layout="5.1", rate=900_000)
    with pytest.raises(
        MediaError, match=r"6 channels at 900000 Hz exceed max_samples_per_second=3\.072e"
    ):
        read_sound(path)
    assert read_sound(path, max_samples_per_second=6e6)[0].shape == (6, 40_000)


def gap_of(tmp_path, encode_sound, seconds, rate=RATE):
    def stamp(packet):
        if packet.pts > 0:
            packet.pts = packet.dts = packet.pts + round(seconds / packet.time_base)
        return packet

    return encode_sound(tmp_path / "a.mkv", np.full((1, 4000), 0.5), stamp=stamp, rate=rate)


def test_too_long_a_gap(tmp_path, encode_sound):
    path = gap_of(tmp_path, encode_sound, 61)
    with pytest.raises(MediaError, match=r"leave out 61 s, more than max_gap=60 s"):
        read_sound(path)
    waveform, _ = read_sound(path, max_gap=62)
    assert math.isclose(waveform.shape[1] / RATE, 61 + 4000 / RATE, abs_tol=0.002)


def test_a_gap_is_no_longer_than_what_is_read(tmp_path, encode_sound, wav_path, video_path):
    path = gap_of(tmp_path, encode_sound, 59, 1_000_000)
    outcome, growth = measured(f"read_sound({str(path)!r}, duration=1.0)", wav_path, video_path)
    assert outcome == "read"
    assert growth < 60  # 236 MB of silence would be


def test_time_stamps_that_span_too_much(tmp_path, grey):
    path = write_clip(tmp_path / "a.mkv", grey([50, 60]), times=[0, 90_000])
    with pytest.raises(MediaError, match="span 90000 s, more than max_span=86400 s"):
        read_frames(path)
    assert len(read_frames(path, fps=0.001, max_span=1e5)) == 91


def test_too_long_a_time(wav_path, clip_path):
    for read in (read_sound, read_frames):
        with pytest.raises(MediaError, match="longer than time_limit=1e-09 s; raise it"):
            read(clip_path, time_limit=1e-9)
    with pytest.raises(MediaError, match="time_limit"):
        read_sound(wav_path, time_limit=1e-9)


@pytest.mark.parametrize("value", [0, None, float("inf")])
@pytest.mark.parametrize("name", ["max_samples_per_second", "max_gap", "time_limit"])
def test_limits_must_be_positive(wav_path, name, value):
    with pytest.raises(ValueError, match=f"{name}={value} must be greater than 0 and finite$"):
        read_sound(wav_path, **{name: value})


@pytest.mark.parametrize("value", [0, None, float("inf")])
@pytest.mark.parametrize("name", ["max_pixels", "max_span", "time_limit"])
def test_limits_of_pictures_must_be_positive(video_path, name, value):
    with pytest.raises(ValueError, match=f"{name}={value} must be greater than 0 and finite$"):
        read_frames(video_path, **{name: value})

"""Headers are hints: all that can be decoded is read, whatever they announce."""

import struct

import av
import numpy as np
import pytest
import soundfile

from skavsc.exceptions import DamagedMediaWarning
from skavsc.media import read_frames, read_sound, write_clip

RATE = 44_100


def tone(seconds, level=0.2, rate=RATE):
    time = np.arange(round(seconds * rate)) / rate
    return level * np.sin(2 * np.pi * 440 * time) * np.ones((2, 1))


def seconds(path):
    waveform, rate = read_sound(path)
    return waveform.shape[1] / rate


@pytest.fixture(scope="module")
def mp3(tmp_path_factory, encode_sound, make_noise):
    """MP3 files whose headers tell little, by name."""
    folder = tmp_path_factory.mktemp("mp3")
    loud_then_quiet = np.concatenate([make_noise(1, rate=RATE), tone(9)], axis=1)

    def encode(name, sound, **container_options):
        return encode_sound(
            folder / name,
            sound,
            "libmp3lame",
            rate=RATE,
            block=1152,
            options={"abr": "1", "b": "128k"},
            container_options=container_options,
        )

    encode("abr.mp3", loud_then_quiet, write_xing="0")
    encode("id3v1.mp3", tone(4), write_xing="0", write_id3v1="1", id3v2_version="0")
    whole = encode("whole.mp3", tone(4)).read_bytes()
    (folder / "joined.mp3").write_bytes(2 * whole)
    return folder


def test_mp3_of_average_bit_rate_without_an_index(mp3):
    # By the bit rate of its first frame it would last 3.8 s.
    assert abs(seconds(mp3 / "abr.mp3") - 10) < 0.1


def test_mp3_with_a_tag_at_its_end(mp3):
    assert abs(seconds(mp3 / "id3v1.mp3") - 4) < 0.1


def test_joined_mp3(mp3):
    """As the ffmpeg command, which loses the first packet of the second file with its tag."""
    whole, _ = read_sound(mp3 / "whole.mp3")
    joined, _ = read_sound(mp3 / "joined.mp3")
    n_samples = whole.shape[1]
    np.testing.assert_array_equal(joined[:, :n_samples], whole)
    # At the joint is what the encoder puts around each file, and no silence for the lost packet.
    pause = np.diff(np.flatnonzero(np.abs(joined[0]) > 0.02)).max()
    assert pause < 2 * 1152
    assert 0 <= joined.shape[1] - 2 * n_samples < 3 * 1152


def test_mp3_with_a_vbri_header(tmp_path, mp3):
    """As Fraunhofer's encoder writes it, here with half the number of frames."""
    whole = (mp3 / "whole.mp3").read_bytes()
    start = whole.index(b"\xff\xfb")
    frames = (mp3 / "abr.mp3").read_bytes()
    frames = frames[frames.index(b"\xff\xfb") :]
    n_frames = round(10 * RATE / 1152)
    # MPEG 1, layer 3, 128 kbit/s, 44,100 Hz, stereo: 417 bytes.
    first = bytearray(whole[start : start + 4] + bytes(413))
    first[2:4] = b"\x90\x00"
    n_bytes = 417 + len(frames)
    vbri = b"VBRI" + struct.pack(">HHHIIHHHH", 1, 0, 75, n_bytes, n_frames // 2, 0, 1, 2, 1)
    first[36 : 36 + len(vbri)] = vbri
    path = tmp_path / "a.mp3"
    path.write_bytes(first + frames)
    assert abs(seconds(path) - 10) < 0.1
    path.write_bytes(first + frames[: len(frames) // 2])
    with pytest.warns(DamagedMediaWarning, match=r"a\.mp3: .*cut off"):
        assert 1 < seconds(path) < 9


def test_mp3_in_wav(tmp_path, mp3):
    frames = (mp3 / "abr.mp3").read_bytes()
    frames = frames[frames.index(b"\xff\xfb") :]
    fmt = struct.pack("<HHIIHHHHIHHH", 0x55, 2, RATE, 16_000, 1, 0, 12, 1, 2, 418, 1, 1393)
    chunks = b"WAVEfmt " + struct.pack("<I", len(fmt)) + fmt
    chunks += b"data" + struct.pack("<I", len(frames)) + frames
    (tmp_path / "a.wav").write_bytes(b"RIFF" + struct.pack("<I", len(chunks)) + chunks)
    assert abs(seconds(tmp_path / "a.wav") - 10) < 0.1


@pytest.mark.parametrize("codec", ["VORBIS", "OPUS"])
def test_chained_ogg(tmp_path, codec):
    soundfile.write(tmp_path / "one.ogg", tone(4, rate=48_000).T, 48_000, codec)
    (tmp_path / "two.ogg").write_bytes(2 * (tmp_path / "one.ogg").read_bytes())
    assert abs(seconds(tmp_path / "two.ogg") - 8) < 0.05


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_wav_whose_size_was_never_written(tmp_path, make_noise, size):
    noise = make_noise(2)
    soundfile.write(tmp_path / "a.wav", noise.T, 48_000, "FLOAT")
    content = bytearray((tmp_path / "a.wav").read_bytes())
    at = content.find(b"data") + 4
    content[at : at + 4] = content[4:8] = struct.pack("<I", size)
    (tmp_path / "a.wav").write_bytes(content)
    waveform, _ = read_sound(tmp_path / "a.wav")
    np.testing.assert_array_equal(waveform, noise.astype("f4"))


def test_flac_of_unknown_length(tmp_path, make_noise):
    soundfile.write(tmp_path / "a.flac", make_noise(2).T, 48_000)
    expected, _ = read_sound(tmp_path / "a.flac")
    content = bytearray((tmp_path / "a.flac").read_bytes())
    content[21] &= 0xF0
    content[22:26] = bytes(4)  # the number of samples, 36 bits
    (tmp_path / "a.flac").write_bytes(content)
    np.testing.assert_array_equal(read_sound(tmp_path / "a.flac")[0], expected)


def test_opus_of_six_channels(tmp_path, encode_sound, make_noise):
    path = encode_sound(tmp_path / "a.opus", make_noise(2, 6), "libopus", "5.1")
    waveform, _ = read_sound(path)
    assert waveform.shape == (6, 96_000)


def test_both_decoders_give_the_same_samples(tmp_path, make_noise):
    """The rule which decoder reads a file never shows in the samples."""
    for suffix, kind in [
        ("wav", "PCM_16"),
        ("wav", "DOUBLE"),
        ("aiff", "PCM_24"),
        ("flac", "PCM_24"),
    ]:
        path = tmp_path / f"a.{suffix}"
        soundfile.write(path, make_noise(0.5).T, 48_000, kind)
        expected, _ = soundfile.read(path, dtype="float32", always_2d=True)
        np.testing.assert_array_equal(read_sound(path)[0], expected.T)
        # The same in Matroska is read by FFmpeg.
        copied = tmp_path / "a.mkv"
        with av.open(str(path)) as old, av.open(str(copied), "w") as new:
            track = new.add_stream_from_template(old.streams.audio[0])
            for packet in old.demux(audio=0):
                if packet.dts is not None:
                    packet.stream = track
                    new.mux(packet)
        np.testing.assert_array_equal(read_sound(copied)[0], expected.T)


def test_wmv_whose_sound_is_longer_than_its_picture(tmp_path, make_noise, grey):
    path = write_clip(
        tmp_path / "a.wmv",
        grey(np.arange(50) * 4),
        25,
        sound=make_noise(4),
        picture_codec="wmv2",
        sound_codec="wmav2",
    )
    # Its head gives the play time of the whole file to both.
    assert len(read_frames(path)) in (10, 11)
    assert abs(seconds(path) - 4) < 0.1


def test_segment_of_a_fragmented_mp4(tmp_path, make_noise, grey):
    path = write_clip(tmp_path / "whole.mp4", grey(np.arange(25) * 8), 25, sound=make_noise(1))
    options = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    with av.open(path) as old, av.open(tmp_path / "f.mp4", "w", options=options) as new:
        copies = [new.add_stream_from_template(stream) for stream in old.streams]
        for packet in old.demux():
            if packet.dts is not None:
                packet.stream = copies[packet.stream.index]
                new.mux(packet)
        scales = [round(1 / stream.time_base) for stream in copies]
    content = bytearray((tmp_path / "f.mp4").read_bytes())
    where, number = -1, 0
    # The clip as the part from 2 to 3 s of a longer one.
    while (where := content.find(b"tfdt", where + 1)) >= 0:
        (time,) = struct.unpack(">Q", content[where + 8 : where + 16])
        content[where + 8 : where + 16] = struct.pack(">Q", time + 2 * scales[number % 2])
        number += 1
    (tmp_path / "segment.mp4").write_bytes(content)
    # The picture begins two frames late, by the delay of its B-frames.
    assert len(read_frames(tmp_path / "segment.mp4", fps=5)) in (5, 6)
    assert abs(seconds(tmp_path / "segment.mp4") - 1.05) < 0.05


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "mov"])
def test_a_still_picture_with_sound(tmp_path, make_noise, grey, suffix):
    path = write_clip(tmp_path / f"a.{suffix}", grey([90]), 25, sound=make_noise(4))
    assert read_frames(path).shape == (1, 64, 64, 3)
    assert abs(seconds(path) - 4) < 0.05

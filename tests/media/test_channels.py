"""Channels by their names, however many, and their mix to left and right."""

import struct
import subprocess
import sys

import av
import numpy as np
import pytest
import soundfile

from skavsc.media import read_sound, write_clip

RATE = 16_000
HALF = np.sqrt(0.5)
LAYOUTS = {
    "2.1": "FL FR LFE",
    "quad": "FL FR BL BR",
    "5.1": "FL FR FC LFE BL BR",
    "7.1": "FL FR FC LFE BL BR SL SR",
    "7.1.4": "FL FR FC LFE BL BR SL SR TFL TFR TBL TBR",
}
# The coefficients of ITU-R BS.775, as in libswresample.
LEFT = {"FL": 1, "FC": HALF, "BL": HALF, "SL": HALF, "TFL": HALF}
RIGHT = {"FR": 1, "FC": HALF, "BR": HALF, "SR": HALF, "TFR": HALF}


def tones(n_channels, seconds=1.2, level=0.05):
    """A tone a channel: 300, 600, 900, ... Hz."""
    time = np.arange(round(seconds * RATE)) / RATE
    return level * np.sin(2 * np.pi * 300 * np.arange(1, n_channels + 1)[:, None] * time)


def levels(channel, n_channels):
    """The amplitude of each of the tones in one second of a channel."""
    time = np.arange(RATE) / RATE
    waves = np.exp(2j * np.pi * 300 * np.arange(1, n_channels + 1)[:, None] * time)
    return np.abs(waves @ channel[:RATE]) * 2 / RATE


@pytest.mark.parametrize("suffix", ["mkv", "wav", "mov"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_named_channels_are_mixed_by_name(tmp_path, encode_sound, layout, suffix):
    names = LAYOUTS[layout].split()
    if suffix == "mov" and layout == "7.1.4":
        pytest.skip("QuickTime has no such layout")
    sound = tones(len(names))
    # Matroska leaves the names to the codec, and FLAC has no more than eight.
    codec = "flac" if suffix == "mkv" and len(names) <= 8 else "pcm_s16le"
    path = encode_sound(tmp_path / f"a.{suffix}", sound, codec, layout, RATE)
    waveform, _ = read_sound(path)
    np.testing.assert_allclose(waveform, sound, atol=1e-4)
    mixed, _ = read_sound(path, downmix=True)
    assert mixed.shape == (2, sound.shape[1])
    for channel, coefficients in zip(mixed, (LEFT, RIGHT), strict=True):
        expected = [0.05 * coefficients.get(name, 0) for name in names]
        np.testing.assert_allclose(levels(channel, len(names)), expected, atol=1e-3)


@pytest.mark.parametrize("channels", [1, 2])
def test_mono_and_stereo_stay_as_they_are(tmp_path, channels):
    soundfile.write(tmp_path / "a.wav", tones(channels).T, RATE)
    whole, _ = read_sound(tmp_path / "a.wav")
    np.testing.assert_array_equal(read_sound(tmp_path / "a.wav", downmix=True)[0], whole)


def test_unnamed_channels_are_the_default_layout(tmp_path):
    # A plain WAV file (not "extensible") names no channels.
    soundfile.write(tmp_path / "a.wav", tones(6).T, RATE, format="WAV")
    mixed, _ = read_sound(tmp_path / "a.wav", downmix=True)
    names = LAYOUTS["5.1"].split()
    for channel, coefficients in zip(mixed, (LEFT, RIGHT), strict=True):
        expected = [0.05 * coefficients.get(name, 0) for name in names]
        np.testing.assert_allclose(levels(channel, 6), expected, atol=1e-3)


@pytest.mark.parametrize("channels", [9, 11, 32])
def test_other_numbers_of_unnamed_channels_give_their_mean(tmp_path, channels):
    soundfile.write(tmp_path / "a.wav", tones(channels).T, RATE, format="WAV")
    waveform, _ = read_sound(tmp_path / "a.wav")
    assert waveform.shape == (channels, round(1.2 * RATE))
    mixed, _ = read_sound(tmp_path / "a.wav", downmix=True)
    np.testing.assert_allclose(mixed, [waveform.mean(axis=0)] * 2, atol=1e-6)


def test_ambisonics_are_heard_from_both_sides(tmp_path, encode_sound):
    # Opus in Matroska keeps the layout; from the left: W = Y.
    time = np.arange(48_000) / 48_000
    left, front = (0.2 * np.sin(2 * np.pi * hertz * time) for hertz in (600, 900))
    sound = np.stack([left + front, left, 0 * left, front])
    path = encode_sound(
        tmp_path / "a.mkv",
        sound,
        "libopus",
        "ambisonic 1",
        options={"mapping_family": "2", "b": "512k"},
    )
    mixed, _ = read_sound(path, downmix=True)
    tones = np.abs(np.fft.rfft(mixed[:, 4800:28_800]))[:, [300, 450]] / 12_000
    np.testing.assert_allclose(tones, [[0.2, 0.1], [0, 0.1]], atol=0.02)


def test_vorbis_order(tmp_path, tone_of):
    # libsndfile leaves Vorbis in its own order: front left, centre, front right, ...
    soundfile.write(tmp_path / "a.ogg", tones(6).T, RATE, subtype="VORBIS")
    waveform, _ = read_sound(tmp_path / "a.ogg")
    tones_found = [tone_of(channel, RATE) for channel in waveform]
    assert tones_found == [300, 900, 600, 1800, 1200, 1500]


CHILD = """
import sys
import numpy as np
from skavsc.media import read_sound
for path in sys.argv[1:]:
    for _ in range(2):
        waveform, _ = read_sound(path)
        print(waveform.shape[0], *np.abs(waveform[:, 1000:-1000]).max(axis=1).round(2))
"""


def in_other_process(*paths):
    """Channel counts and peaks of each file, read twice; a crash shows in the exit status."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *map(str, paths)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-1000:]
    return [[float(word) for word in line.split()] for line in done.stdout.splitlines()]


@pytest.mark.parametrize("codec", ["pcm_s16le", "flac", "aac", "libopus"])
def test_eight_channels_do_not_crash(tmp_path, encode_sound, codec):
    path = encode_sound(tmp_path / "a.mka", np.repeat(tones(1), 8, axis=0), codec, rate=48_000)
    for n_channels, *_ in in_other_process(path):
        assert n_channels == 8


def test_custom_order_is_sorted_by_name(tmp_path, encode_sound):
    steps = np.arange(1, 7)[:, None] * 0.1
    path = encode_sound(tmp_path / "a.mov", np.repeat(steps, 16_000, axis=1), layout="5.1")
    content = bytearray(path.read_bytes())
    at = content.find(b"chan", content.find(b"moov"))
    content[at + 8 : at + 20] = struct.pack(">III", (124 << 16) | 6, 0, 0)  # C L R Ls Rs LFE
    path.write_bytes(content)
    for n_channels, *peaks in in_other_process(path):
        assert n_channels == 6
        # Front left, front right, centre, LFE, and the sides.
        assert peaks == [0.2, 0.3, 0.1, 0.6, 0.4, 0.5]


@pytest.mark.parametrize(
    ("second", "rate"), [("mono", 48_000), ("5.1", 48_000), ("stereo", 24_000)]
)
def test_a_track_that_changes_on_the_way(tmp_path, encode_sound, make_noise, second, rate):
    """Joined ADTS streams: the rest takes the rate and the channels of the beginning."""
    n_channels = {"mono": 1, "stereo": 2, "5.1": 6}[second]
    first = encode_sound(tmp_path / "0.aac", make_noise(1), "aac")
    other = encode_sound(
        tmp_path / "1.aac", make_noise(1, n_channels, rate), "aac", second, rate=rate
    )
    path = tmp_path / "joined.aac"
    path.write_bytes(first.read_bytes() + other.read_bytes())
    waveform, found = read_sound(path)
    assert found == 48_000
    assert len(waveform) == 2
    assert abs(waveform.shape[1] / 48_000 - 2) < 0.15
    assert waveform[:, -24_000:-4_000].std() > 0.05


@pytest.mark.parametrize("channels", [3, 6, 8])
def test_write_clip_of_many_channels(tmp_path, channels):
    path = write_clip(tmp_path / "a.mkv", sound=tones(channels), rate=RATE, sound_codec="flac")
    waveform, _ = read_sound(path)
    np.testing.assert_allclose(waveform, tones(channels), atol=1e-4)


def test_libswresample_agrees_with_the_table():
    """The coefficients above are those of the linked FFmpeg."""
    frame = av.AudioFrame.from_ndarray(np.ones((1, 6), "f4"), "flt", "5.1")
    frame.sample_rate = RATE
    [mixed] = av.AudioResampler("flt", "stereo").resample(frame)
    np.testing.assert_allclose(mixed.to_ndarray(), 1 + 2 * HALF, rtol=1e-6)

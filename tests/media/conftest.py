"""Encoders for files that ``write_clip`` does not write."""

from fractions import Fraction

import av
import numpy as np
import pytest


def encode_sound(path, samples, codec="pcm_s16le", layout=None, rate=48_000, **how):
    """Write samples (channels, n), packed as 16-bit integers.

    ``options`` go to the encoder and ``container_options`` to the container; ``stamp`` is given
    every packet and may change or drop it (None).
    """
    n_channels = len(samples)
    layout = layout or {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}[n_channels]
    stamp = how.get("stamp", lambda packet: packet)
    block = how.get("block", 960)
    with av.open(str(path), "w", options=how.get("container_options", {})) as container:
        track = container.add_stream(codec, rate=rate)
        track.layout = layout
        track.options = how.get("options", {})

        def mux(packets):
            for packet in packets:
                stamped = stamp(packet)
                if stamped is not None:
                    container.mux(stamped)

        for start in range(0, samples.shape[1], block):
            part = np.round(samples[:, start : start + block] * 2**15).clip(-(2**15), 2**15 - 1)
            packed = np.ascontiguousarray(part.T.astype(np.int16)).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(packed, "s16", layout)
            frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
            mux(track.encode(frame))
        mux(track.encode(None))
    return path


def encode_picture(path, frames, rate=25, codec="libx264", pixels="yuv420p", **how):
    """Write frames with the numbers (``numbers``) that are their time stamps.

    ``options`` go to the encoder, ``container_options`` to the container.
    """
    numbers = how.get("numbers", range(len(frames)))
    with av.open(str(path), "w", options=how.get("container_options", {})) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pixels
        stream.options = how.get("options", {})
        unit = how.get("unit", Fraction(1, rate))
        stream.codec_context.time_base = unit
        for number, image in zip(numbers, frames, strict=True):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame.pts, frame.time_base = number, unit
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def grey(levels, size=64):
    """Make a grey frame for each level."""
    levels = np.asarray(levels)[:, None, None, None]
    return np.broadcast_to(levels, (len(levels), size, size, 3)).astype(np.uint8)


def tone_of(channel, rate):
    """Find the strongest frequency, in hertz, of the middle second of a channel."""
    middle = (len(channel) - rate) // 2
    spectrum = np.abs(np.fft.rfft(channel[middle : middle + rate] * np.hanning(rate)))
    return int(spectrum.argmax())


def make_noise(seconds, channels=2, rate=48_000):
    """Make (channels, seconds * rate) of noise, the same each time."""
    shape = channels, round(seconds * rate)
    return np.random.default_rng(0).uniform(-0.3, 0.3, shape)


@pytest.fixture(scope="session", name="encode_sound")
def give_encode_sound():
    """The function ``encode_sound``."""
    return encode_sound


@pytest.fixture(scope="session", name="encode_picture")
def give_encode_picture():
    """The function ``encode_picture``."""
    return encode_picture


@pytest.fixture(scope="session", name="grey")
def give_grey():
    """The function ``grey``."""
    return grey


@pytest.fixture(scope="session", name="tone_of")
def give_tone_of():
    """The function ``tone_of``."""
    return tone_of


@pytest.fixture(scope="session", name="make_noise")
def give_make_noise():
    """The function ``make_noise``."""
    return make_noise

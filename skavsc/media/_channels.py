"""The names of channels, and mixing many of them to left and right."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

Waveform = NDArray[np.float32]

# FFmpeg's names, in its order (enum AVChannel), in which masks of channels are read.
# fmt: off
_ORDER = (
    "FL", "FR", "FC", "LFE", "BL", "BR", "FLC", "FRC", "BC", "SL", "SR", "TC", "TFL", "TFC", "TFR",
    "TBL", "TBC", "TBR", "DL", "DR", "WL", "WR", "SDL", "SDR", "LFE2", "TSL", "TSR", "BFC", "BFL",
    "BFR", "SSL", "SSR", "TTL", "TTR",
)
# fmt: on
_BLOCK = 1 << 16


class Resampler:
    """Convert decoded frames to samples, all with the rate and the channels of the first.

    Streams may change both on the way; then libswresample converts the rest.
    """

    def __init__(self) -> None:
        self.rate = 0
        self.names: tuple[str, ...] = ()
        self._layout = ""
        self._source: tuple[Any, ...] = ()
        self._resampler: Any = None

    def convert(self, frame: Any) -> list[Waveform]:
        """Convert a frame, or with None what is left, to arrays (n_channels, n_samples)."""
        converted: list[Any] = []
        if frame is not None:
            source = frame.sample_rate, frame.layout.name, frame.format.name
            if not self.rate:
                self.rate, self._layout, _ = source
                self.names = tuple(channel.name for channel in frame.layout.channels)
            if source != self._source:
                converted += self._flush()
                self._source = source
                # Packed, because PyAV loses planes of frames from 8 channels on.
                self._resampler = av.AudioResampler("flt", self._layout, self.rate)
            converted += self._resampler.resample(frame)
        else:
            converted += self._flush()
        return [part.to_ndarray().reshape(-1, len(self.names)).T for part in converted]

    def _flush(self) -> list[Any]:
        # Only a change of the rate leaves samples inside.
        if self._resampler is None or self._source[0] == self.rate:
            return []
        return list(self._resampler.resample(None))


def take_names(context: Any) -> tuple[str, ...]:
    """Return the channel names of a decoder that is not yet open, and make them safe.

    An order of channels other than FFmpeg's own lies on the heap, and PyAV frees it once for
    each frame. Such a decoder is told the number of channels alone.
    """
    layout = context.layout
    names = tuple(channel.name for channel in layout.channels)
    # "6 channels (FC+FL+...)"; "6 channels" has no names, and "5.1" is FFmpeg's order.
    if re.fullmatch(r"\d+ channels \(.*", layout.name, re.DOTALL):
        context.layout = f"{len(names)} channels"
    return names


def in_order(waveform: Waveform, names: Sequence[str]) -> tuple[Waveform, tuple[str, ...]]:
    """Sort named channels into FFmpeg's order, front left and front right first."""
    names = tuple(names)
    if not set(names) <= set(_ORDER) or len(set(names)) < len(names):
        return waveform, names
    order = sorted(range(len(names)), key=lambda index: _ORDER.index(names[index]))
    if order == list(range(len(names))):
        return waveform, names
    return waveform[order], tuple(names[index] for index in order)


def mix_to_stereo(waveform: Waveform, names: Sequence[str]) -> Waveform:
    """Mix more than two channels to left and right; one or two stay as they are.

    Parameters
    ----------
    waveform : ndarray of shape (n_channels, n_samples), float32
        The samples.
    names : sequence of str
        FFmpeg's names of the channels, in its order.

    Returns
    -------
    ndarray of shape (1 or 2, n_samples), float32
        Left and right.
    """
    if len(waveform) <= 2:
        return waveform
    if "AMBI1" in names:
        # Cardioids to the left and to the right, of the sound pressure W and the dipole Y.
        w, y = (waveform[names.index(name)] for name in ("AMBI0", "AMBI1"))
        mixed = np.stack([(w + y) / 2, (w - y) / 2])
        for side, name in enumerate(("FL", "FR")):
            if name in names:
                mixed[side] += waveform[names.index(name)]
        return mixed
    known = set(names) <= set(_ORDER)
    layout = "+".join(names) if known else f"{len(names)} channels"
    try:
        resampler = av.AudioResampler("flt", "stereo")
        parts = []
        for start in range(0, waveform.shape[1], _BLOCK):
            block = np.ascontiguousarray(waveform[:, start : start + _BLOCK].T)
            frame = av.AudioFrame.from_ndarray(block.reshape(1, -1), "flt", layout)
            frame.sample_rate = 48_000  # not used: the rate stays
            parts += resampler.resample(frame)
    except (av.error.FFmpegError, ValueError):
        # There are no rules for these channels.
        return np.repeat(waveform.mean(axis=0, keepdims=True), 2, axis=0)
    return np.concatenate([part.to_ndarray().reshape(-1, 2).T for part in parts], axis=1)

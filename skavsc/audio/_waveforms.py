"""Waveforms, from files and in memory: validation, resampling and windows."""

from __future__ import annotations

import os
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from skavsc.exceptions import MediaError
from skavsc.media import read_sound

Windows = NDArray[np.float32]

_STAGE = "read sound"


def _is_pair(source: Any) -> bool:
    return (
        isinstance(source, tuple)
        and len(source) == 2
        and isinstance(source[1], Real)
        and not isinstance(source[0], Real)
    )


def clip_waveform(source: Any, sample_rate: int, n_samples: int, window: int) -> NDArray[Any]:
    """Read or take the sound of a clip, at one rate.

    Parameters
    ----------
    source : path-like, or what ``as_waveform`` takes
        Where the sound is.
    sample_rate : int
        Rate to resample to, in Hz.
    n_samples : int
        Maximum number of samples; what follows is cut off.
    window : int
        Least number of samples.

    Returns
    -------
    ndarray of shape (n_channels, n_samples or fewer), float32 or float64
        The waveform; one or two channels of a file.

    Raises
    ------
    MediaError
        If it cannot be used, or is shorter than one window.
    """
    if isinstance(source, str | os.PathLike):
        name = os.fspath(source)
        duration = n_samples / sample_rate
        waveform, _ = read_sound(source, sample_rate=sample_rate, duration=duration, downmix=True)
    else:
        waveform, name = as_waveform(source, sample_rate)
    waveform = waveform[:, :n_samples]
    found = waveform.shape[1]
    if found < window:
        cause = f"its {found} samples at {sample_rate} Hz are less than one window of {window}"
        raise MediaError(name, _STAGE, cause)
    return waveform


def as_waveform(source: Any, sample_rate: int) -> tuple[NDArray[Any], str]:
    """Validate a waveform and resample it.

    Parameters
    ----------
    source : array-like of shape (n_samples,) or (n_channels, n_samples), or (array, rate)
        Waveform, at ``sample_rate`` or at the rate beside it. Signed integers are
        PCM and are divided by the full scale of their type.
    sample_rate : int
        Rate to resample to, in Hz.

    Returns
    -------
    waveform : ndarray of shape (n_channels, n_samples), float32 or float64
        Resampled waveform.
    name : str
        Its name in error messages.

    Raises
    ------
    MediaError
        If it cannot be used.
    """
    array, rate = source if _is_pair(source) else (source, sample_rate)
    waveform = np.asarray(array)
    name = f"waveform of shape {waveform.shape}"
    if waveform.dtype.kind == "O":
        try:
            waveform = waveform.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise MediaError(name, _STAGE, f"not an array of numbers ({error})") from None
    if waveform.dtype.kind not in "fi":
        cause = f"dtype {waveform.dtype}; pass floats (full scale 1) or signed integers (PCM)"
        raise MediaError(name, _STAGE, cause)
    waveform = np.atleast_2d(waveform)
    if waveform.ndim != 2 or not waveform.size or waveform.shape[0] > waveform.shape[1]:
        cause = "it must be (n_samples,) or (n_channels, n_samples), channels first"
        raise MediaError(name, _STAGE, cause)
    if not np.isfinite(waveform).all():
        raise MediaError(name, _STAGE, "it holds NaN or infinite samples")
    if not rate > 0:
        raise MediaError(name, _STAGE, f"its sampling rate is {rate!r}; it must be positive")
    if waveform.dtype.kind == "i":
        waveform = waveform / -float(np.iinfo(waveform.dtype).min)
    elif waveform.dtype != np.float64:
        waveform = waveform.astype(np.float32)
    if rate != sample_rate:
        waveform = soxr.resample(waveform.T, rate, sample_rate, quality="HQ").T
    return waveform, name


@dataclass(frozen=True)
class SoundWindows:
    """Read one source and cut it into windows; lengths are in samples."""

    sample_rate: int
    n_samples: int
    window: int
    hop: int
    level: float | None

    def __call__(self, source: Any) -> Windows:
        """Return the windows around the steps of a clip, (n_steps, window), float32."""
        waveform = clip_waveform(source, self.sample_rate, self.n_samples, self.window)
        mono = waveform.mean(axis=0, dtype=np.float32)
        if self.level is not None:
            power = float(np.mean(np.square(mono, dtype=np.float64)))
            if power > 0:
                # Full scale bounds what a network has seen in its training.
                gain = 10 ** (self.level / 20) / np.sqrt(power)
                mono = np.clip(mono * np.float32(gain), -1, 1)
        n_steps = int(len(mono) / self.hop + 0.5)
        # Each window is centred on its step, and moved inside the clip at both ends.
        starts = np.arange(n_steps) * self.hop + (self.hop - self.window) // 2
        starts = np.clip(starts, 0, len(mono) - self.window)
        return np.ascontiguousarray(
            np.lib.stride_tricks.sliding_window_view(mono, self.window)[starts]
        )

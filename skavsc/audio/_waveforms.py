"""Waveforms in memory: validation and resampling."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from skavsc.exceptions import MediaError

_STAGE = "read sound"


def _is_pair(source: Any) -> bool:
    return (
        isinstance(source, tuple)
        and len(source) == 2
        and isinstance(source[1], Real)
        and not isinstance(source[0], Real)
    )


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

"""The two filterbanks: gammatone on the ERB scale, triangles on the mel scale."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from gammatone.filters import centre_freqs, make_erb_filters
from numpy.typing import NDArray

Array = NDArray[np.float64]


def gammatone_centres(sample_rate: int, n_bands: int, f_min: float, f_max: float) -> Array:
    """Give the centre frequencies, in Hz, highest first."""
    # Rounding takes the lowest one a hair below f_min.
    return np.maximum(centre_freqs(sample_rate, n_bands, f_min, f_max), f_min)


@lru_cache(maxsize=8)
def gammatone_sections(
    sample_rate: int, n_bands: int, f_min: float, f_max: float
) -> tuple[Array, Array]:
    """Design the four sections of each band.

    Returns
    -------
    sections : ndarray of shape (6, n_bands)
        Section k is ``(1 + sections[k] z) / (1 + sections[4] z + sections[5] z**2)``,
        with z the delay by one sample.
    gain : ndarray of shape (n_bands,)
        What the cascade of the four is multiplied with.
    """
    table = make_erb_filters(sample_rate, gammatone_centres(sample_rate, n_bands, f_min, f_max)).T
    leading = table[0]
    sections = np.concatenate([table[1:5] / leading, table[7:9]])
    return sections, leading**4 / table[9]


@lru_cache(maxsize=8)
def gammatone_weights(
    sample_rate: int, n_fft: int, n_bands: int, f_min: float, f_max: float
) -> Array:
    """Give the squared frequency response of each band, (n_bands, n_fft // 2 + 1)."""
    sections, gain = gammatone_sections(sample_rate, n_bands, f_min, f_max)
    delay = np.exp(-2j * np.pi * np.arange(n_fft // 2 + 1) / n_fft)
    poles = 1 + sections[4, :, None] * delay + sections[5, :, None] * delay**2
    zeros = 1 + sections[:4, :, None] * delay
    return np.asarray(np.abs(gain[:, None] * zeros.prod(axis=0) / poles**4) ** 2)


# Slaney's mel scale: linear to 1 kHz (mel 15), 27 steps for a factor of 6.4 above.
_LINEAR = 200 / 3
_LOG_FROM_MEL = 15.0
_LOG_STEP = np.log(6.4) / 27


def _mel_from_hertz(frequency: float) -> float:
    mel = frequency / _LINEAR
    if mel > _LOG_FROM_MEL:
        mel = _LOG_FROM_MEL + np.log(mel / _LOG_FROM_MEL) / _LOG_STEP
    return float(mel)


def _mel_edges(n_bands: int, f_min: float, f_max: float) -> Array:
    mels = np.linspace(_mel_from_hertz(f_min), _mel_from_hertz(f_max), n_bands + 2)
    above = np.maximum(mels - _LOG_FROM_MEL, 0.0)
    return _LINEAR * np.minimum(mels, _LOG_FROM_MEL) * np.exp(_LOG_STEP * above)


def mel_centres(n_bands: int, f_min: float, f_max: float) -> Array:
    """Give the frequencies of the peaks of the triangles, in Hz, lowest first."""
    return _mel_edges(n_bands, f_min, f_max)[1:-1]


@lru_cache(maxsize=8)
def mel_triangles(
    sample_rate: int, n_fft: int, n_bands: int, f_min: float, f_max: float
) -> tuple[NDArray[np.int64], Array, Array]:
    """Design triangles of equal area, for ``triangle_powers``: starts, rising and norms."""
    bins = np.fft.rfftfreq(n_fft, 1 / sample_rate)
    edges = _mel_edges(n_bands, f_min, f_max)
    starts = np.searchsorted(bins, edges)
    segment = np.clip(np.searchsorted(edges, bins, side="right") - 1, 0, n_bands)
    rising = (bins - edges[segment]) / np.diff(edges)[segment]
    norms = 2 / (edges[2:] - edges[:-2])
    return starts, rising, norms

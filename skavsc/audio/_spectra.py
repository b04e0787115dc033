"""Short-time spectra, and their separation into harmonic and percussive parts."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.signal import get_window

from skavsc.audio._kernels import sliding_median

Array = NDArray[np.float32]
Spectra = NDArray[np.complex64]

# Windows are transformed in blocks that stay in the second-level cache.
_BLOCK = 32


@lru_cache(maxsize=8)
def hann(size: int) -> Array:
    """Give the periodic Hann window."""
    return np.asarray(get_window("hann", size), dtype=np.float32)


def fft_size(n_samples: int) -> int:
    """Give the smallest power of two that is not less: 2048 for 1764 samples."""
    return 1 << (n_samples - 1).bit_length()


def centred(signals: Array, window: int, hop: int) -> Array:
    """Surround signals with zeros, so that window i is centred on sample ``i * hop``.

    This is librosa's ``center=True``: there are ``1 + n_samples // hop`` windows.
    """
    left = window // 2
    right = hop * (signals.shape[1] // hop) + window - left - signals.shape[1]
    return np.pad(signals, ((0, 0), (left, max(right, 0))))


def spectra(signals: Array, window: int, hop: int, n_fft: int) -> Iterator[Spectra]:
    """Transform every whole window of each signal, some windows at a time.

    Parameters
    ----------
    signals : ndarray of shape (n_signals, n_samples), float32
        The signals.
    window, hop, n_fft : int
        The samples of a Hann window, between the beginnings of two windows, and of the Fourier
        transform, which is at least as long as the window and filled up with zeros.

    Yields
    ------
    ndarray of shape (n_signals, n_windows, n_fft // 2 + 1), complex64
    """
    windows = sliding_window_view(signals, window, axis=1)[:, ::hop]
    padded = np.zeros((len(signals), _BLOCK, n_fft), dtype=np.float32)
    for start in range(0, windows.shape[1], _BLOCK):
        block = windows[:, start : start + _BLOCK]
        filled = padded[:, : block.shape[1]]
        np.multiply(block, hann(window), out=filled[..., :window])
        yield scipy.fft.rfft(filled)


def signal_from(spectrum: Spectra, window: int, hop: int, n_samples: int) -> Array:
    """Give the signal whose centred spectra come closest to those of (n_windows, n_bins)."""
    frames = scipy.fft.irfft(spectrum)[:, :window] * hann(window)
    total = np.zeros(max(hop * (len(frames) - 1) + window, window // 2 + n_samples))
    weight = np.zeros_like(total)
    for number, frame in enumerate(frames):
        place = slice(number * hop, number * hop + window)
        total[place] += frame
        weight[place] += np.square(hann(window))
    covered = weight > np.finfo(np.float32).tiny
    total[covered] /= weight[covered]
    return total[window // 2 :][:n_samples].astype(np.float32)


def harmonic_percussive(spectrum: Spectra) -> tuple[Spectra, Spectra]:
    """Separate a spectrum of shape (n_windows, n_bins) by median filters.

    The masks are soft (power 2), with filters of 31 windows and 31 bins, and add up to 1.
    Equal to ``librosa.decompose.hpss`` with its defaults.

    References
    ----------
    .. [1] D. Fitzgerald, "Harmonic/percussive separation using median filtering", Proc. 13th
       Int. Conf. on Digital Audio Effects, Graz, 2010.
    """
    magnitudes = np.abs(spectrum)
    harmonic = sliding_median(magnitudes)
    percussive = sliding_median(np.ascontiguousarray(magnitudes.T)).T
    larger = np.maximum(harmonic, percussive)
    silent = larger < np.finfo(larger.dtype).tiny
    larger[silent] = 1.0
    # Scaled, because squares of small numbers vanish.
    harmonic = np.square(harmonic / larger)
    percussive = np.square(percussive / larger)
    total = harmonic + percussive
    total[silent] = 1.0
    harmonic /= total
    percussive /= total
    harmonic[silent] = percussive[silent] = 0.5
    return spectrum * harmonic, spectrum * percussive

"""Short-time spectra, and their separation into harmonic and percussive parts."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.signal import get_window

from skavsc.audio._kernels import pack_windows, sliding_median

Array = NDArray[np.float64]
Spectra = NDArray[np.complex128]

# Windows are transformed in blocks that stay in the second-level cache.
_BLOCK = 32


@lru_cache(maxsize=8)
def hann(size: int) -> Array:
    """Return the periodic Hann window."""
    return np.asarray(get_window("hann", size))


def fft_size(n_samples: int) -> int:
    """Return the smallest power of two that is not less: 2048 for 1764 samples."""
    return 1 << (n_samples - 1).bit_length()


def centred(signals: Array, window: int, hop: int) -> Array:
    """Pad signals with zeros, so that window i is centred on sample ``i * hop``.

    This is librosa's ``center=True``: there are ``1 + n_samples // hop`` windows.
    """
    left = window // 2
    right = hop * (signals.shape[1] // hop) + window - left - signals.shape[1]
    return np.pad(signals, ((0, 0), (left, max(right, 0))))


def packed_spectra(pair: Array, window: int, hop: int, n_fft: int) -> Iterator[Spectra]:
    """Compute the spectra of every whole window of two signals, in blocks of windows.

    Parameters
    ----------
    pair : ndarray of shape (2, n_samples)
        The signals.
    window, hop, n_fft : int
        The samples of a Hann window, between the beginnings of two windows, and of the Fourier
        transform, which is at least as long as the window and filled up with zeros.

    Yields
    ------
    ndarray of shape (n_windows, n_fft), complex128
        The transforms of the first signal plus i times the second.
    """
    n_windows = 1 + (pair.shape[1] - window) // hop
    for first in range(0, n_windows, _BLOCK):
        packed = np.empty((min(_BLOCK, n_windows - first), n_fft), dtype=np.complex128)
        pack_windows(pair, hann(window), hop, first, packed.view(np.float64))
        yield scipy.fft.fft(packed, overwrite_x=True)


def unpack(packed: Spectra) -> tuple[Spectra, Spectra]:
    """Return the spectra, (n_windows, n_fft // 2 + 1), of the two signals."""
    n_fft = packed.shape[1]
    n_bins = n_fft // 2 + 1
    # The spectrum of a real signal is its own mirrored conjugate: that tells them apart.
    mirror = np.empty((len(packed), n_bins), dtype=packed.dtype)
    mirror[:, 0] = packed[:, 0]
    mirror[:, 1:] = packed[:, : n_fft - n_bins : -1]
    np.conjugate(mirror, out=mirror)
    return (packed[:, :n_bins] + mirror) * 0.5, (packed[:, :n_bins] - mirror) * -0.5j


def pack(first: Spectra, second: Spectra) -> Spectra:
    """Invert ``unpack``; overwrites the first spectra."""
    turned = second * 1j
    n_bins = first.shape[1]
    packed = np.empty((len(first), 2 * n_bins - 2), dtype=first.dtype)
    np.add(first, turned, out=packed[:, :n_bins])
    np.subtract(first, turned, out=first)
    np.conjugate(first[:, -2:0:-1], out=packed[:, n_bins:])
    return packed


def signal_from(spectrum: Spectra, window: int, hop: int, n_samples: int) -> Array:
    """Invert the centred spectra (n_windows, n_bins) in the least-squares sense."""
    frames = scipy.fft.irfft(spectrum)[:, :window] * hann(window)
    total = np.zeros(max(hop * (len(frames) - 1) + window, window // 2 + n_samples))
    weight = np.zeros_like(total)
    for number, frame in enumerate(frames):
        place = slice(number * hop, number * hop + window)
        total[place] += frame
        weight[place] += np.square(hann(window))
    covered = weight > np.finfo(np.float32).tiny
    total[covered] /= weight[covered]
    return total[window // 2 :][:n_samples]


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

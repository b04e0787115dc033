"""The filterbanks: gammatone filters on the ERB scale, triangles on the mel scale."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from gammatone.filters import centre_freqs, make_erb_filters
from numpy.typing import NDArray

from skavsc.audio._kernels import gammatone_energies, group_bands, import_librosa

Array = NDArray[np.float64]


def gammatone_centres(sample_rate: int, n_bands: int, f_min: float, f_max: float) -> Array:
    """Return the centre frequencies in Hz, highest first."""
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
        The factor of the cascade of the four.
    """
    table = make_erb_filters(sample_rate, gammatone_centres(sample_rate, n_bands, f_min, f_max)).T
    leading = table[0]
    sections = np.concatenate([table[1:5] / leading, table[7:9]])
    return sections, leading**4 / table[9]


def gammatone_powers(
    pair: NDArray[Any], window: int, hop: int, sections: Array, gain: Array
) -> Array:
    """Compute the mean square of each band signal over each whole window.

    Parameters
    ----------
    pair : ndarray of shape (1 or 2, n_samples)
        One or two signals; a missing second one is silence.
    window, hop : int
        The samples of a window and between the beginnings of two.
    sections, gain : ndarray
        The filters, from ``gammatone_sections``.

    Returns
    -------
    ndarray of shape (3, n_windows, n_bands), float64
        Of the first signal, of the second and of their difference.
    """
    # Energies are summed once over blocks that divide both window and hop.
    block = int(np.gcd(window, hop))
    blocks_a_window, blocks_a_hop = window // block, hop // block
    n_windows = 1 + (pair.shape[1] - window) // hop
    n_blocks = (n_windows - 1) * blocks_a_hop + blocks_a_window
    padded = np.zeros((2, 1 + n_blocks * block))
    padded[: len(pair), 1:] = pair[:, : n_blocks * block]
    energies = gammatone_energies(padded, group_bands(sections), block, n_blocks)
    starts = np.arange(n_windows) * blocks_a_hop
    windows = sum(energies[:, starts + i, : len(gain)] for i in range(blocks_a_window))
    return np.asarray(windows * (gain**2 / window))


def mel_centres(sample_rate: int, n_bands: int, f_min: float, f_max: float) -> Array:
    """Return the centre frequencies of the triangles in Hz, lowest first, at any rate."""
    return np.asarray(import_librosa().mel_frequencies(n_bands + 2, fmin=f_min, fmax=f_max)[1:-1])


@lru_cache(maxsize=8)
def mel_triangles(
    sample_rate: int, n_fft: int, n_bands: int, f_min: float, f_max: float
) -> tuple[Array, NDArray[np.int64]]:
    """Design triangles of equal area on Slaney's mel scale.

    Returns
    -------
    weights : ndarray of shape (n_bands, n_fft // 2 + 1)
        The weight of each bin of a power spectrum.
    bounds : ndarray of shape (n_bands, 2)
        The first bin of each triangle and the one after its last.
    """
    weights = import_librosa().filters.mel(
        sr=sample_rate, n_fft=n_fft, n_mels=n_bands, fmin=f_min, fmax=f_max, dtype=np.float64
    )
    used = weights > 0
    first = used.argmax(axis=1)
    return weights, np.stack([first, first + used.sum(axis=1)], axis=1)


class Filterbank(NamedTuple):
    """What ``GammatoneMelTransformer`` must know of a filterbank."""

    #: From the rate, the number of bands, and the lowest and highest frequency in Hz, the centre
    #: frequencies in Hz, in the order of the bands.
    centres: Callable[[int, int, float, float], Array]
    #: The smallest value in dB.
    floor_db: float
    #: As ``mel_triangles``: what power spectra are multiplied with. None for the gammatone filters,
    #: which the sound itself goes through.
    triangles: Callable[[int, int, int, float, float], tuple[Array, NDArray[np.int64]]] | None


FILTERBANKS = {
    "gammatone": Filterbank(gammatone_centres, -120.0, None),
    "mel": Filterbank(mel_centres, -80.0, mel_triangles),
}

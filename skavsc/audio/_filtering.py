"""The gammatone filterbank in the time domain, and the energy of its bands in windows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skavsc.audio._kernels import gammatone_energies, make_groups

Array = NDArray[np.float64]


def filtered_power(
    pair: NDArray[Any], window: int, hop: int, sections: Array, gain: Array
) -> Array:
    """Give the mean square of each band signal over each whole window.

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
    energies = gammatone_energies(padded, make_groups(sections), block, n_blocks)
    starts = np.arange(n_windows) * blocks_a_hop
    windows = sum(energies[:, starts + i, : len(gain)] for i in range(blocks_a_window))
    return np.asarray(windows * (gain**2 / window))

"""Arithmetic of augmentations on the examples of a batch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def scale_blocks(blocks: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale each block to [-1, 1] as the first layer of the audio network does.

    Parameters
    ----------
    blocks : ndarray of shape (n_examples, ...)
        The blocks.

    Returns
    -------
    ndarray of the shape of blocks, float32
        The scaled blocks; a constant one is 0.
    """
    axes = tuple(range(1, blocks.ndim))
    low = blocks.min(axis=axes, keepdims=True)
    extent = blocks.max(axis=axes, keepdims=True) - low
    # In place: a batch is larger than the caches.
    scaled = (blocks - low).astype(np.float32, copy=False)
    scaled *= 2
    scaled /= np.where(extent > 0, extent, 1)
    scaled -= 1
    scaled[extent.ravel() == 0] = 0
    return scaled


def mix(values: NDArray[Any], partners: NDArray[np.intp], share: NDArray[Any]) -> NDArray[Any]:
    """Mix each example with its partner.

    Parameters
    ----------
    values : ndarray of shape (n_examples, ...)
        The examples.
    partners : ndarray of shape (n_examples,), int
        The example that each is mixed with.
    share : ndarray of shape (n_examples,)
        The weight of the example itself, in [0, 1]; the rest is the partner's.

    Returns
    -------
    ndarray of the shape of values
        The mixtures.
    """
    share = each(share, values).astype(values.dtype)
    mixture = values[partners]
    mixture *= 1 - share
    mixture += share * values
    return mixture


def mix_power(
    blocks: NDArray[np.float32], partners: NDArray[np.intp], share: NDArray[Any]
) -> NDArray[np.float32]:
    """Mix each block with its partner as two sounds that are heard at once.

    Both are brought to the same mean power, and their amplitudes are weighted by the shares;
    powers of independent sounds add up.

    Parameters
    ----------
    blocks : ndarray of shape (n_examples, n_bands, n_frames, n_channels)
        In dB.
    partners : ndarray of shape (n_examples,), int
        The block that each is mixed with.
    share : ndarray of shape (n_examples,)
        The weight of the block itself, in [0, 1]; the rest is the partner's.

    Returns
    -------
    ndarray of the shape of blocks, float32
        In dB, of mean power about 1.
    """
    power = 10 ** (np.asarray(blocks, dtype=np.float64) / 10)
    power /= power.mean(axis=(1, 2, 3), keepdims=True)
    own, other = each(share**2, blocks), each((1 - share) ** 2, blocks)
    mixture = (own * power + other * power[partners]) / (own + other)
    return (10 * np.log10(mixture)).astype(np.float32)


def each(values: NDArray[Any], blocks: NDArray[Any]) -> NDArray[Any]:
    """Reshape one value per example to broadcast over the blocks.

    Parameters
    ----------
    values : ndarray of shape (n_examples,)
        The values.
    blocks : ndarray of shape (n_examples, ...)
        The blocks.

    Returns
    -------
    ndarray of shape (n_examples, 1, ...)
        The values, with as many axes as the blocks.
    """
    return values.reshape(-1, *[1] * (blocks.ndim - 1))


def runs(rng: np.random.Generator, n: int, length: int, longest: int) -> NDArray[np.bool_]:
    """Mark one run of a random width and place in each of some rows.

    Parameters
    ----------
    rng : numpy.random.Generator
        The source of randomness.
    n : int
        Number of rows.
    length : int
        Length of a row.
    longest : int
        Maximum width of a run.

    Returns
    -------
    ndarray of shape (n, length), bool
        True in the run.
    """
    widths = rng.integers(longest, size=n, endpoint=True)
    starts = rng.integers(length - widths, endpoint=True)
    positions = np.arange(length)
    after_start: NDArray[np.bool_] = positions >= starts[:, None]
    return after_start & (positions < (starts + widths)[:, None])

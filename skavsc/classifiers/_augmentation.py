"""What crops go through in training: mixup, masks, filters, changes of frames, gaps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Where the gain of a random filter is drawn, from the lowest band to the highest.
N_KNOTS = 5

Inputs = dict[str, NDArray[np.float32]]

#: Gives the crops of a batch changed, with what is random in it drawn from the generator.
Augmentation = Callable[[Inputs, np.random.Generator], Inputs]


def scale_blocks(blocks: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale each block to [-1, 1] as the first layer of the audio network does."""
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
    """Mix each example with its partner: ``share`` of the one, the rest of the other."""
    share = _each(share, values).astype(values.dtype)
    mixture = values[partners]
    mixture *= 1 - share
    mixture += share * values
    return mixture


def mix_power(
    blocks: NDArray[np.float32], partners: NDArray[np.intp], share: NDArray[Any]
) -> NDArray[np.float32]:
    """Mix each block with its partner as two sounds that are heard at once.

    Both are brought to the same mean power, and their amplitudes are weighted by the shares;
    sounds that have nothing to do with each other add up in power.

    Parameters
    ----------
    blocks : ndarray of shape (n_examples, n_bands, n_frames, n_channels)
        In decibels.
    partners : ndarray of shape (n_examples,), int
        Which block each is mixed with.
    share : ndarray of shape (n_examples,)
        The weight of the block itself, in [0, 1]; the rest is the partner's.

    Returns
    -------
    ndarray of the shape of blocks, float32
        In decibels, of mean power about 1.
    """
    power = 10 ** (np.asarray(blocks, dtype=np.float64) / 10)
    power /= power.mean(axis=(1, 2, 3), keepdims=True)
    own, other = _each(share**2, blocks), _each((1 - share) ** 2, blocks)
    mixture = (own * power + other * power[partners]) / (own + other)
    return (10 * np.log10(mixture)).astype(np.float32)


def mask_blocks(
    inputs: Inputs, rng: np.random.Generator, *, stream: str, max_frames: int, max_bands: int
) -> Inputs:
    """Hide a run of frames and a run of bands of each block, as SpecAugment does.

    What is hidden gets the mean of the block and channel. That value moves with the gain, so it
    does not matter whether the network's scaling to [-1, 1] comes before or after; and a channel
    that is constant, as the difference of a mono recording, stays so.

    Parameters
    ----------
    inputs : dict of str to ndarray
        The crops; those of the stream of shape (n_examples, n_bands, n_frames, n_channels).
    rng : numpy.random.Generator
        Draws widths from 0 to the largest, and where the runs begin.
    stream : str
        Which stream is masked.
    max_frames, max_bands : int
        The largest widths; 0 for none.

    Returns
    -------
    dict of str to ndarray
        The crops with that stream replaced.
    """
    blocks = inputs[stream]
    n_examples, n_bands, n_frames, _ = blocks.shape
    frames = _runs(rng, n_examples, n_frames, max_frames)
    bands = _runs(rng, n_examples, n_bands, max_bands)
    hidden = bands[:, :, None, None] | frames[:, None, :, None]
    means = blocks.mean(axis=(1, 2), keepdims=True)
    return {**inputs, stream: np.where(hidden, means, blocks)}


def colour_blocks(
    inputs: Inputs, rng: np.random.Generator, *, stream: str, deviation: float
) -> Inputs:
    """Send each block through a random smooth filter, as other devices and places would.

    The filter's gain is linear between `N_KNOTS` equally spaced bands, where it is normally
    distributed around 0, and the same in all frames and channels. It is measured by the block's
    range, so that it does not matter whether the network's scaling to [-1, 1] comes before or
    after. A channel that is constant, as the difference of a mono recording, stays so.

    Parameters
    ----------
    inputs : dict of str to ndarray
        The crops; those of the stream of shape (n_examples, n_bands, n_frames, n_channels), on a
        logarithmic scale.
    rng : numpy.random.Generator
        Draws the gains.
    stream : str
        Which stream is filtered.
    deviation : float
        The standard deviation of the gains, as a fraction of the block's range.

    Returns
    -------
    dict of str to ndarray
        The crops with that stream replaced.
    """
    blocks = inputs[stream]
    n_examples, n_bands, _, _ = blocks.shape
    knots = rng.normal(0, deviation, size=(n_examples, N_KNOTS))
    positions = np.linspace(0, N_KNOTS - 1, n_bands)
    gains = np.stack([np.interp(positions, np.arange(N_KNOTS), row) for row in knots])
    extent = np.ptp(blocks, axis=(1, 2, 3), keepdims=True)
    filtered = blocks + extent * gains[:, :, None, None].astype(np.float32)
    constant = np.ptp(blocks, axis=(1, 2), keepdims=True) == 0
    return {**inputs, stream: np.where(constant, blocks, filtered)}


def flip_frames(inputs: Inputs, rng: np.random.Generator, *, stream: str) -> Inputs:
    """Mirror the frames of every other example, left to right, all those of one alike."""
    frames = inputs[stream]
    flipped = rng.random(len(frames)) < 0.5
    return {**inputs, stream: np.where(_each(flipped, frames), frames[..., ::-1, :], frames)}


def brighten_frames(
    inputs: Inputs, rng: np.random.Generator, *, stream: str, limit: float
) -> Inputs:
    """Multiply the frames of each example by a factor of up to ``limit`` around 1.

    Values stay within 0 to 255; negative ones, which stand for missing frames, stay as they are.
    """
    frames = inputs[stream]
    factors = rng.uniform(1 - limit, 1 + limit, size=len(frames)).astype(frames.dtype)
    brighter = np.minimum(_each(factors, frames) * frames, 255)
    return {**inputs, stream: np.where(frames >= 0, brighter, frames)}


def drop_streams(
    inputs: Inputs, rng: np.random.Generator, *, rate: float, blanks: Mapping[str, float]
) -> Inputs:
    """Replace a whole stream of some examples, any of them with the same chance.

    Parameters
    ----------
    inputs : dict of str to ndarray
        The crops.
    rng : numpy.random.Generator
        Draws examples and streams.
    rate : float
        The probability that an example loses a stream.
    blanks : mapping of str to float
        What each stream is filled with; the same as where it is missing in prediction.

    Returns
    -------
    dict of str to ndarray
        The crops with streams replaced.
    """
    names = list(inputs)
    n_examples = len(inputs[names[0]])
    lost = np.where(rng.random(n_examples) < rate, rng.integers(len(names), size=n_examples), -1)
    return {
        name: np.where(_each(lost == index, inputs[name]), np.float32(blanks[name]), inputs[name])
        for index, name in enumerate(names)
    }


def _each(values: NDArray[Any], blocks: NDArray[Any]) -> NDArray[Any]:
    """Give one value an example the axes of the blocks."""
    return values.reshape(-1, *[1] * (blocks.ndim - 1))


def _runs(rng: np.random.Generator, n: int, length: int, longest: int) -> NDArray[np.bool_]:
    """Mark one run of up to ``longest`` in each of n rows of ``length``."""
    widths = rng.integers(longest, size=n, endpoint=True)
    starts = rng.integers(length - widths, endpoint=True)
    positions = np.arange(length)
    after_start: NDArray[np.bool_] = positions >= starts[:, None]
    return after_start & (positions < (starts + widths)[:, None])

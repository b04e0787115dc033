"""What augmentations take, what all of them have in common, and their arithmetic."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from skavsc._sklearn_compat import DocLinkMixin


@dataclass(frozen=True)
class Batch:
    """Segments to train on.

    Attributes
    ----------
    inputs : dict of str to ndarray
        The segments of each modality: ``audio`` of shape (n_examples, n_bands, n_frames,
        n_channels), in dB; ``visual`` of shape (n_examples, n_frames, n_features), or frames
        (n_examples, n_frames, height, width, 3) of 0 to 255.
    targets : ndarray of shape (n_examples, n_classes)
        The share of each class in each example.
    weights : ndarray of shape (n_examples,) or None
        The weights of the examples.

    Examples
    --------
    >>> import numpy as np
    >>> from skavsc.training.augmentation import Batch
    >>> batch = Batch({"visual": np.ones((2, 5, 512), dtype=np.float32)}, targets=np.eye(2))
    >>> batch.with_input("visual", 2 * batch.inputs["visual"]).inputs["visual"].max()
    np.float32(2.0)
    """

    inputs: dict[str, NDArray[np.float32]]
    targets: NDArray[np.float32]
    weights: NDArray[np.float32] | None = None

    def with_input(self, name: str, values: NDArray[np.float32]) -> Batch:
        """Replace the segments of one modality.

        Parameters
        ----------
        name : str
            The modality.
        values : ndarray
            Its new segments.

        Returns
        -------
        Batch
            The changed batch.
        """
        return replace(self, inputs={**self.inputs, name: values})


class Augmentation(DocLinkMixin, BaseEstimator, metaclass=ABCMeta):
    """Base of the augmentations.

    A subclass has its parameters in ``__init__``, as any scikit-learn estimator, says what it
    changes by the two attributes below, and changes batches in ``__call__``.

    Attributes
    ----------
    modality : str or None
        The modality that it changes, ``"audio"`` or ``"visual"``; None for all of them.
    on_frames : bool
        Whether it changes frames and not their embeddings, so that it takes part only where an
        image network is trained.

    Examples
    --------
    >>> import numpy as np
    >>> from skavsc.training.augmentation import Augmentation, Batch
    >>> class Louder(Augmentation):
    ...     modality = "audio"
    ...
    ...     def __init__(self, decibels=6.0):
    ...         self.decibels = decibels
    ...
    ...     def __call__(self, batch, rng):
    ...         gain = rng.uniform(0, self.decibels, (len(batch.targets), 1, 1, 1))
    ...         return batch.with_input("audio", batch.inputs["audio"] + np.float32(gain))
    >>> batch = Batch({"audio": np.zeros((2, 64, 50, 1), dtype=np.float32)}, targets=np.eye(2))
    >>> bool(Louder()(batch, np.random.default_rng(0)).inputs["audio"].min() > 0)
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {}
    modality: ClassVar[str | None] = None
    on_frames: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """Return the batch changed, with all that is random drawn from the generator.

        Parameters
        ----------
        batch : Batch
            The segments, which are not to be changed in place.
        rng : numpy.random.Generator
            The source of randomness.

        Returns
        -------
        Batch
            The changed segments.
        """

    def check(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Check the parameters before training.

        Parameters
        ----------
        shapes : mapping of str to tuple of int
            The shapes of a segment of each modality.

        Raises
        ------
        ValueError
            If a parameter is out of range or does not fit the segments.
        """
        self._validate_params()


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

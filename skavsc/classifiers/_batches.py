"""Batches for Keras: random crops to train on, the seconds of clips to judge by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from skavsc.classifiers._augmentation import (
    Augmentation,
    Inputs,
    mix,
    mix_power,
    scale_blocks,
)
from skavsc.classifiers._streams import ClipStreams


def network_inputs(inputs: Inputs) -> Any:
    """Give the streams as Keras takes them: one array, or a tuple in the order of the streams."""
    parts = tuple(inputs.values())
    return parts[0] if len(parts) == 1 else parts


class _ClipBatches(keras.utils.PyDataset):
    """Batches of clips that can be let go of."""

    clips: ClipStreams

    def release(self) -> None:
        """Drop the clips: TensorFlow never drops a data set that it was once given."""
        del self.clips


class CropBatches(_ClipBatches):
    """One random second of every clip an epoch, in batches of nearly equal size.

    The epochs follow on each other, so that the first batch of one is made while the last one's
    are trained on.

    Parameters
    ----------
    clips : ClipStreams
        The features.
    rows : ndarray of int
        The clips to train on, each with at least one usable start.
    targets : ndarray of shape (n_clips, n_classes)
        One-hot or smoothed targets of all clips.
    weights : ndarray of shape (n_clips,) or None
        The weights of all clips.
    batch_size : int
        The largest batch.
    mixup_alpha : float
        The parameter of the beta distribution of mixup; 0 for none.
    mixed : tuple of str
        The streams that mixup mixes.
    mixup_domain : {"decibels", "power"}, default="decibels"
        How streams that the network scales by blocks are mixed: what it would scale them to, or
        the power that they are the logarithm of.
    augmentations : sequence of callables
        What the crops go through after mixup.
    seed : int
        Every batch of every epoch follows from it, in whatever order they are asked for.
    epochs : int, default=1
        How many.
    first_epoch : int, default=0
        The epochs already trained.

    Attributes
    ----------
    steps_per_epoch : int
        The batches of an epoch.
    """

    def __init__(
        self,
        clips: ClipStreams,
        rows: NDArray[np.intp],
        targets: NDArray[np.float32],
        weights: NDArray[np.float32] | None,
        *,
        batch_size: int,
        mixup_alpha: float,
        mixed: tuple[str, ...],
        mixup_domain: str = "decibels",
        augmentations: Sequence[Augmentation] = (),
        seed: int,
        epochs: int = 1,
        first_epoch: int = 0,
    ) -> None:
        super().__init__()
        self.clips = clips
        self.rows = rows
        self.targets = targets
        self.weights = weights
        self.batch_size = batch_size
        self.mixup_alpha = mixup_alpha
        self.mixed = mixed
        self.mixup_domain = mixup_domain
        self.augmentations = augmentations
        self.seed = seed
        self.epochs = epochs
        self.first_epoch = first_epoch
        self.steps_per_epoch = -(-len(rows) // batch_size)
        self._order: tuple[int, list[NDArray[np.intp]]] = (-1, [])

    def __len__(self) -> int:
        return self.epochs * self.steps_per_epoch

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        since_first, step = divmod(index, self.steps_per_epoch)
        epoch = self.first_epoch + since_first
        rng = np.random.default_rng((self.seed, epoch, step))
        rows = self._batches(epoch)[step]
        usable = self.clips.usable_starts[rows]
        chosen = rng.integers(usable.sum(axis=1))
        starts = (np.cumsum(usable, axis=1) > chosen[:, None]).argmax(axis=1)
        inputs = self.clips.crops(rows, starts)
        targets = self.targets[rows]
        weights = None if self.weights is None else self.weights[rows]
        if self.mixup_alpha > 0:
            share = rng.beta(self.mixup_alpha, self.mixup_alpha, size=len(rows))
            partners = rng.permutation(len(rows))
            for name in self.mixed:
                blocks = inputs[name]
                if not self.clips.streams[name].block_scaled:
                    inputs[name] = mix(blocks, partners, share)
                elif self.mixup_domain == "power":
                    inputs[name] = mix_power(blocks, partners, share)
                else:
                    inputs[name] = mix(scale_blocks(blocks), partners, share)
            targets = mix(targets, partners, share)
            weights = None if weights is None else mix(weights, partners, share)
        for augment in self.augmentations:
            inputs = augment(inputs, rng)
        judged = (targets,) if weights is None else (targets, weights)
        return (network_inputs(inputs), *judged)

    def _batches(self, epoch: int) -> list[NDArray[np.intp]]:
        """Give the clips of each batch of an epoch."""
        known, batches = self._order
        if known != epoch:
            order = np.random.default_rng((self.seed, epoch)).permutation(self.rows)
            # Nearly equal: batch normalisation cannot do with a last batch of one example.
            batches = np.array_split(order, self.steps_per_epoch)
            self._order = epoch, batches
        return batches


class SecondBatches(_ClipBatches):
    """Every usable second of some clips, in order; overlapping ones if more begin in a second.

    Parameters
    ----------
    clips : ClipStreams
        The features.
    rows : ndarray of int
        The clips.
    targets : ndarray of shape (n_clips, n_classes) or None
        The targets of all clips, to be judged by; without them only inputs are given.
    weights : ndarray of shape (n_clips,) or None
        The weights of all clips.
    per_second : int, default=1
        How many begin in a second.
    batch_size : int
        The largest batch.
    """

    def __init__(
        self,
        clips: ClipStreams,
        rows: NDArray[np.intp],
        targets: NDArray[np.float32] | None = None,
        weights: NDArray[np.float32] | None = None,
        *,
        per_second: int = 1,
        batch_size: int = 64,
    ) -> None:
        super().__init__()
        self.clips = clips
        self.targets = targets
        self.weights = weights
        self.batch_size = batch_size
        hop = clips.hop(per_second)
        which, number = np.nonzero(clips.usable_starts[rows, ::hop])
        self.clip_of = rows[which]
        self.starts = number * hop

    def __len__(self) -> int:
        return -(-len(self.clip_of) // self.batch_size)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        batch = slice(index * self.batch_size, (index + 1) * self.batch_size)
        clip_of = self.clip_of[batch]
        parts = (self.targets, self.weights)
        inputs = self.clips.crops(clip_of, self.starts[batch])
        return (network_inputs(inputs), *(part[clip_of] for part in parts if part is not None))

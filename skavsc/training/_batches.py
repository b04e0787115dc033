"""Batches for Keras: random crops to train on, the segments of clips to validate on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from skavsc.training._segments import ClipFeatures, LabelledClips, network_inputs
from skavsc.training.augmentation import Augmentation, Batch


class ClipBatches(keras.utils.PyDataset):
    """Batches of clips that can be released."""

    features: ClipFeatures

    def release(self) -> None:
        """Drop the features: TensorFlow never drops a data set that it was once given."""
        del self.features


class CropBatches(ClipBatches):
    """One random segment of every clip per epoch, in batches of nearly equal size.

    The epochs follow on each other, so that the first batch of one is made while the last one's
    are trained on.

    Parameters
    ----------
    clips : LabelledClips
        The clips to train on, each with at least one usable start.
    classes : ndarray of shape (n_classes,)
        The labels, in the order of the targets.
    batch_size : int
        The largest batch.
    augmentation : sequence of Augmentation
        What the batches go through.
    seed : int
        Every batch of every epoch follows from it, in whatever order they are asked for.
    epochs : int, default=1
        Number of epochs.
    first_epoch : int, default=0
        Number of epochs already trained.

    Attributes
    ----------
    steps_per_epoch : int
        Number of batches of an epoch.
    """

    def __init__(
        self,
        clips: LabelledClips,
        classes: NDArray[Any],
        *,
        batch_size: int,
        augmentation: Sequence[Augmentation] = (),
        seed: int,
        epochs: int = 1,
        first_epoch: int = 0,
    ) -> None:
        super().__init__()
        self.features = clips.features
        self.rows = clips.rows
        self.targets = clips.targets(classes)
        self.weights = clips.weights
        self.augmentation = augmentation
        self.seed = seed
        self.epochs = epochs
        self.first_epoch = first_epoch
        self.steps_per_epoch = -(-len(self.rows) // batch_size)
        self._order: tuple[int, list[NDArray[np.intp]]] = (-1, [])

    def __len__(self) -> int:
        return self.epochs * self.steps_per_epoch

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        since_first, step = divmod(index, self.steps_per_epoch)
        epoch = self.first_epoch + since_first
        rng = np.random.default_rng((self.seed, epoch, step))
        rows = self._batches(epoch)[step]
        usable = self.features.usable_starts[rows]
        chosen = rng.integers(usable.sum(axis=1))
        starts = (np.cumsum(usable, axis=1) > chosen[:, None]).argmax(axis=1)
        weights = None if self.weights is None else self.weights[rows]
        batch = Batch(self.features.crops(rows, starts), self.targets[rows], weights)
        for augment in self.augmentation:
            batch = augment(batch, rng)
        parts = (network_inputs(batch.inputs), batch.targets)
        return parts if batch.weights is None else (*parts, batch.weights)

    def _batches(self, epoch: int) -> list[NDArray[np.intp]]:
        """Return the clips of each batch of an epoch."""
        known, batches = self._order
        if known != epoch:
            order = np.random.default_rng((self.seed, epoch)).permutation(self.rows)
            # Batches of nearly equal size: a last batch of one example breaks batch normalisation.
            batches = np.array_split(order, self.steps_per_epoch)
            self._order = epoch, batches
        return batches


class SegmentBatches(ClipBatches):
    """Every usable segment of clips, in order, with targets to validate by.

    Parameters
    ----------
    clips : LabelledClips
        The clips.
    classes : ndarray of shape (n_classes,)
        The labels, in the order of the targets.
    batch_size : int
        The largest batch.
    """

    def __init__(
        self, clips: LabelledClips, classes: NDArray[Any], *, batch_size: int = 64
    ) -> None:
        super().__init__()
        self.features = clips.features
        self.targets = clips.targets(classes)
        self.weights = clips.weights
        self.batch_size = batch_size
        step = clips.features.starts_between(1)
        which, number = np.nonzero(clips.features.usable_segments[clips.rows])
        self.clip_of = clips.rows[which]
        self.starts = number * step

    def __len__(self) -> int:
        return -(-len(self.clip_of) // self.batch_size)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        batch = slice(index * self.batch_size, (index + 1) * self.batch_size)
        clip_of = self.clip_of[batch]
        inputs = network_inputs(self.features.crops(clip_of, self.starts[batch]))
        parts = (inputs, self.targets[clip_of])
        return parts if self.weights is None else (*parts, self.weights[clip_of])

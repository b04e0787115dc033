"""What augmentations take, and what all of them have in common."""

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

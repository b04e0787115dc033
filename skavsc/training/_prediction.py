"""Class probabilities of the segments of clips, without a data set a call."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from skavsc.training._segments import ClipFeatures, network_inputs

if TYPE_CHECKING:
    import keras

LARGEST_BATCH = 64

Segments = dict[str, NDArray[np.float32]]


def segment_probabilities(
    run: Callable[[Segments], NDArray[np.float32]],
    n_classes: int,
    features: ClipFeatures,
    starts_per_second: int = 1,
) -> NDArray[np.float32]:
    """Run a network on every segment of clips.

    Parameters
    ----------
    run : callable
        From a batch of segments, by modality, to their class probabilities.
    n_classes : int
        Number of classes.
    features : ClipFeatures
        The clips.
    starts_per_second : int, default=1
        Number of segments that begin in each second.

    Returns
    -------
    ndarray of shape (n_clips, n_starts, n_classes), float32
        NaN for segments that are not usable.
    """
    step = features.starts_between(starts_per_second)
    usable = features.usable_starts[:, ::step]
    probabilities = np.full((*usable.shape, n_classes), np.nan, dtype=np.float32)
    clips, numbers = np.nonzero(usable)
    for first in range(0, len(clips), LARGEST_BATCH):
        part = slice(first, first + LARGEST_BATCH)
        crops = features.crops(clips[part], numbers[part] * step)
        probabilities[clips[part], numbers[part]] = run(crops)
    return probabilities


def predict_segments(
    network: keras.Model, features: ClipFeatures, starts_per_second: int = 1
) -> NDArray[np.float32]:
    """Predict the class probabilities of every segment of clips with a Keras network.

    On JAX, which compiles for each shape, batches are filled up to a power of two.

    Parameters
    ----------
    network : keras.Model
        The network.
    features : ClipFeatures
        The clips.
    starts_per_second : int, default=1
        Number of segments that begin in each second.

    Returns
    -------
    ndarray of shape (n_clips, n_starts, n_classes), float32
        NaN for segments that are not usable.
    """
    import keras

    from skavsc.training._backend import (
        ONE_AT_A_TIME,
        check_process,
        without_retracing_warning,
    )

    check_process()
    backend = keras.backend.backend()
    # Keras on TensorFlow calls one function that keeps no state; on others it moves the weights.
    alone = nullcontext() if backend == "tensorflow" else ONE_AT_A_TIME

    def run(crops: Segments) -> NDArray[np.float32]:
        n_segments = len(next(iter(crops.values())))
        if backend == "jax":
            n_more = (1 << (n_segments - 1).bit_length()) - n_segments
            crops = {
                name: np.concatenate([values, np.zeros((n_more, *values.shape[1:]), "f4")])
                for name, values in crops.items()
            }
        with alone, without_retracing_warning():
            predicted = network.predict_on_batch(network_inputs(crops))
        return np.asarray(predicted[:n_segments])

    return segment_probabilities(run, network.output_shape[-1], features, starts_per_second)


def average_segments(segments: NDArray[np.float32], clip_average: str) -> NDArray[np.float32]:
    """Average the probabilities of the segments of each clip that are not NaN.

    Parameters
    ----------
    segments : ndarray of shape (n_clips, n_segments, n_classes)
        The probabilities.
    clip_average : {"arithmetic", "geometric"}
        Which mean.

    Returns
    -------
    ndarray of shape (n_clips, n_classes), float32
        The probabilities of the clips.

    Examples
    --------
    >>> import numpy as np
    >>> from skavsc.training import average_segments
    >>> segments = np.array([[[0.9, 0.1], [0.5, 0.5], [np.nan, np.nan]]], dtype=np.float32)
    >>> average_segments(segments, "arithmetic")
    array([[0.7, 0.3]], dtype=float32)
    """
    if clip_average == "arithmetic":
        return np.nanmean(segments, axis=1)
    # Bounded below: one segment does not rule a class out, and logarithms stay finite.
    logarithms = np.log(np.maximum(segments, np.finfo(np.float32).tiny))
    return softmax(np.nanmean(logarithms, axis=1), axis=1)

"""What the classifiers are given, checked: features, labels, weights, and the clips held out."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.class_weight import compute_sample_weight

from skavsc._sklearn_compat import _check_sample_weight
from skavsc.classifiers._augmentation import Augmentation
from skavsc.classifiers._streams import ClipStreams
from skavsc.exceptions import MissingClipWarning, MissingModalityError


@dataclass(frozen=True)
class LabelledClips:
    """Clips, what they show, and the rows of them that are meant.

    Attributes
    ----------
    clips : ClipStreams
        The features of n_clips clips.
    labels : ndarray of shape (n_clips,)
        The labels as the user gave them.
    weights : ndarray of shape (n_clips,) or None
        The weights.
    rows : ndarray of int
        The clips that are meant; each has a usable second.
    """

    clips: ClipStreams
    labels: NDArray[Any]
    weights: NDArray[np.float32] | None
    rows: NDArray[np.intp]


@dataclass(frozen=True)
class TrainingSet:
    """What a network is trained with.

    Attributes
    ----------
    train : LabelledClips
        The clips to train on.
    held : LabelledClips or None
        The clips to stop training by.
    classes : ndarray of shape (n_classes,)
        All labels there are.
    seed : int
        What everything random in this fit follows from.
    augmentations : tuple of callables
        What the crops go through after those that the classifier of this network has itself.
    keeps_half_trained : bool
        Whether Ctrl-C ends the training with the best weights so far, or is passed on.
    """

    train: LabelledClips
    held: LabelledClips | None
    classes: NDArray[Any]
    seed: int
    augmentations: tuple[Augmentation, ...] = ()
    keeps_half_trained: bool = True

    def narrowed(self, name: str) -> TrainingSet:
        """Give the clips that have the named stream, alone and free to start anywhere."""
        return self._with(lambda labelled: _narrowed(labelled, name))

    def on_frames(self) -> TrainingSet:
        """Give the same clips with frames in place of their embeddings."""
        return self._with(lambda labelled: replace(labelled, clips=labelled.clips.on_frames()))

    def _with(self, change: Callable[[LabelledClips], LabelledClips]) -> TrainingSet:
        held = None if self.held is None else change(self.held)
        return replace(self, train=change(self.train), held=held)


def _narrowed(labelled: LabelledClips, name: str) -> LabelledClips:
    clips = ClipStreams({name: replace(labelled.clips.streams[name], stride=1)})
    rows = labelled.rows[clips.usable_seconds[labelled.rows].any(axis=1)]
    if len(rows) == 0:
        raise MissingModalityError(
            f"of {len(labelled.rows)} clips to train on, or held out, none has a whole second of "
            f"{name}; each stream must be there in some of them"
        )
    return replace(labelled, clips=clips, rows=rows)


def one_hot(labels: NDArray[Any], classes: NDArray[Any]) -> NDArray[np.float32]:
    """Give targets of shape (n_clips, n_classes)."""
    return (labels[:, None] == classes).astype(np.float32)


def require_known(labels: NDArray[Any], classes: NDArray[Any], name: str, remedy: str = "") -> None:
    """Raise if a label is none of the classes."""
    unknown = np.setdiff1d(labels, classes)
    if len(unknown):
        raise ValueError(
            f"{name} holds the labels {unknown.tolist()}, which are not among the classes "
            f"{classes.tolist()}{remedy}"
        )


def check_features(
    X: Any,
    field: str,
    axes: tuple[str, ...],
    *,
    segment_frames: int,
    known: tuple[int, ...] | None,
) -> NDArray[Any]:
    """Give one modality's features as an array with the expected axes.

    Parameters
    ----------
    X : array-like, or structured array with the field ``field``
        The features.
    field : str
        The modality.
    axes : tuple of str
        What each axis counts; the last but one counts frames.
    segment_frames : int
        The frames of one second, which there must be at least.
    known : tuple of int or None
        The shape at fit; all axes but the first and that of frames must agree with it.

    Returns
    -------
    ndarray
        The features; a view where X is an array.
    """
    if isinstance(X, np.ndarray) and X.dtype.names is not None:
        if field not in X.dtype.names:
            raise ValueError(
                f"X is a structured array with the fields {X.dtype.names}, none is {field!r}"
            )
        X = X[field]
    X = np.asanyarray(X)
    if X.dtype.kind not in "fiu":
        remedy = "put a transformer in front that turns clips into features"
        if field == "visual":
            remedy += " (of frames: a VGGPlacesEmbedder), or pass one as embedder="
        raise ValueError(
            f"{field} features must be numbers, got an array of dtype {X.dtype}; {remedy}"
        )
    if X.ndim != len(axes):
        raise ValueError(
            f"{field} features must have {len(axes)} axes ({', '.join(axes)}), "
            f"got {X.ndim} with shape {X.shape}"
        )
    if len(X) == 0:
        raise ValueError(f"Found array with 0 sample(s) (shape={X.shape}): there are no clips")
    frames = len(axes) - 2
    if X.shape[frames] < segment_frames:
        raise ValueError(
            f"{field} features have {X.shape[frames]} frames on axis {frames}, fewer than the "
            f"segment_frames={segment_frames} of one second"
        )
    if known is not None:
        for axis in set(range(1, len(axes))) - {frames}:
            if X.shape[axis] != known[axis]:
                raise ValueError(
                    f"X has {X.shape[axis]} {axes[axis]} on axis {axis}, the classifier was "
                    f"fitted with {known[axis]}; extract with the same parameters as for fit"
                )
    return X


def check_weights(
    sample_weight: Any, class_weight: Any, X: Any, y: NDArray[Any]
) -> NDArray[np.float32] | None:
    """Multiply the weights of clips and of classes; None where all are equal."""
    if sample_weight is None and class_weight is None:
        return None
    weights = _check_sample_weight(sample_weight, X, ensure_non_negative=True)
    if not weights.any():
        raise ValueError("sample_weight is zero for every clip; there is nothing to train on")
    return (weights * compute_sample_weight(class_weight, y)).astype(np.float32)


def usable_rows(clips: ClipStreams, modality: str) -> NDArray[np.intp]:
    """Give the clips with a whole second; warn of the others, and raise if there are none."""
    usable = clips.usable_seconds.any(axis=1)
    if not usable.any():
        raise MissingModalityError(f"no clip has a whole second of {modality}: all hold NaN")
    if not usable.all():
        warnings.warn(
            f"{np.count_nonzero(~usable)} of {clips.n_clips} clips have no whole second of "
            f"{modality} and are left out of training",
            MissingClipWarning,
            stacklevel=4,
        )
    return np.flatnonzero(usable)


def require_present(present: NDArray[np.bool_], modality: str) -> None:
    """Raise if a clip has nothing to be judged by."""
    missing = np.flatnonzero(~present)
    if len(missing):
        raise MissingModalityError(
            f"{len(missing)} of {len(present)} clips have no whole second of {modality} to judge "
            f"by (rows {', '.join(map(str, missing[:5]))}{', ...' if len(missing) > 5 else ''}); "
            "leave them out, or use LateFusionClassifier, which predicts from what is there"
        )

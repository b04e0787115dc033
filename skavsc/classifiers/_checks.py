"""Checks of the input of the classifiers: features, weights, and the clips to hold out."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.class_weight import compute_sample_weight

from skavsc._clips import grouped_folds, rate_of
from skavsc._sklearn_compat import _check_sample_weight
from skavsc.exceptions import MissingClipWarning, MissingModalityError
from skavsc.training import ClipFeatures


def check_features(
    X: Any,
    field: str,
    axes: tuple[str, ...],
    *,
    segment_frames: int,
    known: tuple[int, ...] | None,
    parameter: str = "segment_frames",
) -> NDArray[Any]:
    """Return one modality's features as an array with the expected axes.

    Parameters
    ----------
    X : array-like, or structured array with the field ``field``
        The features.
    field : str
        The modality.
    axes : tuple of str
        What each axis counts; the last but one counts frames.
    segment_frames : int
        Number of frames of a segment, which there must be at least.
    known : tuple of int or None
        The shape at fit; all axes but the first and that of frames must agree with it.
    parameter : str, default="segment_frames"
        What the classifier calls ``segment_frames``.

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
        if field == "visual" and parameter == "segment_frames":
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
    _check_segment_frames(X, field, axes, segment_frames, parameter)
    if known is not None:
        for axis in set(range(1, len(axes))) - {len(axes) - 2}:
            if X.shape[axis] != known[axis]:
                raise ValueError(
                    f"X has {X.shape[axis]} {axes[axis]} on axis {axis}, the classifier was "
                    f"fitted with {known[axis]}; extract with the same parameters as for fit"
                )
    return X


def _check_segment_frames(
    X: NDArray[Any], field: str, axes: tuple[str, ...], segment_frames: int, parameter: str
) -> None:
    """Raise if ``segment_frames`` is not one second of the features, or X has fewer frames."""
    rate = rate_of(X)
    if rate is not None and round(rate) != segment_frames:
        raise ValueError(
            f"the {field} features have {rate:g} {axes[-2]} a second, so that "
            f"{parameter}={segment_frames} is not one second; set {parameter}={round(rate)} "
            "of the classifier, or extract features of that rate"
        )
    frames = len(axes) - 2
    if X.shape[frames] < segment_frames:
        raise ValueError(
            f"{field} features have {X.shape[frames]} {axes[frames]} on axis {frames}, fewer than "
            f"the {parameter}={segment_frames} of one second"
        )


def require_fields(X: Any) -> None:
    """Raise if X does not hold both modalities."""
    names = getattr(getattr(X, "dtype", None), "names", None)
    if not {"audio", "visual"} <= set(names or ()):
        found = (
            f"has the fields {list(names)}" if names else f"is a {type(X).__name__} without fields"
        )
        raise ValueError(
            "X must be a structured array with the fields 'audio' and 'visual', as a ModalityUnion "
            f"with transformers of these names gives it; it {found}"
        )


def require_aligned(clips: ClipFeatures) -> None:
    """Raise if the modalities differ in duration, or a clip has nothing to predict from."""
    seconds = {name: part.n_segments for name, part in clips.modalities.items()}
    if len(set(seconds.values())) > 1:
        lengths = ", ".join(
            f"{name} has {part.data.shape[-2]} frames on axis {part.data.ndim - 2}, "
            f"{seconds[name]} s of {part.segment_frames}"
            for name, part in clips.modalities.items()
        )
        raise ValueError(
            f"the modalities of X differ in duration: {lengths}; extract both of the same "
            "seconds, and with as many frames per second as segment_frames of their classifier"
        )
    lacking = np.flatnonzero(~clips.usable_segments.any(axis=1))
    if len(lacking):
        needed, remedy = "both sound and picture", "set modality_dropout above 0, "
        if clips.any_modality:
            needed, remedy = "sound or picture", ""
        raise MissingModalityError(
            f"{len(lacking)} of {clips.n_clips} clips have no second with {needed} (the first is "
            f"row {lacking[0]}); leave them out, {remedy}or use LateFusionClassifier, which "
            "predicts from what is there"
        )


def require_known(labels: NDArray[Any], classes: NDArray[Any], name: str, remedy: str = "") -> None:
    """Raise if a label is none of the classes."""
    unknown = np.setdiff1d(labels, classes)
    if len(unknown):
        raise ValueError(
            f"{name} holds the labels {unknown.tolist()}, which are not among the classes "
            f"{classes.tolist()}{remedy}"
        )


def require_present(present: NDArray[np.bool_], label: str) -> None:
    """Raise if a clip has no segment to predict from."""
    missing = np.flatnonzero(~present)
    if len(missing):
        raise MissingModalityError(
            f"{len(missing)} of {len(present)} clips have no whole second of {label} to predict "
            f"from (rows {', '.join(map(str, missing[:5]))}{', ...' if len(missing) > 5 else ''}); "
            "leave them out, or use LateFusionClassifier, which predicts from what is there"
        )


def check_weights(
    sample_weight: Any, class_weight: Any, y: NDArray[Any]
) -> tuple[NDArray[np.bool_], NDArray[np.float32] | None]:
    """Multiply the weights of clips and of classes.

    Returns
    -------
    present : ndarray of shape (n_clips,), bool
        The clips of a sample weight above 0; the others are treated as absent.
    weights : ndarray of shape (n_clips,), float32, or None
        The weights; None where all are equal.
    """
    if sample_weight is None and class_weight is None:
        return np.ones(len(y), dtype=bool), None
    weights = _check_sample_weight(sample_weight, np.empty((len(y), 1)), ensure_non_negative=True)
    present: NDArray[np.bool_] = weights > 0
    if not present.any():
        raise ValueError("sample_weight is zero for every clip; there is nothing to train on")
    weights[present] *= compute_sample_weight(class_weight, y[present])
    return present, weights.astype(np.float32)


def usable_rows(clips: ClipFeatures, present: NDArray[np.bool_], label: str) -> NDArray[np.intp]:
    """Return the present clips with a whole segment; warn of those without."""
    usable = clips.usable_segments.any(axis=1)
    if not usable[present].any():
        raise MissingModalityError(f"no clip has a whole second of {label}: all hold NaN")
    n_left_out = np.count_nonzero(present & ~usable)
    if n_left_out:
        warnings.warn(
            f"{n_left_out} of {np.count_nonzero(present)} clips have no whole second of {label} "
            "and are left out of training",
            MissingClipWarning,
            stacklevel=4,
        )
    return np.flatnonzero(usable & present)


def hold_out(
    labels: NDArray[Any], groups: NDArray[Any] | None, fraction: float, seed: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Split clips into those to train on and those to validate on, groups kept whole.

    Parameters
    ----------
    labels : ndarray of shape (n_clips,)
        The classes.
    groups : ndarray of shape (n_clips,) or None
        The recording locations; None treats every clip as a location of its own.
    fraction : float
        About which share is held out, in (0, 0.5].
    seed : int
        Determines which of the possible splits is taken.

    Returns
    -------
    train, validation : ndarray of int
        Sorted rows; every class is in ``train``.

    Raises
    ------
    ValueError
        If no split leaves every class something to train on.
    """
    groups = np.arange(len(labels)) if groups is None else groups
    n_groups = len(np.unique(groups))
    n_splits = min(max(2, round(1 / fraction)), n_groups)
    if n_splits >= 2:
        n_splits = min(n_splits, int(np.unique(labels, return_counts=True)[1].max()))
    if n_splits >= 2:
        with warnings.catch_warnings():
            # A class in fewer groups than folds is no problem here: only one fold is used.
            warnings.filterwarnings("ignore", "The least populated class", UserWarning)
            candidates = grouped_folds(n_splits, labels, groups, seed % 2**32)
        n_classes = len(np.unique(labels))
        complete = [split for split in candidates if len(np.unique(labels[split[0]])) == n_classes]
        # Of the folds that leave every class in training, the one that validates most classes.
        if complete:
            return max(complete, key=lambda split: len(np.unique(labels[split[1]])))
    raise ValueError(
        f"validation_fraction={fraction} cannot be held out: of {n_groups} groups (locations) "
        "none can be spared without leaving a class without training clips; give more clips or "
        "locations, pass validation_data to fit, or set validation_fraction=0 to train for all "
        "epochs without early stopping"
    )

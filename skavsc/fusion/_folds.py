"""The inner folds, whose out-of-fold probabilities the meta-models are fitted to."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import PredefinedSplit

from skavsc._clips import Folds, grouped_folds


def inner_folds(
    cv: Any,
    y: NDArray[Any],
    groups: NDArray[Any] | None,
    random_state: Any,
    kept: NDArray[np.intp] | None = None,
) -> Folds:
    """Return the training and test rows of every inner fold.

    Parameters
    ----------
    cv : int, cross-validation splitter or iterable
        A number means stratified folds, which keep groups together if there are any.
    y : ndarray of shape (n_clips,)
        The labels.
    groups : ndarray of shape (n_clips,) or None
        The recording location of each clip.
    random_state : int, RandomState instance or None
        If given, folds of which ``cv`` is only the number are shuffled.
    kept : ndarray of int, optional
        The clips that are used, all by default. Folds that are given by row numbers refer to all
        clips; other folds are made of the clips that are used.

    Returns
    -------
    list of (ndarray, ndarray)
        Positions among the clips that are used; each is in one test set.

    Raises
    ------
    ValueError
        If there are no such folds, or the splitter does not test every clip once.
    """
    kept = np.arange(len(y)) if kept is None else kept
    by_row = isinstance(cv, PredefinedSplit) or not (
        cv is None or isinstance(cv, Integral) or hasattr(cv, "split")
    )
    rows = np.arange(len(y)) if by_row else kept
    y, groups = y[rows], None if groups is None else groups[rows]
    if isinstance(cv, Integral):
        _check_splittable(int(cv), y, groups)
    folds = grouped_folds(cv, y, groups, random_state)
    tested = np.concatenate([test for _, test in folds]) if folds else np.array([], dtype=int)
    if not np.array_equal(np.sort(tested), np.arange(len(y))):
        raise ValueError(
            f"cv={cv!r} does not test every clip exactly once, as out-of-fold probabilities need; "
            f"use a partition such as StratifiedGroupKFold"
        )
    if not by_row:
        return folds
    return [
        (np.flatnonzero(np.isin(kept, train)), np.flatnonzero(np.isin(kept, test)))
        for train, test in folds
    ]


def _check_splittable(cv: int, y: NDArray[Any], groups: NDArray[Any] | None) -> None:
    """Raise if this number of folds leaves a class out of a training part."""
    labels, counts = np.unique(y, return_counts=True)
    if groups is None:
        for label, count in zip(labels.tolist(), counts, strict=True):
            if count < 2:
                raise ValueError(
                    f"cv={cv} cannot be met: class {label!r} has {count} clip, which an inner fold "
                    f"would take from training; add clips of it, leave it out, or use "
                    f"final_estimator='mean' or cv='prefit', which need no inner folds"
                )
    if counts.max() < cv:
        raise ValueError(
            f"cv={cv} cannot be met: the largest class has only {counts.max()} clips; "
            f"set cv to at most that"
        )
    if groups is None:
        return
    n_groups = len(np.unique(groups))
    if n_groups < cv:
        raise ValueError(
            f"cv={cv} cannot be met: groups has only {n_groups} different values; "
            f"set cv to at most that"
        )
    for label in labels.tolist():
        if len(np.unique(groups[y == label])) < 2:
            raise ValueError(
                f"cv={cv} cannot be met: all clips of class {label!r} are in one group, which an "
                f"inner fold would take from training; add clips of it from another group, leave "
                f"it out, or use final_estimator='mean' or cv='prefit', which need no inner folds"
            )

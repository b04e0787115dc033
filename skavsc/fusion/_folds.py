"""The inner folds, from which the meta-model learns."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, check_cv

Folds = list[tuple[NDArray[np.intp], NDArray[np.intp]]]


def _check_splittable(cv: int, y: NDArray[Any], groups: NDArray[Any] | None) -> None:
    """Refuse numbers of folds that leave some class out of a fold's training part."""
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


def inner_folds(cv: Any, y: NDArray[Any], groups: NDArray[Any] | None, random_state: Any) -> Folds:
    """Give the training and test rows of every inner fold.

    Parameters
    ----------
    cv : int, cross-validation splitter or iterable
        A number means stratified folds, which keep groups together where groups are given.
    y : ndarray of shape (n_clips,)
        The labels.
    groups : ndarray of shape (n_clips,) or None
        The recording location of each clip.
    random_state : int, RandomState instance or None
        Given: folds that ``cv`` is only the number of are shuffled. None: they are not.

    Returns
    -------
    list of (ndarray, ndarray)
        Row indices; the test rows are each row exactly once.

    Raises
    ------
    ValueError
        If there are no such folds, or the splitter does not test every row once.
    """
    splitter: Any
    if isinstance(cv, Integral):
        _check_splittable(int(cv), y, groups)
        shuffle = random_state is not None
        kind = StratifiedKFold if groups is None else StratifiedGroupKFold
        splitter = kind(int(cv), shuffle=shuffle, random_state=random_state if shuffle else None)
    else:
        splitter = check_cv(cv, y, classifier=True)
    rows = np.zeros((len(y), 1))
    folds = [(train, test) for train, test in splitter.split(rows, y, groups)]
    tested = np.concatenate([test for _, test in folds]) if folds else np.array([], dtype=int)
    if not np.array_equal(np.sort(tested), np.arange(len(y))):
        raise ValueError(
            f"cv={cv!r} does not test every clip exactly once, as out-of-fold probabilities need; "
            f"use a partition such as StratifiedGroupKFold"
        )
    return folds

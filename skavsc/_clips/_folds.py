"""Folds that keep the clips of a recording location together."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, check_cv

Folds = list[tuple[NDArray[np.intp], NDArray[np.intp]]]


def grouped_folds(
    cv: Any, y: NDArray[Any], groups: NDArray[Any] | None = None, random_state: Any = None
) -> Folds:
    """Return the training and test rows of every fold.

    Parameters
    ----------
    cv : int, cross-validation splitter, iterable or None
        A number (None is 5) means stratified folds, which keep groups together if there are any.
    y : ndarray of shape (n_clips,)
        The labels.
    groups : ndarray of shape (n_clips,), optional
        The recording location of each clip.
    random_state : int or RandomState instance, optional
        If given, folds of which ``cv`` is only the number are shuffled.

    Returns
    -------
    list of (ndarray, ndarray)
        Row numbers.
    """
    cv = 5 if cv is None else cv
    if isinstance(cv, Integral):
        shuffle = random_state is not None
        kind = StratifiedKFold if groups is None else StratifiedGroupKFold
        cv = kind(int(cv), shuffle=shuffle, random_state=random_state)
    splits = check_cv(cv, y, classifier=True).split(np.zeros((len(y), 1)), y, groups)
    rows = np.arange(len(y))
    # By indexing, since an iterable of folds may hold masks or lists.
    return [(rows[train], rows[test]) for train, test in splits]

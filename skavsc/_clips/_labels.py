"""What clips are labelled and grouped with, checked alike by all that learns from them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import assert_all_finite, column_or_1d


def shortened(rows: NDArray[np.intp]) -> str:
    """Give row numbers for a message: at most ten of them."""
    shown = ", ".join(str(row) for row in rows[:10])
    return f"[{shown}]" if len(rows) <= 10 else f"[{shown}, ... {len(rows)} in all]"


def _with_gaps(values: Any) -> Any:
    """Give a list as objects: an array of strings would make a NaN among them the word nan."""
    return np.array(values, dtype=object) if isinstance(values, list | tuple) else values


def check_labels(y: Any, n_clips: int, *, least: int = 2) -> NDArray[Any]:
    """Give the labels as an array, or say what is wrong with them.

    Parameters
    ----------
    y : array-like of shape (n_clips,)
        The labels.
    n_clips : int
        The number of rows of X.
    least : int, default=2
        The classes that there must be at least.

    Returns
    -------
    ndarray of shape (n_clips,)
        The labels.

    Raises
    ------
    ValueError
        If there are too few of them, empty ones, or too few classes.
    """
    if y is None:
        raise ValueError("requires y to be passed, but the target y is None")
    labels = column_or_1d(_with_gaps(y), warn=True)
    if len(labels) != n_clips:
        raise ValueError(
            f"y has {len(labels)} labels for {n_clips} clips (found inconsistent numbers of "
            f"samples); give one label a clip"
        )
    empty = np.flatnonzero(pd.isna(labels))
    if len(empty):
        raise ValueError(
            f"y has no label (NaN or None) in rows {shortened(empty)}; leave those clips out"
        )
    labels = column_or_1d(y)
    if labels.dtype.kind == "f":
        assert_all_finite(labels, input_name="y")
    check_classification_targets(labels)
    if len(classes := np.unique(labels)) < least:
        raise ValueError(
            f"y holds one class only ({classes.tolist()}); a classifier needs clips of two or more"
        )
    return labels


def check_groups(groups: Any, n_clips: int) -> NDArray[Any] | None:
    """Give the groups as an array, or say what is wrong with them.

    Parameters
    ----------
    groups : array-like of shape (n_clips,) or None
        The recording location of each clip.
    n_clips : int
        The number of rows of X.

    Returns
    -------
    ndarray of shape (n_clips,) or None
        The groups.

    Raises
    ------
    ValueError
        If there is not one for each clip, or one is empty.
    """
    if groups is None:
        return None
    column = column_or_1d(_with_gaps(groups))
    if len(column) != n_clips:
        raise ValueError(
            f"groups has {len(column)} values for {n_clips} clips (found inconsistent numbers of "
            f"samples); give the location of each clip"
        )
    empty = np.flatnonzero(pd.isna(column))
    if len(empty):
        raise ValueError(
            f"groups has no value (NaN or None) in rows {shortened(empty)}; give each clip a group"
        )
    return column_or_1d(groups)

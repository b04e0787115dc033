"""Checks of what ``LateFusionClassifier.fit`` is given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.exceptions import NotFittedError
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import assert_all_finite, check_is_fitted, column_or_1d

from skavsc.fusion._branches import rest_of
from skavsc.fusion._subsets import MAX_BRANCHES, shortened


def check_labels(y: Any, n_clips: int) -> NDArray[Any]:
    """Give the labels as an array, or say what is wrong with them.

    Parameters
    ----------
    y : array-like of shape (n_clips,)
        The labels.
    n_clips : int
        The number of rows of X.

    Returns
    -------
    ndarray of shape (n_clips,)
        The labels.

    Raises
    ------
    ValueError
        If there are too few of them, empty ones, or less than two classes.
    """
    if y is None:
        raise ValueError("requires y to be passed, but the target y is None")
    labels = column_or_1d(y, warn=True)
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
    if labels.dtype.kind == "f":
        assert_all_finite(labels, input_name="y")
    check_classification_targets(labels)
    classes = np.unique(labels)
    if len(classes) < 2:
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
    column = column_or_1d(groups)
    if len(column) != n_clips:
        raise ValueError(
            f"groups has {len(column)} values for {n_clips} clips; give the location of each clip"
        )
    empty = np.flatnonzero(pd.isna(column))
    if len(empty):
        raise ValueError(
            f"groups has no value (NaN or None) in rows {shortened(empty)}; give each clip a group"
        )
    return column


def check_number(branches: list[tuple[str, Any]]) -> None:
    """Refuse more branches than there can be meta-models for.

    Parameters
    ----------
    branches : list of (str, estimator) tuples
        The branches.

    Raises
    ------
    ValueError
        If there are more than six.
    """
    if len(branches) > MAX_BRANCHES:
        raise ValueError(
            f"estimators has {len(branches)} branches; at most {MAX_BRANCHES} are possible, since "
            f"every set of branches gets a meta-model. Fuse some of them in an inner "
            f"LateFusionClassifier"
        )


def check_prefit(branches: list[tuple[str, Any]], classes: NDArray[Any]) -> None:
    """Refuse branches that are not fitted, or that know other classes than y holds.

    Parameters
    ----------
    branches : list of (str, estimator) tuples
        The fitted branches.
    classes : ndarray of shape (n_classes,)
        The sorted labels in y.

    Raises
    ------
    NotFittedError
        If a branch is not fitted.
    ValueError
        If its classes differ.
    """
    for name, estimator in branches:
        try:
            check_is_fitted(rest_of(estimator))
        except NotFittedError as error:
            raise NotFittedError(
                f"branch {name!r} ({type(estimator).__name__}) is not fitted, which cv='prefit' "
                f"promises; fit it first, or let cv be a number of folds"
            ) from error
        known = np.asarray(estimator.classes_)
        if not np.array_equal(np.sort(known), classes):
            raise ValueError(
                f"branch {name!r} knows the classes {known.tolist()}, y holds "
                f"{classes.tolist()}; with cv='prefit' they must be the same"
            )

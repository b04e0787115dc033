"""Checks of what ``LateFusionClassifier.fit`` is given."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from skavsc.fusion._branches import rest_of
from skavsc.fusion._subsets import MAX_BRANCHES


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


def check_rule(final_estimator: Any) -> None:
    """Refuse a class where a classifier is meant, which would fail after all the fits.

    Parameters
    ----------
    final_estimator : object
        The parameter of this name.

    Raises
    ------
    TypeError
        If it is a class.
    """
    if isinstance(final_estimator, type):
        name = final_estimator.__name__
        raise TypeError(f"final_estimator={name} is a class; give a classifier, {name}()")


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

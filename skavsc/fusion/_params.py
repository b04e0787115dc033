"""Handing ``groups`` and ``sample_weight`` to the estimators that take them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter

from skavsc._sklearn_compat import BaseSearchCV

FitParams = dict[str, NDArray[Any]]


def takes(estimator: Any, name: str) -> bool:
    """Tell whether an estimator's ``fit`` takes ``groups`` or ``sample_weight``."""
    if isinstance(estimator, Pipeline):
        return takes(estimator.steps[-1][1], name)
    if isinstance(estimator, BaseSearchCV):
        # A search takes groups for its folds, whatever its estimator does.
        return name == "groups" or takes(estimator.estimator, name)
    return has_fit_parameter(estimator, name)


def fit_params(estimator: Any, **metadata: NDArray[Any] | None) -> FitParams:
    """Name the metadata that an estimator takes as its ``fit`` wants them named.

    Parameters
    ----------
    estimator : estimator
        A classifier, a Pipeline (the last step is the one that counts) or a search.
    **metadata : ndarray of shape (n_clips,), or None
        ``groups`` and ``sample_weight``; None is left out.

    Returns
    -------
    dict of str to ndarray
        The keyword arguments for ``estimator.fit``.
    """
    given = {
        name: values
        for name, values in metadata.items()
        if values is not None and takes(estimator, name)
    }
    if not isinstance(estimator, Pipeline):
        return given
    step, last = estimator.steps[-1]
    return {f"{step}__{name}": values for name, values in fit_params(last, **given).items()}


def params_of_rows(params: FitParams, rows: NDArray[np.intp]) -> FitParams:
    """Give the metadata of some rows."""
    return {name: np.asarray(values)[rows] for name, values in params.items()}

"""Which part of X a branch gets, and which of its rows are missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.utils import get_tags

from skavsc._clips import is_missing
from skavsc._sklearn_compat import _num_samples, _safe_indexing

Mask = NDArray[np.bool_]


def fields_of(X: Any) -> tuple[str, ...]:
    """Give the fields of a structured array; none for anything else."""
    return (X.dtype.names or ()) if isinstance(X, np.ndarray) else ()


def branch_field(X: Any, name: str, estimator: Any) -> str | None:
    """Give the field that a branch is for, or None if it gets all of X.

    It is called like the branch, or like the one modality that its classifier takes.
    """
    classifier = estimator[-1] if isinstance(estimator, Pipeline) else estimator
    names = (name, getattr(classifier, "modality", None))
    return next((field for field in names if field in fields_of(X)), None)


def branch_input(X: Any, name: str, estimator: Any) -> Any:
    """Give the field of a structured array that a branch is for, or all of X."""
    field = branch_field(X, name, estimator)
    return X if field is None else X[field]


def check_fields(X: Any, fields: Mapping[str, str | None]) -> None:
    """Raise if X lacks the field that a branch, given by name, was fitted on."""
    there = fields_of(X)
    for name, field in fields.items():
        if field is not None and field not in there:
            raise ValueError(
                f"branch {name!r} was fitted on the field {field!r} of X, which now "
                f"{f'has only {list(there)}' if there else 'has no fields'}; where clips lack a "
                "modality, keep its field and fill it with NaN"
            )


def take_rows(X: Any, rows: NDArray[np.intp], n_rows: int) -> Any:
    """Give some rows of X; all of them, in order, without a copy."""
    return X if len(rows) == n_rows else _safe_indexing(X, rows)


def missing_rows(X: Any, name: str) -> Mask:
    """Tell which rows of a branch's input are missing.

    A row is missing if it holds nothing but NaN (floats), None or NaN (objects, data frames,
    lists). In a data frame with a column called like the branch that column decides; in a
    structured array one missing field is enough, since the branch was trained on all of them.
    """
    if isinstance(X, pd.DataFrame):
        cells = X[[name]] if name in X.columns else X
        return np.asarray(cells.isna().all(axis=1), dtype=bool)
    if isinstance(X, pd.Series):
        return np.asarray(X.isna(), dtype=bool)
    if isinstance(X, list | tuple):
        return np.array([is_missing(item) for item in X], dtype=bool)
    if not isinstance(X, np.ndarray):
        # Sparse matrices and lazy sequences have no rows that are missing as a whole.
        return np.zeros(_num_samples(X), dtype=bool)
    if X.dtype.names is not None:
        missing = np.zeros(len(X), dtype=bool)
        for field in X.dtype.names:
            missing |= missing_rows(X[field], field)
        return missing
    missing = np.zeros(len(X), dtype=bool)
    if X.dtype.kind not in "fcO" or X[:1].size == 0:
        return missing
    # Rows whose first value is there are not missing: so that a large array is not read whole.
    first = X[(slice(None),) + (0,) * (X.ndim - 1)]
    for row in np.flatnonzero(pd.isna(first)):
        missing[row] = np.all(pd.isna(X[row]))
    return missing


def is_stateless(transformer: Any) -> bool:
    """Tell whether a transformer learns nothing in ``fit``, so that it may see all rows at once."""
    if transformer is None or transformer in ("passthrough", "drop"):
        return True
    if isinstance(transformer, Pipeline):
        return all(is_stateless(step) for _, step in transformer.steps)
    if isinstance(transformer, FeatureUnion):
        return all(is_stateless(part) for _, part in transformer.transformer_list)
    return not get_tags(transformer).requires_fit

"""The input of each branch: its part of X, the rows that are there, after its first steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pickle import PicklingError
from typing import Any, NamedTuple

import joblib
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.base import clone
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.utils import get_tags

from skavsc._clips import check_labels, is_missing
from skavsc._sklearn_compat import _check_sample_weight, _num_samples, _safe_indexing
from skavsc.fusion._segment_classifiers import modality_of, usable_clips

Mask = NDArray[np.bool_]


def as_rows(X: Any) -> Any:
    """Return X in a form whose rows can be taken: one per clip.

    Structured arrays of shape (n_clips, 1), as `sklearn.ensemble.BaggingClassifier` passes them,
    lose the second axis.
    """
    if hasattr(X, "__array__") and not hasattr(X, "shape"):
        X = np.asarray(X)
    if issparse(X):
        return X.tocsr()
    if field_names(X) and X.ndim == 2 and X.shape[1] == 1:
        return X[:, 0]
    return X


def take_rows(X: Any, rows: NDArray[np.intp], n_rows: int) -> Any:
    """Return some rows of X; all of them, in order, without a copy."""
    return X if len(rows) == n_rows else _safe_indexing(X, rows)


class PresentClips(NamedTuple):
    """The clips of a weight above 0: weight 0 is the same as absent."""

    X: Any
    labels: NDArray[Any]
    groups: NDArray[Any] | None
    weight: NDArray[np.float64]
    #: Their rows among all clips.
    rows: NDArray[np.intp]


def present_clips(
    X: Any, labels: NDArray[Any], groups: NDArray[Any] | None, sample_weight: Any
) -> PresentClips:
    """Leave out the clips of weight 0."""
    n_clips = len(labels)
    weight = _check_sample_weight(
        sample_weight, np.empty((n_clips, 1)), dtype=np.float64, ensure_non_negative=True
    )
    rows = np.flatnonzero(weight)
    if not len(rows):
        raise ValueError("sample_weight is zero for every clip; give some clips a weight")
    if len(rows) == n_clips:
        return PresentClips(X, labels, groups, weight, rows)
    return PresentClips(
        take_rows(X, rows, n_clips),
        check_labels(labels[rows], len(rows)),
        None if groups is None else groups[rows],
        weight[rows],
        rows,
    )


def field_names(X: Any) -> tuple[str, ...]:
    """Return the fields of a structured array; none for anything else."""
    return (X.dtype.names or ()) if isinstance(X, np.ndarray) else ()


def branch_field(X: Any, name: str, estimator: Any) -> str | None:
    """Return the field that a branch is given, or None if it is given all of X.

    The field has the name of the branch, or of the modality of its classifier.
    """
    names = (name, modality_of(estimator))
    return next((field for field in names if field in field_names(X)), None)


def branch_values(X: Any, name: str, estimator: Any) -> Any:
    """Return the field of a structured array that a branch is given, or all of X."""
    field = branch_field(X, name, estimator)
    return X if field is None else X[field]


def check_fields(X: Any, fields: Mapping[str, str | None]) -> None:
    """Raise if X lacks the field on which a branch, given by name, was fitted."""
    present = field_names(X)
    for name, field in fields.items():
        if field is not None and field not in present:
            raise ValueError(
                f"branch {name!r} was fitted on the field {field!r} of X, which now "
                f"{f'has only {list(present)}' if present else 'has no fields'}; where clips lack "
                "a modality, keep its field and fill it with NaN"
            )


def missing_rows(X: Any, name: str) -> Mask:
    """Return which rows of a branch's input are missing: shape (n_rows,), bool.

    A row is missing if it holds nothing but NaN (floats), None or NaN (objects, data frames,
    lists). In a data frame with a column of the branch's name that column decides; in a structured
    array one missing field is enough, since the branch was trained on all of them.
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
    missing = np.zeros(len(X), dtype=bool)
    for field in field_names(X):
        missing |= missing_rows(X[field], field)
    if X.dtype.kind not in "fcO" or X[:1].size == 0:
        return missing
    # A row whose first value is there is not missing: large arrays need not be read whole.
    first = X[(slice(None),) + (0,) * (X.ndim - 1)]
    for row in np.flatnonzero(pd.isna(first)):
        missing[row] = np.all(pd.isna(X[row]))
    return missing


def is_stateless(transformer: Any) -> bool:
    """Return whether a transformer learns nothing in ``fit``, so that it may see all rows."""
    if transformer is None or transformer in ("passthrough", "drop"):
        return True
    if isinstance(transformer, Pipeline):
        return all(is_stateless(step) for _, step in transformer.steps)
    if isinstance(transformer, FeatureUnion):
        return all(is_stateless(part) for _, part in transformer.transformer_list)
    return not get_tags(transformer).requires_fit


def _n_leading_steps(estimator: Any) -> int:
    if not isinstance(estimator, Pipeline):
        return 0
    n_leading = 0
    for _, step in estimator.steps[:-1]:
        if not is_stateless(step):
            break
        n_leading += 1
    return n_leading


def leading_steps(estimator: Any) -> list[Any]:
    """Return the transformers at the start of a Pipeline that learn nothing in ``fit``."""
    if not isinstance(estimator, Pipeline):
        return []
    steps = [step for _, step in estimator.steps[: _n_leading_steps(estimator)]]
    return [step for step in steps if step is not None and not isinstance(step, str)]


def after_leading_steps(estimator: Any) -> Any:
    """Return what follows the leading steps: a Pipeline or one classifier."""
    if not isinstance(estimator, Pipeline):
        return estimator
    rest = estimator[_n_leading_steps(estimator) :]
    return rest if len(rest) > 1 else rest[0]


def with_leading_steps(estimator: Any, fitted: Any) -> Any:
    """Return the Pipeline whose steps after the leading ones are replaced by the fitted ones."""
    if not isinstance(estimator, Pipeline):
        return fitted
    n_leading = _n_leading_steps(estimator)
    if n_leading == len(estimator) - 1:
        estimator.steps[-1] = (estimator.steps[-1][0], fitted)
    else:
        estimator.steps[n_leading:] = fitted.steps
    return estimator


@dataclass
class BranchInput:
    """The values of the rows that a branch has, None if it has none, and which rows they are."""

    name: str
    values: Any
    rows: NDArray[np.intp]

    def take(self, positions: NDArray[np.intp]) -> BranchInput:
        """Return some of these rows, by their positions."""
        values = take_rows(self.values, positions, len(self.rows)) if len(positions) else None
        return BranchInput(self.name, values, self.rows[positions])

    def without_missing(self) -> BranchInput:
        """Return the rows that hold something."""
        return self.take(np.flatnonzero(~missing_rows(self.values, self.name)))


def available_rows(inputs: list[BranchInput], n_rows: int) -> Mask:
    """Return which branches have each row: shape (n_rows, n_branches), bool."""
    available = np.zeros((n_rows, len(inputs)), dtype=bool)
    for number, given in enumerate(inputs):
        available[given.rows, number] = True
    return available


class _SharedSteps:
    """Leading steps, each applied once to an input, even if several branches have it."""

    def __init__(self, keys: list[tuple[Any, ...]]) -> None:
        # The result of a step that one branch has is not kept: features are large.
        self._n_uses = Counter(keys)
        self._results: dict[tuple[Any, ...], BranchInput] = {}

    def apply(
        self, key: tuple[Any, ...], transformer: Any, given: BranchInput, *, fit: bool
    ) -> BranchInput:
        """Return what a step makes of a branch's input."""
        if key in self._results:
            known = self._results[key]
            if fit:
                transformer.fit(given.values)
            return BranchInput(given.name, known.values, known.rows)
        if given.values is None:
            return given
        method = transformer.fit_transform if fit else transformer.transform
        result = BranchInput(given.name, method(given.values), given.rows).without_missing()
        if self._n_uses[key] > 1:
            self._results[key] = result
        return result


def _step_key(transformer: Any, n_of_type: Counter[type]) -> Any:
    """Return a key that is equal for transformers with equal parameters."""
    if n_of_type[type(transformer)] == 1:
        # Nothing to compare it with; hashing may be costly.
        return id(transformer)
    try:
        return joblib.hash(clone(transformer))
    except (PicklingError, AttributeError, TypeError):
        # Made of a lambda or a local function: equal to nothing but itself.
        return id(transformer)


def branch_inputs(
    branches: list[tuple[str, Any]], X: Any, *, fit: bool, y: NDArray[Any] | None = None
) -> list[BranchInput]:
    """Return what the classifier of each branch is given: after the leading steps.

    Each step is applied to the whole of X and, where branches share equal leading steps, once for
    all of them. Rows that are missing before a step are not given to it.

    Parameters
    ----------
    branches : list of (str, estimator) tuples
        The branches.
    X : pandas.DataFrame, ndarray or sequence of n_clips sources
        The clips, as from `as_rows`.
    fit : bool
        Whether to call ``fit_transform`` instead of ``transform``.
    y : ndarray of shape (n_clips,), optional
        The labels, for transformers that have to be fitted to tell which clips are usable.

    Returns
    -------
    list of BranchInput
        One a branch.
    """
    n_rows = _num_samples(X)
    n_of_type = Counter(type(step) for _, branch in branches for step in leading_steps(branch))
    starts, chains = [], []
    for name, estimator in branches:
        values = branch_values(X, name, estimator)
        start = BranchInput(name, values, np.arange(n_rows)).without_missing()
        key: tuple[Any, ...] = (joblib.hash(start.rows) if values is X else name,)
        chain = []
        for transformer in leading_steps(estimator):
            key = (*key, _step_key(transformer, n_of_type))
            chain.append((key, transformer))
        starts.append(start)
        chains.append(chain)
    shared = _SharedSteps([key for chain in chains for key, _ in chain])
    inputs = []
    for (_, estimator), given, chain in zip(branches, starts, chains, strict=True):
        for key, transformer in chain:
            given = shared.apply(key, transformer, given, fit=fit)
        if given.values is not None:
            labels = None if y is None else y[given.rows]
            usable = usable_clips(after_leading_steps(estimator), given.values, labels)
            if usable is not None:
                given = given.take(np.flatnonzero(usable))
        inputs.append(given)
    return inputs

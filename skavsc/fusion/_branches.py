"""The branches of a fusion: leading stateless steps, applied once, and the rest."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pickle import PicklingError
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from skavsc._sklearn_compat import _num_samples
from skavsc.fusion._dispatch import branch_input, is_stateless, missing_rows, take_rows


def _n_leading_stateless(estimator: Any) -> int:
    if not isinstance(estimator, Pipeline):
        return 0
    n_leading = 0
    for _, step in estimator.steps[:-1]:
        if not is_stateless(step):
            break
        n_leading += 1
    return n_leading


def leading_steps(estimator: Any) -> list[Any]:
    """Give the transformers at the start of a Pipeline that learn nothing in ``fit``."""
    if not isinstance(estimator, Pipeline):
        return []
    return [
        step
        for _, step in estimator.steps[: _n_leading_stateless(estimator)]
        if step is not None and not isinstance(step, str)
    ]


def rest_of(estimator: Any) -> Any:
    """Give what comes after the leading stateless steps: a Pipeline or one classifier."""
    if not isinstance(estimator, Pipeline):
        return estimator
    rest = estimator[_n_leading_stateless(estimator) :]
    return rest if len(rest) > 1 else rest[0]


def with_rest(estimator: Any, fitted: Any) -> Any:
    """Put a fitted rest back behind the leading steps of the estimator that it came from."""
    if not isinstance(estimator, Pipeline):
        return fitted
    n_leading = _n_leading_stateless(estimator)
    one_step = estimator.steps[n_leading:][0][0] if n_leading == len(estimator) - 1 else None
    estimator.steps[n_leading:] = fitted.steps if one_step is None else [(one_step, fitted)]
    return estimator


@dataclass
class BranchInput:
    """What a branch's rest gets: the values of the rows that are there, and which rows those are.

    ``values`` is None if no row is there.
    """

    name: str
    values: Any
    rows: NDArray[np.intp]

    def part(self, positions: NDArray[np.intp]) -> BranchInput:
        """Give some of the rows that are there, by their positions among them."""
        values = take_rows(self.values, positions, len(self.rows)) if len(positions) else None
        return BranchInput(self.name, values, self.rows[positions])


class _OncePerInput:
    """Applies transformers to inputs, each pair once, even if several branches ask for it."""

    def __init__(self, keys: list[tuple[Any, ...]]) -> None:
        # A result that one branch alone needs is not kept: features are large.
        self._wanted = Counter(keys)
        self._known: dict[tuple[Any, ...], BranchInput] = {}

    def __call__(
        self, key: tuple[Any, ...], transformer: Any, given: BranchInput, fit: bool
    ) -> BranchInput:
        if key in self._known:
            known = self._known[key]
            if fit:
                transformer.fit(given.values)
            return BranchInput(given.name, known.values, known.rows)
        if given.values is None:
            return given
        values = (
            transformer.fit_transform(given.values) if fit else transformer.transform(given.values)
        )
        result = _drop_missing(BranchInput(given.name, values, given.rows))
        if self._wanted[key] > 1:
            self._known[key] = result
        return result


def _drop_missing(given: BranchInput) -> BranchInput:
    return given.part(np.flatnonzero(~missing_rows(given.values, given.name)))


def _drop_unusable(given: BranchInput, classifier: Any) -> BranchInput:
    """Leave out clips that are there, but shorter than the second that scenes are judged by."""
    tell = getattr(classifier, "usable_clips", None)
    if tell is None or given.values is None:
        return given
    return given.part(np.flatnonzero(tell(given.values)))


def rows_there(inputs: list[BranchInput], n_rows: int) -> NDArray[np.bool_]:
    """Tell which branches have each row: shape (n_rows, n_branches)."""
    there = np.zeros((n_rows, len(inputs)), dtype=bool)
    for number, given in enumerate(inputs):
        there[given.rows, number] = True
    return there


def _identity(transformer: Any, kinds: Counter[type]) -> Any:
    """Give a key that is equal for transformers with equal parameters."""
    if kinds[type(transformer)] == 1:
        # Nothing to compare it with; hashing may be costly.
        return id(transformer)
    try:
        return joblib.hash(clone(transformer))
    except (PicklingError, AttributeError, TypeError):
        # Made of a lambda or a local function: equal to nothing but itself.
        return id(transformer)


def prepare(estimators: list[tuple[str, Any]], X: Any, *, fit: bool) -> list[BranchInput]:
    """Apply the leading stateless steps of all branches to X.

    Each is applied to the whole of X and, where branches share equal leading steps, once for all
    of them. Rows that are missing before a step are not given to it.

    Parameters
    ----------
    estimators : list of (str, estimator) tuples
        The branches.
    X : pandas.DataFrame, ndarray or sequence of n_clips sources
        The clips.
    fit : bool
        Whether to call ``fit_transform`` instead of ``transform``.

    Returns
    -------
    list of BranchInput
        One a branch.
    """
    n_rows = _num_samples(X)
    if hasattr(X, "__array__") and not hasattr(X, "shape"):
        X = np.asarray(X)
    if issparse(X):
        X = X.tocsr()
    kinds = Counter(type(step) for _, estimator in estimators for step in leading_steps(estimator))
    chains: list[tuple[BranchInput, list[tuple[tuple[Any, ...], Any]]]] = []
    for name, estimator in estimators:
        values = branch_input(X, name, estimator)
        start = _drop_missing(BranchInput(name, values, np.arange(n_rows)))
        source = joblib.hash(start.rows) if values is X else name
        key: tuple[Any, ...] = (source,)
        chain = []
        for transformer in leading_steps(estimator):
            key = (*key, _identity(transformer, kinds))
            chain.append((key, transformer))
        chains.append((start, chain))
    once = _OncePerInput([key for _, chain in chains for key, _ in chain])
    prepared = []
    for (_, estimator), (start, chain) in zip(estimators, chains, strict=True):
        given = start
        for key, transformer in chain:
            given = once(key, transformer, given, fit)
        prepared.append(_drop_unusable(given, rest_of(estimator)))
    return prepared

"""Groups and weights of clips: folds that keep groups together, and fits that are given both."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import config_context
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import get_scorer
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, check_cv
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import get_routing_for_object
from sklearn.utils.validation import has_fit_parameter

from skavsc._sklearn_compat import GroupsConsumerMixin, _routing_enabled, accepts_sample_weight

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


def fit_with_metadata(
    estimator: Any, X: Any, y: NDArray[Any], **metadata: NDArray[Any] | None
) -> Any:
    """Fit a classifier with the metadata that it takes, in wrappers too.

    To the classifier at the end of a Pipeline they are passed as ``step__groups``. Wrappers
    (searches, calibration, ensembles) pass them by scikit-learn's metadata routing, which is
    enabled for the fit: every estimator inside that predicts requests what its ``fit`` takes,
    scorers that take ``sample_weight`` request it, and splitters request ``groups``.

    Parameters
    ----------
    estimator : classifier
        Unfitted. Its own requests, and those of what it wraps, are overwritten: pass a clone.
    X : array-like of n_clips rows
        The clips.
    y : ndarray of shape (n_clips,)
        The labels.
    **metadata : ndarray of shape (n_clips,) or None
        ``groups`` and ``sample_weight``; None is left out.

    Returns
    -------
    classifier
        The fitted estimator.
    """
    given = {name: values for name, values in metadata.items() if values is not None}
    if not (_routing_enabled() or _routes_metadata(estimator)):
        return estimator.fit(X, y, **_named_for_fit(estimator, given))
    with config_context(enable_metadata_routing=True):
        _request(estimator, given)
        taken = get_routing_for_object(estimator).consumes("fit", list(given))
        return estimator.fit(X, y, **{name: given[name] for name in taken})


def _routes_metadata(estimator: Any) -> bool:
    """Return whether the classifier at the end of a Pipeline routes metadata to others."""
    while isinstance(estimator, Pipeline):
        estimator = estimator.steps[-1][1]
    if isinstance(estimator, FrozenEstimator) or not hasattr(estimator, "get_params"):
        return False
    if {"estimator", "estimators"}.isdisjoint(estimator.get_params(deep=False)):
        return False
    try:
        get_routing_for_object(estimator)
    except NotImplementedError:  # as of AdaBoostClassifier
        return False
    return True


def _named_for_fit(estimator: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata that ``fit`` takes, as it names them without metadata routing."""
    if isinstance(estimator, Pipeline):
        step, last = estimator.steps[-1]
        return {f"{step}__{name}": values for name, values in _named_for_fit(last, given).items()}
    return {name: values for name, values in given.items() if has_fit_parameter(estimator, name)}


def _request(estimator: Any, names: Iterable[str]) -> None:
    """Set the metadata requests of an estimator, and of all that it wraps, to what they take."""
    for part in _nested(estimator):
        if isinstance(getattr(part, "scoring", None), str | list | tuple | dict):
            part.scoring = _as_scorers(part.scoring)
        splitter = getattr(part, "cv", None)
        if hasattr(splitter, "split") and not _is_known(splitter):
            part.cv = _Grouped(splitter)
    for part in _nested(estimator):
        if hasattr(part, "set_split_request") and "groups" in names:
            part.set_split_request(groups=True)
        if not hasattr(part, "fit"):
            is_scorer = hasattr(part, "set_score_request")
            if "sample_weight" in names and is_scorer and accepts_sample_weight(part):
                part.set_score_request(sample_weight=True)
            continue
        for method in ("fit", "score"):
            request = getattr(part, f"set_{method}_request", None)
            if request is not None:
                known = inspect.signature(request).parameters
                # Transformers get none, as in a Pipeline without routing.
                request(**{name: hasattr(part, "predict") for name in names if name in known})


def _is_known(splitter: Any) -> bool:
    """Return whether a splitter is scikit-learn's, or can request groups."""
    return type(splitter).__module__.startswith("sklearn.") or hasattr(
        splitter, "set_split_request"
    )


class _Grouped(GroupsConsumerMixin):
    """Any other splitter; it gets groups, as without metadata routing."""

    def __init__(self, splitter: Any) -> None:
        self.splitter = splitter

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Any:
        return self.splitter.split(X, y, groups)

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        return self.splitter.get_n_splits(X, y, groups)


def _as_scorers(scoring: Any) -> Any:
    """Return scorers in place of their names, which hold no requests."""
    if isinstance(scoring, dict):
        return {name: _as_scorers(scorer) for name, scorer in scoring.items()}
    if isinstance(scoring, list | tuple):
        return {name: _as_scorers(name) for name in scoring}
    return get_scorer(scoring) if isinstance(scoring, str) else scoring


def _nested(value: Any) -> Iterator[Any]:
    """Yield an estimator, and all estimators and scorers in its parameters."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from _nested(item)
    elif hasattr(value, "get_metadata_routing") and not isinstance(value, type | FrozenEstimator):
        yield value
        if hasattr(value, "get_params"):
            yield from _nested(value.get_params(deep=False))

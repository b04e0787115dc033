"""Fitting a classifier on the training clips of a fold, and predicting the clips held out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import get_routing_for_object

from skavsc._clips import fit_with_metadata, grouped_folds
from skavsc._sklearn_compat import BaseSearchCV, _routing_enabled, _safe_indexing

Fold = tuple[NDArray[np.intp], NDArray[np.intp]]


@dataclass
class Outcome:
    """What a classifier fitted on one fold predicts for the clips held out."""

    classes: NDArray[Any]
    probabilities: NDArray[Any]
    segments: NDArray[Any] | None
    fit_time: float
    predict_time: float
    without: dict[str, NDArray[Any]]
    histories: dict[str, dict[str, list[float]]]


def check_folds(cv: Any, y: NDArray[Any], groups: ArrayLike | None) -> list[Fold]:
    """Return the training and test rows of every fold."""
    return grouped_folds(cv, y, None if groups is None else np.asarray(groups))


def fit_and_predict(
    estimator: Any,
    X: Any,
    y: NDArray[Any],
    fold: Fold,
    groups: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    *,
    modalities: Sequence[str] = (),
) -> Outcome:
    """Fit a classifier on the training clips of a fold and predict its test clips.

    Parameters
    ----------
    estimator : classifier
        Unfitted, with ``predict_proba``; it is fitted itself.
    X : structured array, pandas.DataFrame, array or sequence of n_clips rows
        The clips.
    y : ndarray of shape (n_clips,)
        The labels.
    fold : tuple of (ndarray, ndarray)
        The rows to train on and those to predict.
    groups : array-like of shape (n_clips,), optional
        The recording locations, for estimators whose ``fit`` takes them.
    sample_weight : array-like of shape (n_clips,), optional
        The weights of the clips, for estimators whose ``fit`` takes them.
    modalities : sequence of str, default=()
        Columns or fields of X, each of which the clips are also predicted without.

    Returns
    -------
    Outcome
        The predictions, in the order of ``fold[1]``.
    """
    train, test = fold
    inputs = _safe_indexing(X, train)
    started = time.perf_counter()
    _fit(estimator, inputs, y[train], train, groups=groups, sample_weight=sample_weight)
    fitted = time.perf_counter()
    clips = _safe_indexing(X, test)
    classifier, features = final_classifier(estimator, clips)
    probabilities = classifier.predict_proba(features)
    predicted = time.perf_counter()
    of_segments = None
    if hasattr(classifier, "predict_proba_segments"):
        of_segments = classifier.predict_proba_segments(features)
    return Outcome(
        classes=estimator.classes_,
        probabilities=probabilities,
        segments=of_segments,
        fit_time=fitted - started,
        predict_time=predicted - fitted,
        without={name: _predict_without(estimator, clips, name) for name in modalities},
        histories=training_histories(classifier),
    )


def join_folds(
    folds: Sequence[Fold],
    outcomes: Sequence[Outcome],
    classes: NDArray[Any],
    n_clips: int,
    values: Sequence[NDArray[Any] | None],
) -> NDArray[Any] | None:
    """Join what the folds predict for their test clips to one array of all clips.

    Parameters
    ----------
    folds : sequence of (ndarray, ndarray)
        The training and test rows of each fold.
    outcomes : sequence of Outcome
        The outcome of each fold.
    classes : ndarray of shape (n_classes,)
        The sorted labels of all clips.
    n_clips : int
        Number of clips.
    values : sequence of ndarray of shape (n_test_clips, ..., n_fold_classes) or None
        The part of each outcome to join; None where a fold has none.

    Returns
    -------
    ndarray of shape (n_clips, ..., n_classes) or None
        0 for classes that a fold was not trained on, NaN for clips and segments that no fold
        predicts; None if no fold has such a part.
    """
    there = [found for found in values if found is not None]
    if not there:
        return None
    # Clips of one fold may have fewer segments than those of another.
    inner = tuple(np.max([found.shape[1:-1] for found in there], axis=0).astype(int))
    result = np.full((n_clips, *inner, len(classes)), np.nan, dtype=np.result_type(*there))
    for (_, test), outcome, found in zip(folds, outcomes, values, strict=True):
        if found is None:
            continue
        known = np.searchsorted(classes, outcome.classes)
        aligned = np.zeros((*found.shape[:-1], len(classes)), dtype=result.dtype)
        aligned[..., known] = found
        aligned[np.isnan(found[..., 0])] = np.nan
        of_fold: Any = (test, *(slice(size) for size in found.shape[1:-1]))
        result[of_fold] = aligned
    return result


def training_histories(classifier: Any) -> dict[str, dict[str, list[float]]]:
    """Return the loss and accuracy after each epoch of every stage of the training.

    Parameters
    ----------
    classifier : classifier
        Fitted, with ``history_`` where it is a network; its parts are ``audio_`` and ``visual_``
        of the framework, or the ``estimators_`` of an ensemble.

    Returns
    -------
    dict of str to dict
        The histories by the name of the stage; empty without networks.
    """
    while isinstance(classifier, Pipeline | BaseSearchCV):
        searched = isinstance(classifier, BaseSearchCV)
        classifier = classifier.best_estimator_ if searched else classifier[-1]
    parts = {name: getattr(classifier, f"{name}_", None) for name in ("audio", "visual")}
    names = [name for name, *_ in getattr(classifier, "estimators", None) or ()]
    fitted = getattr(classifier, "estimators_", ())
    if len(names) == len(fitted):
        parts.update(zip(names, fitted, strict=True))
    histories = {}
    for name, part in parts.items():
        for stage, history in ({} if part is None else training_histories(part)).items():
            histories[name if stage == "network" else f"{name}, {stage}"] = history
    if hasattr(classifier, "history_"):
        histories["fusion" if histories else "network"] = classifier.history_
    return histories


def final_classifier(estimator: Any, X: Any) -> tuple[Any, Any]:
    """Return the classifier at the end of a fitted pipeline or search, and what it is given.

    Parameters
    ----------
    estimator : classifier
        Fitted: a Pipeline, a search, or any other classifier.
    X : structured array, pandas.DataFrame, array or sequence of n_clips rows
        The clips.

    Returns
    -------
    classifier : classifier
        The classifier itself.
    features : array-like of n_clips rows
        X as the steps before it transform it.
    """
    if isinstance(estimator, BaseSearchCV):
        return final_classifier(estimator.best_estimator_, X)
    if isinstance(estimator, Pipeline):
        features = estimator[:-1].transform(X) if len(estimator) > 1 else X
        return final_classifier(estimator[-1], features)
    return estimator, X


def _fit(estimator: Any, X: Any, y: NDArray[Any], rows: NDArray[np.intp], **metadata: Any) -> None:
    """Fit an estimator with the metadata, of these rows, that it takes."""
    given = {
        name: np.asarray(values)[rows] for name, values in metadata.items() if values is not None
    }
    if _routing_enabled():
        wanted = get_routing_for_object(estimator).consumes("fit", list(given))
        estimator.fit(X, y, **{name: given[name] for name in wanted})
    else:
        fit_with_metadata(estimator, X, y, **given)


def _predict_without(estimator: Any, X: Any, modality: str) -> NDArray[Any]:
    """Predict clips without a modality; NaN for those that have no other one."""
    names = _names(X)
    if isinstance(X, pd.DataFrame):
        names = [name for name in names if name in ("audio", "video")]
    left = np.zeros(len(X), dtype=bool)
    for name in names:
        if name != modality:
            values = X[name].to_numpy() if isinstance(X, pd.DataFrame) else X[name]
            left |= ~pd.isna(values).reshape(len(X), -1).all(axis=1)
    probabilities = np.full((len(left), len(estimator.classes_)), np.nan)
    if left.any():
        rows = _safe_indexing(without_modality(X, modality), np.flatnonzero(left))
        probabilities[left] = estimator.predict_proba(rows)
    return probabilities


def _names(X: Any) -> list[str]:
    """Return the columns of a clip table, or the fields of a structured array."""
    if isinstance(X, pd.DataFrame):
        return list(X.columns)
    return list(getattr(getattr(X, "dtype", None), "names", None) or ())


def check_modalities(X: Any, modalities: Sequence[str]) -> None:
    """Raise if X lacks a column or field of a modality."""
    for modality in modalities:
        if modality not in _names(X):
            raise ValueError(
                f"modality {modality!r} is no column or field of X, which has {_names(X)}; give X "
                "as a clip table (DataFrame) or as a structured array"
            )


def without_modality(X: Any, modality: str) -> Any:
    """Return a copy of the clips that lacks a modality.

    Parameters
    ----------
    X : pandas.DataFrame or structured array of n_clips rows
        The clips.
    modality : str
        The column, which becomes None, or the field, which becomes NaN (None where it holds
        objects).

    Returns
    -------
    pandas.DataFrame or structured array of n_clips rows
        The clips without the modality.
    """
    if isinstance(X, pd.DataFrame):
        return X.assign(**{modality: None})
    copy = X.copy()
    copy[modality] = None if copy.dtype[modality].hasobject else np.nan
    return copy

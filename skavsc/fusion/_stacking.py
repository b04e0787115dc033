"""Probabilities of the branches: aligned to the classes, out of fold or from fitted branches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax
from sklearn.base import clone
from sklearn.utils.parallel import Parallel, delayed

from skavsc._sklearn_compat import _check_response_method, _num_samples
from skavsc.fusion._branches import BranchInput, rest_of
from skavsc.fusion._dispatch import fields_of
from skavsc.fusion._folds import Folds
from skavsc.fusion._params import FitParams, params_of_rows

Floats = NDArray[np.float64]


@contextmanager
def _naming(branch: str, values: Any, doing: str) -> Iterator[None]:
    """Add to an error which branch it comes from, and in which of the many fits."""
    try:
        yield
    except Exception as error:
        note = f"This is branch {branch!r} of the fusion, {doing}."
        if fields_of(values):
            note += f" None of the fields {list(fields_of(values))} is called so: it gets them all."
        error.add_note(note)
        raise


def _as_probabilities(response: NDArray[Any], method: str, classes: NDArray[Any]) -> Floats:
    if method == "predict":
        return (response[:, None] == classes).astype(float)
    if method == "predict_proba":
        return np.asarray(response, dtype=float)
    if response.ndim == 1:
        positive = expit(response)
        return np.column_stack([1 - positive, positive])
    return softmax(np.asarray(response, dtype=float), axis=1)


def branch_probabilities(
    name: str, fitted: Any, values: Any, stack_method: str, classes: NDArray[Any]
) -> Floats:
    """Give what a fitted branch predicts, one column for each of ``classes``.

    Parameters
    ----------
    name : str
        The branch, for error messages.
    fitted : classifier
        Knows all or some of the classes; columns of those that it does not know are 0.
    values : array-like of shape (n_clips, ...)
        Its input.
    stack_method : {"auto", "predict_proba", "decision_function", "predict"}
        The method that is called. Scores of ``decision_function`` go through a softmax, labels of
        ``predict`` become 1 for the label and 0 for the others.
    classes : ndarray of shape (n_classes,)
        The sorted labels.

    Returns
    -------
    ndarray of shape (n_clips, n_classes), float64
        Probabilities.

    Raises
    ------
    ValueError
        If the branch does not have the method, or its output has the wrong shape.
    """
    methods = ["predict_proba", "decision_function", "predict"]
    wanted = methods if stack_method == "auto" else stack_method
    try:
        method = _check_response_method(fitted, wanted)
    except AttributeError as error:
        raise ValueError(
            f"branch {name!r} ({type(fitted).__name__}) has no method {stack_method!r}; set "
            f"stack_method='auto' or choose a classifier that has it"
        ) from error
    known = np.asarray(fitted.classes_)
    with _naming(name, values, f"predicting {_num_samples(values)} clips"):
        response = np.asarray(method(values))
    found = _as_probabilities(response, method.__name__, known)
    if found.shape != (_num_samples(values), len(known)):
        raise ValueError(
            f"branch {name!r}: {method.__name__} gave an array of shape {found.shape} for "
            f"{len(known)} classes; expected one row a clip and one column a class"
        )
    aligned = np.zeros((len(found), len(classes)))
    # float32 rows sum to 1 only roughly, which metrics warn about in float64.
    total = np.maximum(found.sum(axis=1, keepdims=True), np.finfo(float).tiny)
    aligned[:, np.searchsorted(classes, known)] = found / total
    return aligned


def _fit(unfitted: Any, train: BranchInput, y: NDArray[Any], params: FitParams) -> Any:
    with _naming(train.name, train.values, f"fitted to all {len(y)} clips that it has"):
        return unfitted.fit(train.values, y, **params)


def _fit_predict(
    unfitted: Any,
    train: BranchInput,
    test: BranchInput,
    y: NDArray[Any],
    params: FitParams,
    stack_method: str,
    classes: NDArray[Any],
) -> Floats:
    doing = f"fitted to the {len(y)} clips of an inner fold's training part"
    with _naming(train.name, train.values, doing):
        fitted = unfitted.fit(train.values, y, **params)
    return branch_probabilities(train.name, fitted, test.values, stack_method, classes)


@dataclass
class _Task:
    """One fit: a branch and the positions, among its rows, of training and held-out clips."""

    branch: int
    train: NDArray[np.intp]
    held_out: NDArray[np.intp] | None


def _check_learnable(name: str, y: NDArray[Any], where: str) -> None:
    if len(np.unique(y)) < 2:
        raise ValueError(
            f"branch {name!r} cannot be fitted: {where}, the clips that have this modality are of "
            f"the classes {np.unique(y).tolist()} only; add such clips of other classes, or lower "
            f"cv"
        )


def _tasks(inputs: list[BranchInput], y: NDArray[Any], folds: Folds) -> list[_Task]:
    tasks = []
    for number, given in enumerate(inputs):
        labels = y[given.rows]
        _check_learnable(given.name, labels, "in the training set")
        tasks.append(_Task(number, np.arange(len(given.rows)), None))
        for fold, (train, test) in enumerate(folds):
            seen = np.flatnonzero(np.isin(given.rows, train))
            held_out = np.flatnonzero(np.isin(given.rows, test))
            if len(held_out):
                _check_learnable(given.name, labels[seen], f"in the training part of fold {fold}")
                tasks.append(_Task(number, seen, held_out))
    return tasks


def fit_branches(
    inputs: list[BranchInput],
    unfitted: list[Any],
    y: NDArray[Any],
    params: list[FitParams],
    folds: Folds,
    *,
    stack_method: str,
    n_jobs: int | None,
    verbose: int,
) -> tuple[list[Any], Floats]:
    """Fit every branch on all of its clips, and once a fold for out-of-fold probabilities.

    Parameters
    ----------
    inputs : list of BranchInput
        What each branch sees.
    unfitted : list of classifiers
        The branches, which are cloned for each fit.
    y : ndarray of shape (n_clips,)
        The labels.
    params : list of dict of str to ndarray of shape (n_clips,)
        Metadata for each branch's ``fit``.
    folds : list of (ndarray, ndarray)
        Training and test rows; empty if no out-of-fold probabilities are wanted.
    stack_method : str
        As for ``branch_probabilities``.
    n_jobs : int, optional
        The number of fits at the same time.
    verbose : int
        The verbosity of joblib.

    Returns
    -------
    fitted : list of classifiers
        One a branch.
    probabilities : ndarray of shape (n_clips, n_branches, n_classes)
        Out-of-fold probabilities, NaN where a clip lacks the branch's modality.
    """
    classes = np.unique(y)
    tasks = _tasks(inputs, y, folds)

    def jobs() -> Iterator[Any]:
        # Lazy, so that the parts of a few folds exist at a time.
        for task in tasks:
            given = inputs[task.branch]
            train = given.part(task.train)
            branch = clone(unfitted[task.branch])
            own = params_of_rows(params[task.branch], train.rows)
            if task.held_out is None:
                yield delayed(_fit)(branch, train, y[train.rows], own)
            else:
                test = given.part(task.held_out)
                yield delayed(_fit_predict)(
                    branch, train, test, y[train.rows], own, stack_method, classes
                )

    results = Parallel(n_jobs=n_jobs, pre_dispatch="n_jobs", verbose=verbose)(jobs())
    fitted: list[Any] = []
    probabilities = np.full((len(y), len(inputs), len(classes)), np.nan)
    for task, result in zip(tasks, results, strict=True):
        if task.held_out is None:
            fitted.append(result)
        else:
            probabilities[inputs[task.branch].rows[task.held_out], task.branch] = result
    return fitted, probabilities


def predict_branches(
    inputs: list[BranchInput],
    fitted: list[Any],
    stack_method: str,
    classes: NDArray[Any],
    n_clips: int,
) -> Floats:
    """Give the probabilities of fitted branches.

    Parameters
    ----------
    inputs : list of BranchInput
        What each branch sees.
    fitted : list of estimators
        The branches, with their leading steps (which the inputs went through already).
    stack_method : str
        As for ``branch_probabilities``.
    classes : ndarray of shape (n_classes,)
        The sorted labels.
    n_clips : int
        The number of clips.

    Returns
    -------
    ndarray of shape (n_clips, n_branches, n_classes)
        Probabilities, NaN where a clip lacks the branch's modality.
    """
    found = np.full((n_clips, len(inputs), len(classes)), np.nan)
    for number, (given, branch) in enumerate(zip(inputs, fitted, strict=True)):
        if len(given.rows):
            found[given.rows, number] = branch_probabilities(
                given.name, rest_of(branch), given.values, stack_method, classes
            )
    return found

"""The probabilities of the branches: out of fold, or from fitted branches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from skavsc._clips import Folds, fit_with_metadata
from skavsc._parallel import Parallel, delayed
from skavsc._sklearn_compat import _check_response_method, _num_samples, _routing_enabled
from skavsc.fusion._inputs import BranchInput, after_leading_steps, field_names
from skavsc.fusion._segment_classifiers import aligned, segment_probabilities

Floats = NDArray[np.float64]
# By name, of n_clips values each.
Metadata = dict[str, NDArray[Any]]


def check_prefit(branches: list[tuple[str, Any]], classes: NDArray[Any]) -> None:
    """Raise if branches are not fitted, or know other classes than y holds.

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
            check_is_fitted(after_leading_steps(estimator))
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


@contextmanager
def _naming(branch: str, values: Any, doing: str) -> Iterator[None]:
    """Add to an error the branch that raises it, and which of the many fits it is."""
    try:
        yield
    except Exception as error:
        note = f"This is branch {branch!r} of the fusion, {doing}."
        if field_names(values):
            fields = list(field_names(values))
            note += f" None of the fields {fields} is called so: it gets them all."
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
    """Return the predictions of a fitted branch, one column for each of ``classes``.

    Parameters
    ----------
    name : str
        The branch, for error messages.
    fitted : classifier
        Fitted on all or some of the classes; the columns of the others are 0.
    values : array-like of shape (n_clips, ...)
        Its input.
    stack_method : {"auto", "predict_proba", "decision_function", "predict"}
        The method to call. Scores of ``decision_function`` go through a softmax, labels of
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
        If the branch lacks the method, its output has the wrong shape, or it was fitted on other
        classes (which frozen branches may).
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
    if not np.isin(known, classes).all():
        raise ValueError(
            f"branch {name!r} knows the classes {known.tolist()}, and y holds only "
            f"{classes.tolist()}; fit it on clips of these classes"
        )
    with _naming(name, values, f"predicting {_num_samples(values)} clips"):
        response = np.asarray(method(values))
    found = _as_probabilities(response, method.__name__, known)
    if found.shape != (_num_samples(values), len(known)):
        raise ValueError(
            f"branch {name!r}: {method.__name__} returned an array of shape {found.shape} for "
            f"{len(known)} classes; expected one row per clip and one column per class"
        )
    # float32 rows sum to 1 only roughly, which metrics warn about in float64.
    total = np.maximum(found.sum(axis=1, keepdims=True), np.finfo(float).tiny)
    return aligned(found / total, known, classes)


def _fit(
    unfitted: Any,
    train: BranchInput,
    y: NDArray[Any],
    metadata: Metadata,
    which: str = "all {} clips that it has",
) -> Any:
    with _naming(train.name, train.values, f"fitted to {which.format(len(y))}"):
        if _routing_enabled():
            return unfitted.fit(train.values, y, **metadata)
        return fit_with_metadata(unfitted, train.values, y, **metadata)


def _fit_predict(
    unfitted: Any,
    train: BranchInput,
    test: BranchInput,
    y: NDArray[Any],
    metadata: Metadata,
    stack_method: str,
    classes: NDArray[Any],
) -> Floats:
    which = "the {} clips of an inner fold's training part"
    fitted = _fit(unfitted, train, y, metadata, which)
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
    metadata: list[Metadata],
    folds: Folds,
    *,
    stack_method: str,
    n_jobs: int | None,
    verbose: int,
) -> tuple[list[Any], Floats]:
    """Fit every branch on all of its clips, and once per fold for out-of-fold probabilities.

    Parameters
    ----------
    inputs : list of BranchInput
        The input of each branch.
    unfitted : list of classifiers
        The branches without their leading steps; they are cloned for each fit.
    y : ndarray of shape (n_clips,)
        The labels.
    metadata : list of dict of str to ndarray of shape (n_clips,)
        For each branch, ``groups`` and ``sample_weight``, if given: its ``fit`` gets those that it
        takes. With metadata routing enabled, what is routed to it.
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
        One per branch.
    probabilities : ndarray of shape (n_clips, n_branches, n_classes)
        Out-of-fold probabilities, NaN where a clip lacks the branch's modality.
    """
    classes = np.unique(y)
    tasks = _tasks(inputs, y, folds)

    def jobs() -> Iterator[Any]:
        # Lazy, so that the parts of a few folds exist at a time.
        for task in tasks:
            given = inputs[task.branch]
            train = given.take(task.train)
            branch = clone(unfitted[task.branch])
            own = {
                key: np.asarray(values)[train.rows] for key, values in metadata[task.branch].items()
            }
            if task.held_out is None:
                yield delayed(_fit)(branch, train, y[train.rows], own)
            else:
                test = given.take(task.held_out)
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
    """Return the probabilities of fitted branches.

    Parameters
    ----------
    inputs : list of BranchInput
        The input of each branch.
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
                given.name, after_leading_steps(branch), given.values, stack_method, classes
            )
    return found


def predict_segments(
    inputs: list[BranchInput], fitted: list[Any], classes: NDArray[Any], n_clips: int
) -> Floats:
    """Return the probabilities of fitted branches for every segment.

    Parameters
    ----------
    inputs : list of BranchInput
        The input of each branch.
    fitted : list of estimators
        The branches, with their leading steps (which the inputs went through already).
    classes : ndarray of shape (n_classes,)
        The sorted labels.
    n_clips : int
        The number of clips.

    Returns
    -------
    ndarray of shape (n_clips, n_segments, n_branches, n_classes)
        NaN where a branch lacks a segment; as many segments as the longest branch has.
    """
    found = []
    for given, branch in zip(inputs, fitted, strict=True):
        if given.values is None:
            found.append(np.empty((0, 0, len(classes))))
            continue
        rows = aligned(
            segment_probabilities(after_leading_steps(branch), given.values),
            branch.classes_,
            classes,
        )
        found.append(rows / rows.sum(axis=2, keepdims=True))
    n_segments = max(rows.shape[1] for rows in found)
    result = np.full((n_clips, n_segments, len(inputs), len(classes)), np.nan)
    for number, (given, rows) in enumerate(zip(inputs, found, strict=True)):
        result[given.rows, : rows.shape[1], number] = rows
    return result

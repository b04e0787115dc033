"""One rule for every set of branches that a clip may have."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from itertools import combinations
from math import factorial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skavsc._clips import format_rows
from skavsc.exceptions import MissingClipWarning, MissingModalityError
from skavsc.fusion._rules import Rule
from skavsc.fusion._softmax import FLOOR, Floats

Subset = tuple[int, ...]
# 2**6 - 1 = 63 rules; more branches than modalities exist are better joined in one.
MAX_BRANCHES = 6


def subsets(n_branches: int) -> list[Subset]:
    """Give all non-empty sets of branch numbers, the smaller ones first."""
    return [
        subset
        for size in range(1, n_branches + 1)
        for subset in combinations(range(n_branches), size)
    ]


def _is_there(probabilities: Floats) -> NDArray[np.bool_]:
    """Tell which branches have predicted each clip: shape (n_clips, n_branches)."""
    return ~np.isnan(probabilities[:, :, 0])


def _part(probabilities: Floats, rows: NDArray[np.intp], subset: Subset) -> Floats:
    return probabilities[np.ix_(rows, np.array(subset))]


def fit_rules(
    new_rule: Callable[[], Rule],
    probabilities: Floats,
    codes: NDArray[np.intp],
    sample_weight: Floats,
) -> dict[Subset, Rule]:
    """Fit a rule for each set of branches, on the clips that have all of them.

    Parameters
    ----------
    new_rule : callable
        Makes an unfitted rule.
    probabilities : ndarray of shape (n_clips, n_branches, n_classes)
        Out-of-fold probabilities; NaN where a branch lacks its modality.
    codes : ndarray of shape (n_clips,), int
        The true classes.
    sample_weight : ndarray of shape (n_clips,)
        The weight of each clip.

    Returns
    -------
    dict of tuple of int to rule
        Sets of branches that no clip of two classes has in full are left out.
    """
    there = _is_there(probabilities)
    rules: dict[Subset, Rule] = {}
    for subset in subsets(probabilities.shape[1]):
        rows = np.flatnonzero(there[:, subset].all(axis=1) & (sample_weight > 0))
        if len(np.unique(codes[rows])) >= 2:
            part = _part(probabilities, rows, subset)
            rules[subset] = new_rule().fit(part, codes[rows], sample_weight[rows])
    return rules


def predict_with_rules(
    rules: dict[Subset, Rule],
    probabilities: Floats,
    prior: Floats | None,
    names: list[str],
    complete: Callable[[Floats, Floats, Subset], Floats],
) -> Floats:
    """Predict every clip with the rule for the branches that it has.

    Parameters
    ----------
    rules : dict of tuple of int to rule
        As from ``fit_rules``.
    probabilities : ndarray of shape (n_clips, n_branches, n_classes)
        NaN where a branch lacks its modality.
    prior : ndarray of shape (n_classes,) or None
        What clips without any modality get; None raises for them.
    names : list of str
        The branches, for error messages.
    complete : callable
        Gets what a rule says, what its branches say, and which these are, and gives
        probabilities also of classes that the rule does not know.

    Returns
    -------
    ndarray of shape (n_clips, n_classes)
        Probabilities.

    Raises
    ------
    MissingModalityError
        If a clip has no modality, or a set of them that no clip had in ``fit``.
    """
    there = _is_there(probabilities)
    result = np.empty((len(probabilities), probabilities.shape[2]))
    if prior is None:
        check_something_there(there)
    else:
        result[~there.any(axis=1)] = prior
    for pattern in np.unique(there, axis=0):
        subset = tuple(np.flatnonzero(pattern).tolist())
        if not subset:
            continue
        rows = np.flatnonzero((there == pattern).all(axis=1))
        if subset not in rules:
            raise MissingModalityError(
                f"rows {format_rows(rows)} have {[names[branch] for branch in subset]}, together, "
                f"which too few clips had in fit to learn their fusion; fit with such clips of two "
                f"classes or more, or use final_estimator='mean' or 'product'"
            )
        part = _part(probabilities, rows, subset)
        result[rows] = complete(rules[subset].predict_proba(part), part, subset)
    return result


def check_something_there(there: NDArray[np.bool_]) -> None:
    """Raise for clips that have no modality at all.

    Parameters
    ----------
    there : ndarray of shape (n_clips, n_branches), bool
        Which branches have each clip.

    Raises
    ------
    MissingModalityError
        If a row is all False.
    """
    empty = np.flatnonzero(~there.any(axis=1))
    if len(empty):
        raise MissingModalityError(
            f"rows {format_rows(empty)} have no modality at all; leave them out, or set "
            f"missing='prior' to predict the class frequencies for them"
        )


def warn_of_empty_rows(there: NDArray[np.bool_]) -> None:
    """Warn of clips that have no modality at all, and so train nothing.

    Parameters
    ----------
    there : ndarray of shape (n_clips, n_branches), bool
        Which branches have each clip.
    """
    n_empty = np.count_nonzero(~there.any(axis=1))
    if n_empty:
        warnings.warn(
            f"{n_empty} of {len(there)} clips have no modality and are left out of fit",
            MissingClipWarning,
            stacklevel=4,
        )


def shares_of_loss(
    rules: dict[Subset, Any], probabilities: Floats, codes: NDArray[np.intp], prior: Floats
) -> Floats:
    """Share out, class by class, by how much each branch lowers the log loss.

    The gain of a set of branches is the mean log loss of the class's clips under the class
    frequencies less that under the set's rule. Its Shapley value is the mean, over all orders in
    which branches may join, of what a branch adds; negative ones count as 0.

    Parameters
    ----------
    rules : dict of tuple of int to rule
        As from ``fit_rules``.
    probabilities : ndarray of shape (n_clips, n_branches, n_classes)
        Out-of-fold probabilities.
    codes : ndarray of shape (n_clips,), int
        The true classes.
    prior : ndarray of shape (n_classes,)
        The class frequencies.

    Returns
    -------
    ndarray of shape (n_classes, n_branches)
        Rows sum to 1; even where no branch lowers the loss.

    References
    ----------
    Shapley: A value for n-person games. Contributions to the Theory of Games II, 1953.
    """
    n_branches, n_classes = probabilities.shape[1:]
    full = np.flatnonzero(_is_there(probabilities).all(axis=1))
    if not len(full):
        return np.full((n_classes, n_branches), 1 / n_branches)
    is_class = np.eye(n_classes)[codes[full]]
    counts = np.maximum(is_class.sum(axis=0), 1)

    def gain(subset: Subset) -> Floats:
        if subset not in rules:
            return np.zeros(n_classes)
        found = rules[subset].predict_proba(_part(probabilities, full, subset))
        losses = -np.log(np.maximum(found, FLOOR)) + np.log(np.maximum(prior, FLOOR))
        return -(losses * is_class).sum(axis=0) / counts

    gains = {subset: gain(subset) for subset in subsets(n_branches)} | {(): np.zeros(n_classes)}
    shares = np.zeros((n_classes, n_branches))
    for branch in range(n_branches):
        for without in gains:
            if branch in without:
                continue
            orders = factorial(len(without)) * factorial(n_branches - len(without) - 1)
            added = gains[tuple(sorted((*without, branch)))] - gains[without]
            shares[:, branch] += orders / factorial(n_branches) * added
    shares = np.maximum(shares, 0)
    total = shares.sum(axis=1, keepdims=True)
    return np.where(total > 0, shares / np.where(total > 0, total, 1), 1 / n_branches)

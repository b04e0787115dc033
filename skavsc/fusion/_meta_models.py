"""The meta-models: a rule for every set of branches that a clip may have, and what they weigh."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import factorial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skavsc._clips import format_rows
from skavsc.exceptions import MissingModalityError
from skavsc.fusion._rules import (
    FLOOR,
    RULES,
    ConfidenceRule,
    Floats,
    Rule,
    apply_temperature,
    fit_temperature,
    make_rule,
)

Subset = tuple[int, ...]
# 2**6 - 1 = 63 rules; more branches than modalities exist are better joined in one.
MAX_BRANCHES = 6


def is_fixed(final_estimator: Any) -> bool:
    """Return whether a rule learns nothing from out-of-fold probabilities."""
    return isinstance(final_estimator, str) and RULES[final_estimator].fixed


class MetaModels:
    """The calibration of the branches, and a rule for every set of them.

    Parameters
    ----------
    final_estimator : str, classifier or None
        The rule, as for ``LateFusionClassifier``.
    calibration : {"temperature"} or None
        How probabilities are calibrated.
    names : list of str
        The branches.
    classes : ndarray of shape (n_classes,)
        The sorted labels.

    Attributes
    ----------
    temperatures : ndarray of shape (n_branches,)
        One per branch; 1 without calibration.
    rules : dict of tuple of int to rule
        The rule for each set of branches that clips of two classes have in full.
    importances : ndarray of shape (n_classes, n_branches)
        The weight of each branch for each class.
    """

    def __init__(
        self,
        final_estimator: Any,
        calibration: str | None,
        names: list[str],
        classes: NDArray[Any],
    ) -> None:
        self.final_estimator = final_estimator
        self.calibration = calibration
        self.names = names
        self.classes = classes

    def fit(
        self,
        probabilities: Floats,
        codes: NDArray[np.intp],
        sample_weight: Floats,
        known: KnownClasses,
    ) -> MetaModels:
        """Fit to out-of-fold probabilities of shape (n_clips, n_branches, n_classes)."""
        self.known = known
        n_branches = len(self.names)
        self.temperatures = np.ones(n_branches)
        if self.calibration is not None:
            for branch in range(n_branches):
                rows = np.flatnonzero(~np.isnan(probabilities[:, branch, 0]))
                self.temperatures[branch] = fit_temperature(
                    probabilities[rows, branch], codes[rows], sample_weight[rows]
                )
        probabilities = self.calibrate(probabilities)
        self.rules: dict[Subset, Rule] = {}
        for subset in subsets(n_branches):
            rows = np.flatnonzero(_available(probabilities)[:, subset].all(axis=1))
            if is_fixed(self.final_estimator) or len(np.unique(codes[rows])) >= 2:
                rule = make_rule(self.final_estimator, self.classes)
                part = probabilities[np.ix_(rows, np.array(subset))]
                self.rules[subset] = rule.fit(part, codes[rows], sample_weight[rows])
        whole = self.rules.get(tuple(range(n_branches)))
        if is_fixed(self.final_estimator):
            self.importances = np.full((len(self.classes), n_branches), 1 / n_branches)
        elif isinstance(whole, ConfidenceRule):
            self.importances = whole.weights_
        else:
            self.importances = shares_of_loss(self.rules, probabilities, codes, known.prior)
        return self

    def predict_proba(self, probabilities: Floats, prior: Floats | None) -> Floats:
        """Predict every clip by the rule for the branches that it has.

        Parameters
        ----------
        probabilities : ndarray of shape (n_clips, n_branches, n_classes)
            NaN where a branch lacks its modality.
        prior : ndarray of shape (n_classes,) or None
            The prediction for clips without any modality; None raises for them.

        Returns
        -------
        ndarray of shape (n_clips, n_classes)
            Probabilities.

        Raises
        ------
        MissingModalityError
            If a clip has no modality, or a set of them for which there is no rule.
        """
        probabilities = self.calibrate(probabilities)
        available = _available(probabilities)
        result = np.empty((len(probabilities), probabilities.shape[2]))
        if prior is None:
            check_any_available(available)
        else:
            result[~available.any(axis=1)] = prior
        for pattern in np.unique(available, axis=0):
            subset = tuple(np.flatnonzero(pattern).tolist())
            if not subset:
                continue
            rows = np.flatnonzero((available == pattern).all(axis=1))
            if subset not in self.rules:
                raise MissingModalityError(
                    f"rows {format_rows(rows)} have {[self.names[branch] for branch in subset]}, "
                    f"together, which too few clips had in fit to learn their fusion; fit with "
                    f"such clips of two classes or more, or use final_estimator='mean' or 'product'"
                )
            part = probabilities[np.ix_(rows, np.array(subset))]
            result[rows] = self.known.complete(
                self.rules[subset].predict_proba(part),
                part,
                subset,
                fixed=is_fixed(self.final_estimator),
            )
        return result

    def predict_proba_segments(self, probabilities: Floats) -> Floats:
        """Predict every segment by the rule for the branches that it has.

        Parameters
        ----------
        probabilities : ndarray of shape (n_clips, n_segments, n_branches, n_classes)
            NaN where a branch lacks a segment.

        Returns
        -------
        ndarray of shape (n_clips, n_segments, n_classes)
            NaN where no branch has the segment.

        Raises
        ------
        MissingModalityError
            If a segment has a set of modalities that no clip had in ``fit``.
        """
        present = ~np.isnan(probabilities[..., 0]).all(axis=2)
        fused = np.full((*present.shape, probabilities.shape[3]), np.nan)
        if present.any():
            try:
                fused[present] = self.predict_proba(probabilities[present], None)
            except MissingModalityError as error:
                raise MissingModalityError(
                    f"of the {np.count_nonzero(present)} segments that are present, {error}"
                ) from error
        return fused

    def calibrate(self, probabilities: Floats) -> Floats:
        """Return the probabilities of the branches at their temperatures."""
        if self.calibration is None:
            return probabilities
        scaled = [
            apply_temperature(probabilities[:, branch], temperature)
            for branch, temperature in enumerate(self.temperatures)
        ]
        return np.stack(scaled, axis=1)

    def by_name(self) -> dict[tuple[str, ...], Any]:
        """Return the rule for each set of branches, or the classifier that it wraps."""
        return {
            tuple(self.names[branch] for branch in subset): getattr(rule, "classifier_", rule)
            for subset, rule in self.rules.items()
        }

    def __getstate__(self) -> dict[str, Any]:
        # As pairs: model files know no dicts whose keys are tuples.
        return {**vars(self), "rules": list(self.rules.items())}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, rules=dict(state["rules"]))


def subsets(n_branches: int) -> list[Subset]:
    """Return all non-empty sets of branch numbers, the smaller ones first."""
    return [
        subset
        for size in range(1, n_branches + 1)
        for subset in combinations(range(n_branches), size)
    ]


def _available(probabilities: Floats) -> NDArray[np.bool_]:
    """Return which branches have predicted each clip: shape (n_clips, n_branches), bool."""
    return ~np.isnan(probabilities[:, :, 0])


def check_any_available(available: NDArray[np.bool_], rows: NDArray[np.intp] | None = None) -> None:
    """Raise for clips that have no modality at all.

    Parameters
    ----------
    available : ndarray of shape (n_clips, n_branches), bool
        Which branches have each clip.
    rows : ndarray of shape (n_clips,), optional
        The row numbers of the clips, for the message.
    """
    empty = np.flatnonzero(~available.any(axis=1))
    if len(empty):
        raise MissingModalityError(
            f"rows {format_rows(empty if rows is None else rows[empty])} have no modality at all; "
            f"leave them out, or set missing='prior' to predict the class frequencies for them"
        )


@dataclass(frozen=True)
class KnownClasses:
    """The classes of the clips in ``fit``, and by which branches they were seen.

    A branch fitted without clips of a class rules it out, and so does a meta-model fitted without
    them.

    Attributes
    ----------
    codes : ndarray of shape (n_clips,), int
        The classes of the clips.
    available : ndarray of shape (n_clips, n_branches), bool
        Which branches have each clip.
    prior : ndarray of shape (n_classes,)
        The class frequencies.
    prefit : bool
        Whether the branches were fitted on other clips, of all classes.
    """

    codes: NDArray[np.intp]
    available: NDArray[np.bool_]
    prior: Floats
    prefit: bool = False

    def by_branch(self) -> NDArray[np.bool_]:
        """Return which classes each branch was fitted on: shape (n_branches, n_classes)."""
        known = np.full((self.available.shape[1], len(self.prior)), self.prefit)
        for branch, has in enumerate(self.available.T):
            known[branch, self.codes[has]] = True
        return known

    def complete(
        self, fused: Floats, probabilities: Floats, branches: Subset, *, fixed: bool
    ) -> Floats:
        """Return probabilities in which classes that a rule could not learn have their share.

        Such a class gets its share in the mean over the branches that know it (or its frequency,
        if none does), and the rule decides among the others.

        Parameters
        ----------
        fused : ndarray of shape (n_clips, n_classes)
            The prediction of the rule.
        probabilities : ndarray of shape (n_clips, n_of_these_branches, n_classes)
            The predictions of the branches.
        branches : tuple of int
            The branches that these clips have.
        fixed : bool
            Whether the rule learns nothing, so that only the branches must know a class.

        Returns
        -------
        ndarray of shape (n_clips, n_classes)
            Rows sum to 1.
        """
        known = self.by_branch()[list(branches)]
        if fixed:
            learnt = known.all(axis=0)
        else:
            learnt = np.zeros(len(self.prior), dtype=bool)
            learnt[self.codes[self.available[:, branches].all(axis=1)]] = True
        if learnt.all():
            return fused
        n_knowing = known.sum(axis=0)
        means = (probabilities * known).sum(axis=1) / np.maximum(n_knowing, 1)
        known_to_none = np.where(n_knowing == 0, self.prior, 0)
        means = known_to_none + _scaled(means, 1 - known_to_none.sum())
        left = 1 - means[:, ~learnt].sum(axis=1, keepdims=True)
        return np.where(learnt, _scaled(fused * learnt, left), means)


def _scaled(rows: Floats, total: Any) -> Floats:
    """Return rows that sum to the total, or 0 where they are all 0."""
    return rows / np.maximum(rows.sum(axis=1, keepdims=True), np.finfo(float).tiny) * total


def shares_of_loss(
    rules: dict[Subset, Rule], probabilities: Floats, codes: NDArray[np.intp], prior: Floats
) -> Floats:
    """Return, class by class, by how much each branch lowers the log loss.

    The gain of a set of branches is the mean log loss of the class's clips under the class
    frequencies less that under the set's rule. Its Shapley value is the mean, over all orders in
    which branches may be added, of what a branch adds; negative ones count as 0.

    Parameters
    ----------
    rules : dict of tuple of int to rule
        The rule for each set of branches.
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
    full = np.flatnonzero(_available(probabilities).all(axis=1))
    if not len(full):
        return np.full((n_classes, n_branches), 1 / n_branches)
    is_class = np.eye(n_classes)[codes[full]]
    counts = np.maximum(is_class.sum(axis=0), 1)

    def gain(subset: Subset) -> Floats:
        if subset not in rules:
            return np.zeros(n_classes)
        found = rules[subset].predict_proba(probabilities[np.ix_(full, np.array(subset))])
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

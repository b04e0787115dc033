"""What is learnt from out-of-fold probabilities: temperatures, meta-models, importances."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skavsc.fusion._calibration import apply_temperature, fit_temperature
from skavsc.fusion._rules import ConfidenceRule, Rule, make_rule
from skavsc.fusion._softmax import Floats
from skavsc.fusion._subsets import (
    Subset,
    fit_rules,
    predict_with_rules,
    shares_of_loss,
    subsets,
)
from skavsc.fusion._unseen import Seen


def needs_probabilities(final_estimator: Any, calibration: str | None) -> bool:
    """Tell whether anything is learnt, so that out-of-fold probabilities are needed."""
    fixed = isinstance(final_estimator, str) and final_estimator in ("mean", "product")
    return calibration is not None or not fixed


class MetaModels:
    """The calibration of the branches and a rule for every set of them.

    Parameters
    ----------
    final_estimator : {"mean", "product", "confidence"}, classifier or None
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
        One a branch; 1 without calibration.
    rules : dict of tuple of int to rule
        The rule for each set of branches that clips had in full.
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
        self, probabilities: Floats, codes: NDArray[np.intp], weight: Floats, seen: Seen
    ) -> MetaModels:
        """Learn from out-of-fold probabilities of shape (n_clips, n_branches, n_classes)."""
        self.seen = seen
        n_branches = len(self.names)
        self.temperatures = np.ones(n_branches)
        if self.calibration is not None:
            for branch in range(n_branches):
                there = np.flatnonzero(~np.isnan(probabilities[:, branch, 0]))
                self.temperatures[branch] = fit_temperature(
                    probabilities[there, branch], codes[there], weight[there]
                )
        probabilities = self.calibrated(probabilities)
        if self._is_fixed():
            self.rules: dict[Subset, Rule] = {
                subset: self._new_rule() for subset in subsets(n_branches)
            }
            self.importances = np.full((len(self.classes), n_branches), 1 / n_branches)
            return self
        self.rules = fit_rules(self._new_rule, probabilities, codes, weight)
        everything = self.rules.get(tuple(range(n_branches)))
        if isinstance(everything, ConfidenceRule):
            self.importances = everything.weights_
        else:
            self.importances = shares_of_loss(self.rules, probabilities, codes, seen.prior)
        return self

    def predict_proba(self, probabilities: Floats, prior: Floats | None) -> Floats:
        """Fuse probabilities of shape (n_clips, n_branches, n_classes), NaN where missing."""
        complete = functools.partial(self.seen.completed, fixed=self._is_fixed())
        return predict_with_rules(
            self.rules, self.calibrated(probabilities), prior, self.names, complete
        )

    def calibrated(self, probabilities: Floats) -> Floats:
        """Apply the temperatures."""
        if self.calibration is None:
            return probabilities
        scaled = [
            apply_temperature(probabilities[:, branch], temperature)
            for branch, temperature in enumerate(self.temperatures)
        ]
        return np.stack(scaled, axis=1)

    def by_name(self) -> dict[tuple[str, ...], Any]:
        """Give what joins each set of branches: the rule, or the classifier that it wraps."""
        return {
            tuple(self.names[branch] for branch in subset): getattr(rule, "classifier_", rule)
            for subset, rule in self.rules.items()
        }

    def __getstate__(self) -> dict[str, Any]:
        # As pairs: model files know no dicts whose keys are tuples.
        return {**vars(self), "rules": list(self.rules.items())}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, rules=dict(state["rules"]))

    def _is_fixed(self) -> bool:
        return not needs_probabilities(self.final_estimator, None)

    def _new_rule(self) -> Rule:
        return make_rule(self.final_estimator, self.classes)

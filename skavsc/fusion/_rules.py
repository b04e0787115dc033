"""The rules that join the probabilities of several branches, and their calibration."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.base import clone

from skavsc._clips import fit_with_metadata

Floats = NDArray[np.float64]

# The least probability of a branch: one sure but wrong branch is no veto, and the probability 0 of
# a class that it was not fitted on has a logarithm.
FLOOR = 1e-4


def log_probabilities(probabilities: Floats) -> Floats:
    """Return logarithms, floored and centred over the classes, so that they are log-ratios."""
    logs = np.log(np.maximum(probabilities, FLOOR))
    return logs - logs.mean(axis=-1, keepdims=True)


def apply_temperature(probabilities: Floats, temperature: float) -> Floats:
    """Return ``p ** (1 / temperature)``, normalised; above 1 flattens, below 1 sharpens."""
    logs = np.log(np.maximum(probabilities, FLOOR))
    return softmax(logs / temperature, axis=-1)


def fit_temperature(probabilities: Floats, codes: NDArray[np.intp], sample_weight: Floats) -> float:
    """Return the temperature of the least log loss, between 1/20 and 20.

    Parameters
    ----------
    probabilities : ndarray of shape (n_clips, n_classes)
        Out-of-fold probabilities of one branch.
    codes : ndarray of shape (n_clips,), int
        The true classes, as column numbers.
    sample_weight : ndarray of shape (n_clips,)
        The weight of each clip.

    Returns
    -------
    float
        The temperature; 1 if there are no clips.

    References
    ----------
    Guo, Pleiss, Sun, Weinberger: On calibration of modern neural networks. ICML 2017.
    """
    if not len(codes):
        return 1.0
    logs = np.log(np.maximum(probabilities, FLOOR))
    rows = np.arange(len(codes))

    def loss(log_temperature: float) -> float:
        log_p = log_softmax(logs / np.exp(log_temperature), axis=1)
        return float(-np.sum(sample_weight * log_p[rows, codes]))

    limit = np.log(20.0)
    return float(np.exp(minimize_scalar(loss, bounds=(-limit, limit), method="bounded").x))


class Rule(ABC):
    """Base of the rules that join the probabilities of branches; by default nothing is fitted.

    Attributes
    ----------
    fixed : bool
        Whether nothing is learnt from out-of-fold probabilities.
    """

    fixed: ClassVar[bool] = True

    def fit(self, probabilities: Floats, codes: NDArray[np.intp], sample_weight: Floats) -> Self:
        """Fit to out-of-fold probabilities.

        Parameters
        ----------
        probabilities : ndarray of shape (n_clips, n_branches, n_classes)
            The probabilities of the branches.
        codes : ndarray of shape (n_clips,), int
            The true classes, as column numbers.
        sample_weight : ndarray of shape (n_clips,)
            The weight of each clip.

        Returns
        -------
        Rule
            The rule itself.
        """
        return self

    @abstractmethod
    def predict_proba(self, probabilities: Floats) -> Floats:
        """Return probabilities of shape (n_clips, n_classes)."""


class MeanRule(Rule):
    """The mean of the branches' probabilities."""

    def predict_proba(self, probabilities: Floats) -> Floats:
        """Return probabilities of shape (n_clips, n_classes)."""
        return probabilities.mean(axis=1)


class ProductRule(Rule):
    """The normalised product of the branches' probabilities."""

    def predict_proba(self, probabilities: Floats) -> Floats:
        """Return probabilities of shape (n_clips, n_classes)."""
        if probabilities.shape[1] == 1:
            return probabilities[:, 0]
        return softmax(np.log(np.maximum(probabilities, FLOOR)).sum(axis=1), axis=1)


class ConfidenceRule(Rule):
    """A mean in which each branch counts, class by class, as its out-of-fold F1 score.

    The F1 scores have one clip added to the true positives and to each sort of error, so that
    they are defined, and even, where a class has few clips.
    """

    fixed = False

    def fit(
        self, probabilities: Floats, codes: NDArray[np.intp], sample_weight: Floats
    ) -> ConfidenceRule:
        """Compute the weights of shape (n_classes, n_branches), whose rows sum to 1."""
        n_classes = probabilities.shape[2]
        is_class = np.eye(n_classes)[codes]
        weights = sample_weight[:, None]
        scores = []
        for branch in range(probabilities.shape[1]):
            predicted = np.eye(n_classes)[probabilities[:, branch].argmax(axis=1)]
            hits = (weights * predicted * is_class).sum(axis=0) + 1
            either_or_both = (weights * (predicted + is_class)).sum(axis=0) + 4
            scores.append(2 * hits / either_or_both)
        self.weights_ = np.stack(scores, axis=1)
        self.weights_ /= self.weights_.sum(axis=1, keepdims=True)
        return self

    def predict_proba(self, probabilities: Floats) -> Floats:
        """Return probabilities of shape (n_clips, n_classes)."""
        weighted = np.einsum("km,nmk->nk", self.weights_, probabilities)
        total = weighted.sum(axis=1, keepdims=True)
        return weighted / total


class ClassifierRule(Rule):
    """A scikit-learn classifier on the concatenated probabilities."""

    fixed = False

    def __init__(self, classifier: Any, labels: NDArray[Any]) -> None:
        self.classifier = classifier
        self.labels = labels

    def fit(
        self, probabilities: Floats, codes: NDArray[np.intp], sample_weight: Floats
    ) -> ClassifierRule:
        """Fit a clone of the classifier, on the user's labels."""
        table = probabilities.reshape(len(probabilities), -1)
        self.classifier_ = fit_with_metadata(
            clone(self.classifier), table, self.labels[codes], sample_weight=sample_weight
        )
        return self

    def predict_proba(self, probabilities: Floats) -> Floats:
        """Return probabilities of shape (n_clips, n_classes)."""
        found = self.classifier_.predict_proba(probabilities.reshape(len(probabilities), -1))
        aligned = np.zeros((len(found), len(self.labels)))
        aligned[:, np.searchsorted(self.labels, self.classifier_.classes_)] = found
        return aligned


class SoftmaxLayer(Rule):
    """A softmax layer on log-probabilities that starts from a weighted product of the branches.

    The logit of class k is ``sum_m scale[m] x[m, k] + sum_mj weight[k, m, j] x[m, j] + bias[k]``
    with x the centred log-probabilities. ``scale`` is nearly free (it costs one number per branch:
    how far that branch is to be trusted), ``weight`` and ``bias`` are shrunk towards 0, so that
    with few clips the layer is the weighted product of the branches and with many it is the
    dense layer of the published network. The problem is convex.

    Parameters
    ----------
    strength : float, default=0.002
        The inverse of the penalty on ``weight`` and ``bias``; 0 leaves them at 0.
    """

    fixed = False

    def __init__(self, strength: float = 0.002) -> None:
        self.strength = strength

    def fit(
        self, probabilities: Floats, codes: NDArray[np.intp], sample_weight: Floats
    ) -> SoftmaxLayer:
        """Fit to probabilities of shape (n_clips, n_branches, n_classes)."""
        logs = log_probabilities(probabilities)
        n_clips, n_branches, n_classes = logs.shape
        flat = logs.reshape(n_clips, -1)
        target = np.eye(n_classes)[codes]
        # One branch alone keeps its own ranking of the classes: only its scale is fitted.
        n_free = 0 if n_branches == 1 or self.strength == 0 else n_classes * (flat.shape[1] + 1)
        initial = np.full(n_branches, 1.0 / n_branches)

        def loss(theta: Floats) -> tuple[float, Floats]:
            scale, free = theta[:n_branches], theta[n_branches:]
            logits = np.einsum("m,nmk->nk", scale, logs)
            if n_free:
                weight, bias = free[:-n_classes].reshape(n_classes, -1), free[-n_classes:]
                logits = logits + flat @ weight.T + bias
            shift = scale - initial
            value = -np.sum(sample_weight[:, None] * target * log_softmax(logits, axis=1))
            residual = sample_weight[:, None] * (softmax(logits, axis=1) - target)
            gradient = [np.einsum("nk,nmk->m", residual, logs) + shift]
            value += 0.5 * shift @ shift
            if n_free:
                gradient.append(np.append((residual.T @ flat).ravel(), residual.sum(axis=0)))
                gradient[1] += free / self.strength
                value += 0.5 * free @ free / self.strength
            return float(value), np.concatenate(gradient)

        bounds = [(0.0, None)] * n_branches + [(None, None)] * n_free
        start = np.append(initial, np.zeros(n_free))
        found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
        self.scale_ = found[:n_branches]
        self.weight_ = np.zeros((n_classes, n_branches, n_classes))
        self.bias_ = np.zeros(n_classes)
        if n_free:
            self.weight_ = found[n_branches:-n_classes].reshape(self.weight_.shape)
            self.bias_ = found[-n_classes:]
        return self

    def predict_proba(self, probabilities: Floats) -> Floats:
        """Return probabilities of shape (n_clips, n_classes)."""
        logs = log_probabilities(probabilities)
        logits: Any = np.einsum("m,nmk->nk", self.scale_, logs) + self.bias_
        logits += np.einsum("kmj,nmj->nk", self.weight_, logs)
        return softmax(logits, axis=1)


#: The rules that ``LateFusionClassifier(final_estimator=...)`` knows by name.
RULES: dict[str, type[Rule]] = {
    "mean": MeanRule,
    "product": ProductRule,
    "confidence": ConfidenceRule,
}


def make_rule(final_estimator: Any, labels: NDArray[Any]) -> Rule:
    """Return the unfitted rule that ``LateFusionClassifier(final_estimator=...)`` names."""
    if final_estimator is None:
        return SoftmaxLayer()
    if isinstance(final_estimator, str):
        return RULES[final_estimator]()
    return ClassifierRule(final_estimator, labels)

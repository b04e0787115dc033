"""The rules that make one row of probabilities of those of several branches."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.base import clone

from skavsc.fusion._params import fit_params
from skavsc.fusion._softmax import FLOOR, Floats, SoftmaxLayer


class MeanRule:
    """The mean of the branches' probabilities. Nothing is fitted."""

    def fit(
        self, probabilities: Floats, codes: NDArray[np.intp], sample_weight: Floats
    ) -> MeanRule:
        """Learn nothing."""
        return self

    def predict_proba(self, probabilities: Floats) -> Floats:
        """Give probabilities of shape (n_clips, n_classes)."""
        return probabilities.mean(axis=1)


class ProductRule:
    """The normalised product of the branches' probabilities. Nothing is fitted."""

    def fit(
        self, probabilities: Floats, codes: NDArray[np.intp], sample_weight: Floats
    ) -> ProductRule:
        """Learn nothing."""
        return self

    def predict_proba(self, probabilities: Floats) -> Floats:
        """Give probabilities of shape (n_clips, n_classes)."""
        if probabilities.shape[1] == 1:
            return probabilities[:, 0]
        return softmax(np.log(np.maximum(probabilities, FLOOR)).sum(axis=1), axis=1)


class ConfidenceRule:
    """A mean in which each branch counts, class by class, as its out-of-fold F1 score.

    The F1 scores have one clip added to the true positives and to each sort of error, so that
    they are defined, and even, where a class has few clips.
    """

    def fit(
        self, probabilities: Floats, codes: NDArray[np.intp], sample_weight: Floats
    ) -> ConfidenceRule:
        """Find the weights of shape (n_classes, n_branches), whose rows sum to 1."""
        n_classes = probabilities.shape[2]
        is_class = np.eye(n_classes)[codes]
        weights = sample_weight[:, None]
        scores = []
        for branch in range(probabilities.shape[1]):
            said = np.eye(n_classes)[probabilities[:, branch].argmax(axis=1)]
            hits = (weights * said * is_class).sum(axis=0) + 1
            either = (weights * (said + is_class)).sum(axis=0) + 4
            scores.append(2 * hits / either)
        self.weights_ = np.stack(scores, axis=1)
        self.weights_ /= self.weights_.sum(axis=1, keepdims=True)
        return self

    def predict_proba(self, probabilities: Floats) -> Floats:
        """Give probabilities of shape (n_clips, n_classes)."""
        weighted = np.einsum("km,nmk->nk", self.weights_, probabilities)
        total = weighted.sum(axis=1, keepdims=True)
        return weighted / total


class ClassifierRule:
    """Any scikit-learn classifier on the concatenated probabilities."""

    def __init__(self, classifier: Any, labels: NDArray[Any]) -> None:
        self.classifier = classifier
        self.labels = labels

    def fit(
        self, probabilities: Floats, codes: NDArray[np.intp], sample_weight: Floats
    ) -> ClassifierRule:
        """Fit a clone of the classifier, on the user's labels."""
        table = probabilities.reshape(len(probabilities), -1)
        params = fit_params(self.classifier, sample_weight=sample_weight)
        self.classifier_ = clone(self.classifier).fit(table, self.labels[codes], **params)
        return self

    def predict_proba(self, probabilities: Floats) -> Floats:
        """Give probabilities of shape (n_clips, n_classes)."""
        found = self.classifier_.predict_proba(probabilities.reshape(len(probabilities), -1))
        aligned = np.zeros((len(found), len(self.labels)))
        aligned[:, np.searchsorted(self.labels, self.classifier_.classes_)] = found
        return aligned


Rule = MeanRule | ProductRule | ConfidenceRule | ClassifierRule | SoftmaxLayer


def make_rule(final_estimator: Any, labels: NDArray[Any]) -> Rule:
    """Give the unfitted rule that ``LateFusionClassifier(final_estimator=...)`` names."""
    if final_estimator is None:
        return SoftmaxLayer()
    if isinstance(final_estimator, str):
        rules: dict[str, type[MeanRule | ProductRule | ConfidenceRule]] = {
            "mean": MeanRule,
            "product": ProductRule,
            "confidence": ConfidenceRule,
        }
        return rules[final_estimator]()
    return ClassifierRule(final_estimator, labels)

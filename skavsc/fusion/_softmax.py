"""The softmax layer over the branches' probabilities, fitted so that few clips suffice."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

Floats = NDArray[np.float64]

# A branch's probability counts as at least this: one sure but wrong branch is no veto, and a class
# that it has not seen (probability 0) has a logarithm.
FLOOR = 1e-4


def log_probabilities(probabilities: Floats) -> Floats:
    """Give logarithms, floored and centred over the classes (so that they are log-ratios)."""
    logs = np.log(np.maximum(probabilities, FLOOR))
    return logs - logs.mean(axis=-1, keepdims=True)


class SoftmaxLayer:
    """A softmax layer on log-probabilities that starts from a weighted product of the branches.

    The logit of class k is ``sum_m scale[m] x[m, k] + sum_mj weight[k, m, j] x[m, j] + bias[k]``
    with x the centred log-probabilities. ``scale`` is nearly free (it costs one number a branch:
    how far that branch is to be trusted), ``weight`` and ``bias`` are shrunk towards 0, so that
    with few clips the layer is the weighted product of the branches and with many it is the
    dense layer of the published network. The problem is convex.

    Parameters
    ----------
    strength : float, default=0.002
        The inverse of the penalty on ``weight`` and ``bias``; 0 leaves them at 0.
    """

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
        """Give probabilities of shape (n_clips, n_classes)."""
        logs = log_probabilities(probabilities)
        logits: Any = np.einsum("m,nmk->nk", self.scale_, logs) + self.bias_
        logits += np.einsum("kmj,nmj->nk", self.weight_, logs)
        return softmax(logits, axis=1)

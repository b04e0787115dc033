"""Temperature: how far a branch's probabilities are to be flattened or sharpened."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from skavsc.fusion._softmax import FLOOR, Floats


def apply_temperature(probabilities: Floats, temperature: float) -> Floats:
    """Give ``p ** (1 / temperature)``, normalised; above 1 flattens, below 1 sharpens."""
    logs = np.log(np.maximum(probabilities, FLOOR))
    return softmax(logs / temperature, axis=-1)


def fit_temperature(probabilities: Floats, codes: NDArray[np.intp], sample_weight: Floats) -> float:
    """Find the temperature of the least log loss, between 1/20 and 20.

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

"""Intervals by resampling recording locations."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap

from skavsc.evaluation._metrics import Scored

Sums = NDArray[np.float64]


def accuracy_sums(scored: Scored, groups: NDArray[Any]) -> Sums:
    """Return the sums of weights that are right, and of all, of each location.

    Parameters
    ----------
    scored : Scored
        Labels and probabilities.
    groups : ndarray of shape (n_clips,)
        The recording location of each clip.

    Returns
    -------
    ndarray of shape (n_locations, 2, 1)
        As `resampled_interval` takes them.
    """
    correct = scored.weights * scored.correct
    return _sums(groups, correct[:, None], scored.weights[:, None])


def loss_sums(scored: Scored, groups: NDArray[Any]) -> Sums:
    """Return the sums of the losses, and of the weights, of each location and class.

    Parameters
    ----------
    scored : Scored
        Labels and probabilities.
    groups : ndarray of shape (n_clips,)
        The recording location of each clip.

    Returns
    -------
    ndarray of shape (n_locations, 2, n_classes)
        As `resampled_interval` takes them.
    """
    own = scored.probabilities[np.arange(len(scored.codes)), scored.codes].astype(np.float64)
    losses = -np.log(np.maximum(own, np.finfo(scored.probabilities.dtype).eps))
    classes = np.eye(len(scored.labels))[scored.codes]
    weights = scored.weights[:, None] * classes
    return _sums(groups, losses[:, None] * weights, weights)


def _sums(groups: NDArray[Any], values: Sums, weights: Sums) -> Sums:
    names, codes = np.unique(groups, return_inverse=True)
    sums = np.zeros((len(names), 2, values.shape[1]))
    np.add.at(sums, codes, np.stack([values, weights], axis=1))
    return sums


def macro_mean(sums: Sums) -> Any:
    """Return the mean over classes of the weighted means; classes without clips do not count."""
    values, weights = sums[..., 0, :], sums[..., 1, :]
    there = weights > 0
    means = np.divide(values, weights, out=np.zeros_like(values), where=there)
    return means.sum(axis=-1) / there.sum(axis=-1)


def resampled_interval(
    sums: Sums,
    others: Sums | None = None,
    *,
    confidence: float = 0.95,
    n_resamples: int = 2000,
    random_state: int = 0,
) -> tuple[float, float]:
    """Compute the percentile bootstrap interval of a mean over locations.

    Parameters
    ----------
    sums : ndarray of shape (n_locations, 2, n_classes)
        From `accuracy_sums` or `loss_sums`.
    others : ndarray of shape (n_locations, 2, n_classes), optional
        Those of another system, to compute the interval of the difference.
    confidence : float, default=0.95
        The confidence, between 0 and 1.
    n_resamples : int, default=2000
        Number of bootstrap samples: the locations are drawn with replacement.
    random_state : int, default=0
        Determines the draws.

    Returns
    -------
    low, high : float
        NaN with fewer than two locations.
    """
    if len(sums) < 2:
        return np.nan, np.nan

    def statistic(rows: NDArray[np.intp], axis: int = -1) -> Any:
        value = macro_mean(sums[rows].sum(axis=axis - 2))
        return value if others is None else value - macro_mean(others[rows].sum(axis=axis - 2))

    found = bootstrap(
        (np.arange(len(sums)),),
        statistic,
        batch=100,
        method="percentile",
        confidence_level=confidence,
        n_resamples=n_resamples,
        rng=np.random.default_rng(random_state),
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)

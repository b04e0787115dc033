"""The metrics of the DCASE challenge on audio-visual scenes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm
from sklearn.utils.validation import column_or_1d


def _checked_probabilities(y_prob: ArrayLike, n_clips: int, n_labels: int) -> NDArray[Any]:
    probabilities = np.asarray(y_prob)
    if probabilities.dtype.kind != "f":
        probabilities = probabilities.astype(np.float64)
    if probabilities.shape != (n_clips, n_labels):
        raise ValueError(
            f"y_prob has shape {probabilities.shape}, expected {(n_clips, n_labels)}: one row a "
            f"clip of y_true and one column a label; pass labels= if y_true lacks a class"
        )
    if not np.isfinite(probabilities).all():
        rows = np.flatnonzero(~np.isfinite(probabilities).all(axis=1))
        raise ValueError(f"y_prob is not finite in rows {rows[:10].tolist()}")
    sums = probabilities.sum(axis=1, dtype=np.float64)
    wrong = (probabilities < 0).any(axis=1) | (np.abs(sums - 1) > 1e-2)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"y_prob row {row} is {probabilities[row].tolist()}, which are no probabilities: they "
            f"must be at least 0 and sum to 1; pass the output of predict_proba"
        )
    return probabilities


def class_log_loss(
    y_true: ArrayLike, y_prob: ArrayLike, *, labels: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Give the mean log loss of each class's clips.

    Parameters
    ----------
    y_true : array-like of shape (n_clips,)
        The true labels.
    y_prob : array-like of shape (n_clips, n_labels)
        Probabilities in [0, 1]; rows sum to 1.
    labels : array-like of shape (n_labels,), optional
        The labels of the columns, in their order. By default the sorted labels in ``y_true``;
        needed if those lack a class.

    Returns
    -------
    ndarray of shape (n_labels,), float64
        The mean of ``-ln(p)`` over the clips of each class, p being the probability of that class,
        at least the machine epsilon of the dtype of ``y_prob`` (as in `sklearn.metrics.log_loss`).
        NaN for a class without clips.

    Raises
    ------
    ValueError
        If ``y_true`` holds a label that is not in ``labels``, or ``y_prob`` has the wrong shape or
        is not made of probabilities.

    Examples
    --------
    >>> from skavsc.evaluation import class_log_loss
    >>> class_log_loss(["bus", "bus", "tram"], [[1, 0], [0.5, 0.5], [0.5, 0.5]]).round(3)
    array([0.347, 0.693])
    """
    truth = column_or_1d(y_true)
    if not len(truth):
        raise ValueError("y_true is empty; a loss needs one clip or more")
    columns = np.unique(truth) if labels is None else column_or_1d(labels)
    if len(np.unique(columns)) != len(columns):
        raise ValueError(f"labels={columns.tolist()} has a label twice; give each column its own")
    unknown = np.setdiff1d(truth, columns)
    if len(unknown):
        raise ValueError(
            f"y_true holds the labels {unknown.tolist()}, which are not among "
            f"labels={columns.tolist()}; leave those clips out or add the labels' columns"
        )
    probabilities = _checked_probabilities(y_prob, len(truth), len(columns))
    floor = np.finfo(probabilities.dtype).eps
    losses = np.full(len(columns), np.nan)
    for column, label in enumerate(columns):
        own = probabilities[truth == label, column].astype(np.float64)
        if len(own):
            losses[column] = -np.log(np.clip(own, floor, 1)).mean()
    return losses


def macro_log_loss(
    y_true: ArrayLike, y_prob: ArrayLike, *, labels: ArrayLike | None = None
) -> float:
    """Give the macro-averaged multi-class cross-entropy, the challenge's first metric.

    Parameters
    ----------
    y_true : array-like of shape (n_clips,)
        The true labels.
    y_prob : array-like of shape (n_clips, n_labels)
        Probabilities in [0, 1]; rows sum to 1.
    labels : array-like of shape (n_labels,), optional
        The labels of the columns, in their order. By default the sorted labels in ``y_true``;
        needed if those lack a class.

    Returns
    -------
    float
        The mean of `class_log_loss` over the classes that have clips: natural logarithm, best is 0.

    Raises
    ------
    ValueError
        If ``y_true`` holds a label that is not in ``labels``, or ``y_prob`` has the wrong shape or
        is not made of probabilities.

    References
    ----------
    Wang, Heittola, Mesaros, Virtanen: Audio-visual scene classification: analysis of DCASE 2021
    challenge submissions. DCASE workshop, 2021.

    Examples
    --------
    >>> from skavsc.evaluation import macro_log_loss
    >>> round(macro_log_loss(["bus", "bus", "tram"], [[1, 0], [0.5, 0.5], [0.5, 0.5]]), 3)
    0.52
    """
    return float(np.nanmean(class_log_loss(y_true, y_prob, labels=labels)))


def macro_log_loss_scorer(estimator: Any, X: Any, y: ArrayLike) -> float:
    """Score a fitted classifier by the negative macro log loss.

    For the ``scoring`` of `sklearn.model_selection.cross_validate` and searches. The columns are
    those of ``estimator.classes_``, so that a fold may lack a class.

    Parameters
    ----------
    estimator : classifier
        Fitted, with ``predict_proba``.
    X : array-like of n_clips rows
        The clips.
    y : array-like of shape (n_clips,)
        The true labels.

    Returns
    -------
    float
        The negative macro log loss: greater is better, 0 is best.

    Raises
    ------
    ValueError
        If ``y`` holds a label that the estimator does not know.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import cross_val_score
    >>> from skavsc.evaluation import macro_log_loss_scorer
    >>> X, y = load_iris(return_X_y=True)
    >>> model = LogisticRegression(max_iter=500)
    >>> scores = cross_val_score(model, X, y, scoring=macro_log_loss_scorer, cv=3)
    >>> bool((scores > -0.3).all())
    True
    """
    return -macro_log_loss(y, estimator.predict_proba(X), labels=estimator.classes_)


def accuracy_interval(accuracy: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Give the Wald interval of an accuracy.

    Parameters
    ----------
    accuracy : float
        The fraction of correct predictions, in [0, 1].
    n : int
        The number of predictions, at least 1.
    confidence : float, default=0.95
        The confidence, between 0 and 1.

    Returns
    -------
    low, high : float
        ``accuracy -+ z sqrt(accuracy (1 - accuracy) / n)``, within [0, 1].

    Raises
    ------
    ValueError
        If an argument is out of its range.

    Notes
    -----
    The interval takes the predictions as independent, which those of clips (or seconds) of one
    place are not: it is then too narrow. It is the one that the challenge publishes.

    Examples
    --------
    >>> from skavsc.evaluation import accuracy_interval
    >>> low, high = accuracy_interval(0.938, 72_000)
    >>> round(low, 4), round(high, 4)
    (0.9362, 0.9398)
    """
    if not 0 <= accuracy <= 1:
        raise ValueError(f"accuracy={accuracy!r} must be a fraction in [0, 1], not in percent")
    if n < 1:
        raise ValueError(f"n={n!r} must be the number of predictions, at least 1")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence={confidence!r} must be between 0 and 1, such as 0.95")
    half = norm.ppf((1 + confidence) / 2) * np.sqrt(accuracy * (1 - accuracy) / n)
    return max(0.0, float(accuracy - half)), min(1.0, float(accuracy + half))

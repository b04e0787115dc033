"""The metrics of the DCASE challenge on audio-visual scenes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm
from sklearn.metrics import log_loss
from sklearn.utils.validation import column_or_1d

from skavsc._sklearn_compat import _check_sample_weight


def _checked_probabilities(y_prob: ArrayLike, n_clips: int, n_labels: int) -> NDArray[Any]:
    probabilities = np.asarray(y_prob)
    if probabilities.dtype.kind != "f":
        probabilities = probabilities.astype(np.float64)
    if probabilities.shape != (n_clips, n_labels):
        raise ValueError(
            f"y_prob has shape {probabilities.shape}, expected {(n_clips, n_labels)}: one row "
            f"per clip of y_true and one column per label; pass labels= if y_true lacks a class"
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


class Scored(NamedTuple):
    """Checked labels and probabilities, columns in sorted order, without clips of weight 0."""

    codes: NDArray[np.intp]
    probabilities: NDArray[Any]
    labels: NDArray[Any]
    weights: NDArray[np.float64]

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether the most probable label of each clip is the true one."""
        return np.argmax(self.probabilities, axis=1) == self.codes

    @property
    def confidence(self) -> NDArray[np.float64]:
        """The probability of each clip's most probable label."""
        return np.max(self.probabilities, axis=1).astype(np.float64)


def check_scored(
    y_true: ArrayLike,
    y_prob: ArrayLike,
    labels: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> Scored:
    """Check what a metric is computed from, and leave out clips of weight 0."""
    truth = column_or_1d(y_true)
    if not len(truth):
        raise ValueError("y_true is empty; a metric needs one clip or more")
    columns = np.unique(truth) if labels is None else column_or_1d(labels)
    if len(np.unique(columns)) != len(columns):
        raise ValueError(f"labels={columns.tolist()} has a label twice; give each column its own")
    weights = _check_sample_weight(sample_weight, truth, dtype=np.float64, ensure_non_negative=True)
    there = weights > 0
    if not there.any():
        raise ValueError("sample_weight is 0 throughout; a metric needs one clip or more")
    unknown = np.setdiff1d(truth[there], columns)
    if len(unknown):
        raise ValueError(
            f"y_true holds the labels {unknown.tolist()}, which are not among "
            f"labels={columns.tolist()}; leave those clips out or add the labels' columns"
        )
    values = np.asarray(y_prob)
    if values.shape[:1] == truth.shape:
        values = values[there]
    probabilities = _checked_probabilities(values, int(np.count_nonzero(there)), len(columns))
    order = np.argsort(columns)
    codes = np.searchsorted(columns[order], truth[there])
    return Scored(codes, probabilities[:, order], columns[order], weights[there])


def class_log_loss(
    y_true: ArrayLike,
    y_prob: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> NDArray[np.float64]:
    """Compute the mean log loss of each class's clips.

    Parameters
    ----------
    y_true : array-like of shape (n_clips,)
        The true labels.
    y_prob : array-like of shape (n_clips, n_labels)
        Probabilities in [0, 1]; rows sum to 1.
    labels : array-like of shape (n_labels,), optional
        The labels of the columns, in their order. By default the sorted labels in ``y_true``;
        needed if those lack a class.
    sample_weight : array-like of shape (n_clips,), optional
        The weights of the clips, at least 0. Weight 0 is the same as absent.

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
    scored = check_scored(y_true, y_prob, labels, sample_weight)
    losses = np.full(len(scored.labels), np.nan)
    for code in np.unique(scored.codes):
        own = scored.codes == code
        losses[code] = log_loss(
            scored.codes[own],
            scored.probabilities[own],
            labels=np.arange(len(losses)),
            sample_weight=scored.weights[own],
        )
    columns = scored.labels if labels is None else column_or_1d(labels)
    return losses[np.searchsorted(scored.labels, columns)]


def macro_log_loss(
    y_true: ArrayLike,
    y_prob: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Compute the macro-averaged multi-class cross-entropy, the challenge's first metric.

    Parameters
    ----------
    y_true : array-like of shape (n_clips,)
        The true labels.
    y_prob : array-like of shape (n_clips, n_labels)
        Probabilities in [0, 1]; rows sum to 1.
    labels : array-like of shape (n_labels,), optional
        The labels of the columns, in their order. By default the sorted labels in ``y_true``;
        needed if those lack a class.
    sample_weight : array-like of shape (n_clips,), optional
        The weights of the clips within their class, at least 0. Weight 0 is the same as absent.

    Returns
    -------
    float
        The mean of `class_log_loss` over the classes that have clips: natural logarithm, best is 0.
        Probabilities below the machine epsilon of the dtype of ``y_prob``, 1.2e-7 for float32 and
        2.2e-16 for float64, count as that epsilon, so that the loss is never infinite.

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
    scored = check_scored(y_true, y_prob, labels, sample_weight)
    of_class = np.bincount(scored.codes, weights=scored.weights)
    return float(
        log_loss(
            scored.codes,
            scored.probabilities,
            labels=np.arange(len(scored.labels)),
            sample_weight=scored.weights / of_class[scored.codes],
        )
    )


def macro_log_loss_scorer(
    estimator: Any, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None
) -> float:
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
    sample_weight : array-like of shape (n_clips,), optional
        The weights of the clips, at least 0. Weight 0 is the same as absent.

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
    probabilities = estimator.predict_proba(X)
    return -macro_log_loss(y, probabilities, labels=estimator.classes_, sample_weight=sample_weight)


def expected_calibration_error(
    y_true: ArrayLike,
    y_prob: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    n_bins: int = 10,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Compute by how much confidence and accuracy differ.

    Parameters
    ----------
    y_true : array-like of shape (n_clips,)
        The true labels.
    y_prob : array-like of shape (n_clips, n_labels)
        Probabilities in [0, 1]; rows sum to 1.
    labels : array-like of shape (n_labels,), optional
        The labels of the columns, in their order. By default the sorted labels in ``y_true``.
    n_bins : int, default=10
        Number of bins of equal width that divide [0, 1], at least 1.
    sample_weight : array-like of shape (n_clips,), optional
        The weights of the clips, at least 0. Weight 0 is the same as absent.

    Returns
    -------
    float
        The mean over clips of the difference, in their bin, of the mean probability of the most
        probable label and its accuracy: 0 where, of all clips called with 80 %, 80 % are right.

    Raises
    ------
    ValueError
        As `macro_log_loss`, or if ``n_bins`` is below 1.

    References
    ----------
    Guo, Pleiss, Sun, Weinberger: On calibration of modern neural networks. ICML, 2017.

    Examples
    --------
    >>> from skavsc.evaluation import expected_calibration_error
    >>> y_prob = [[0.8, 0.2], [0.8, 0.2], [0.2, 0.8], [0.2, 0.8]]
    >>> round(expected_calibration_error(["bus", "tram", "tram", "tram"], y_prob), 3)
    0.05
    """
    if n_bins < 1:
        raise ValueError(f"n_bins={n_bins!r} must be at least 1")
    scored = check_scored(y_true, y_prob, labels, sample_weight)
    surplus = scored.weights * (scored.confidence - scored.correct)
    edges = np.linspace(0, 1, n_bins + 1)
    sums, _ = np.histogram(np.clip(scored.confidence, 0, 1), bins=edges, weights=surplus)
    return float(np.abs(sums).sum() / scored.weights.sum())


def accuracy_interval(accuracy: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Compute the Wald interval of an accuracy.

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
    The interval takes the predictions as independent, which those of clips (or segments) of one
    recording location are not: it is then too narrow. It is the one that the challenge publishes.

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

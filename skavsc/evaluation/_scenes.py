"""From a classifier, or from its predictions, to a report; and the comparison of two reports."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import binomtest
from sklearn.base import clone
from sklearn.utils.validation import check_consistent_length

from skavsc._parallel import Parallel, delayed
from skavsc.evaluation._cross_validation import (
    Fold,
    check_folds,
    check_modalities,
    fit_and_predict,
    join_folds,
)
from skavsc.evaluation._intervals import accuracy_sums, loss_sums, macro_mean, resampled_interval
from skavsc.evaluation._metrics import check_scored
from skavsc.evaluation._scene_report import SceneReport


def cross_validate_scenes(
    estimator: Any,
    X: Any,
    y: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    cv: Any = 5,
    sample_weight: ArrayLike | None = None,
    modalities: Sequence[str] = (),
    clips: pd.DataFrame | None = None,
    name: str | None = None,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> SceneReport:
    """Predict every clip by a classifier that was fitted without its recording location.

    Parameters
    ----------
    estimator : classifier
        Unfitted, with ``predict_proba``; a copy is fitted for each fold.
    X : structured array, pandas.DataFrame, array or sequence of n_clips rows
        The clips.
    y : array-like of shape (n_clips,)
        The labels.
    groups : array-like of shape (n_clips,), optional
        The recording location of each clip: none is in training and test at once. It is also
        passed to classifiers whose ``fit`` takes ``groups``. By default each clip is a location.
    cv : int, cross-validation splitter or iterable, default=5
        The folds, in which a clip is tested once at most. A number means stratified ones, which
        keep groups together if there are any.
    sample_weight : array-like of shape (n_clips,), optional
        The weights of the clips, at least 0, in the metrics and in the ``fit`` of classifiers that
        take them. Weight 0 is the same as absent.
    modalities : sequence of str, default=()
        Columns of a clip table, or fields of a structured array, such as ``("audio", "video")``.
        The clips are also predicted without each of them (None or NaN), for which the classifier
        must be able to do without.
    clips : pandas.DataFrame of n_clips rows, optional
        The clip table, for the media of the HTML report and for `SceneReport.by`. By default X,
        if that is a DataFrame.
    name : str, optional
        The name of the system; by default the type of the classifier.
    n_jobs : int, default=None
        Number of folds at the same time, as in joblib; None is 1.
    verbose : int, default=0
        The verbosity of joblib: above 0 it reports its progress over the folds.

    Returns
    -------
    SceneReport
        The out-of-fold probabilities, of segments too where the classifier has
        ``predict_proba_segments``, and tables of them.

    Raises
    ------
    ValueError
        If lengths differ, a clip is tested twice, or X has no such modality.
    MissingModalityError
        If the classifier cannot do without a modality.

    See Also
    --------
    scene_report : The report of existing predictions.
    results_table : Several classifiers on the same folds.

    Notes
    -----
    A class that a fold was not trained on has probability 0 there.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from skavsc.evaluation import cross_validate_scenes
    >>> X, y = load_iris(return_X_y=True)
    >>> report = cross_validate_scenes(GaussianNB(), X, y, cv=3)
    >>> report.by_class()["accuracy"].tolist()
    [1.0, 0.9, 0.92]
    """
    check_consistent_length(X, y, groups, sample_weight, clips)
    check_modalities(X, modalities)
    truth = np.asarray(y)
    classes = np.unique(truth)
    folds = check_folds(cv, truth, groups)
    if len(np.unique(tested := np.concatenate([test for _, test in folds]))) < len(tested):
        raise ValueError(f"cv={cv!r} tests a clip more than once; use a partition, without repeats")
    outcomes = Parallel(n_jobs=n_jobs, verbose=verbose)(
        delayed(fit_and_predict)(
            clone(estimator), X, truth, fold, groups, sample_weight, modalities=modalities
        )
        for fold in folds
    )
    join = functools.partial(join_folds, folds, outcomes, classes, len(truth))
    table = X if clips is None and isinstance(X, pd.DataFrame) else clips
    report = scene_report(
        truth,
        join([outcome.probabilities for outcome in outcomes]),  # type: ignore[arg-type]
        labels=classes,
        groups=groups,
        clips=table,
        segments=join([outcome.segments for outcome in outcomes]),
        sample_weight=sample_weight,
        folds=folds,
        name=type(estimator).__name__ if name is None else name,
    )
    for modality in modalities:
        without = join([outcome.without[modality] for outcome in outcomes])
        assert without is not None
        report.without[modality] = without
    report.fit_times = [outcome.fit_time for outcome in outcomes]
    report.predict_times = [outcome.predict_time for outcome in outcomes]
    report.histories = [outcome.histories for outcome in outcomes]
    # Without the addresses of functions, which differ each time.
    report.estimator = re.sub(r"<function (\S+) at 0x[0-9a-f]+>", r"\1", repr(estimator))
    return report


def scene_report(
    y_true: ArrayLike,
    y_prob: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    clips: pd.DataFrame | None = None,
    segments: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    folds: Sequence[Fold] = (),
    name: str = "classifier",
) -> SceneReport:
    """Make a report of existing predictions.

    Parameters
    ----------
    y_true : array-like of shape (n_clips,)
        The true labels.
    y_prob : array-like of shape (n_clips, n_labels)
        Probabilities in [0, 1] of clips that were not trained on; rows sum to 1. A row of NaN is a
        clip that is not predicted.
    labels : array-like of shape (n_labels,), optional
        The labels of the columns, in their order. By default the sorted labels in ``y_true``.
    groups : array-like of shape (n_clips,), optional
        The recording locations; by default each clip is one of its own.
    clips : pandas.DataFrame of n_clips rows, optional
        The clip table, for the media of the HTML report and for `SceneReport.by`.
    segments : array-like of shape (n_clips, n_segments, n_labels), optional
        The probabilities of the segments, as from ``predict_proba_segments``; NaN where there is
        none.
    sample_weight : array-like of shape (n_clips,), optional
        The weights of the clips, at least 0. Weight 0 is the same as absent.
    folds : sequence of (ndarray, ndarray), default=()
        The training and test rows of each fold.
    name : str, default="classifier"
        The name of the system.

    Returns
    -------
    SceneReport
        The report.

    Raises
    ------
    ValueError
        If lengths differ, ``y_true`` holds a label that is not in ``labels``, or ``y_prob`` is not
        made of probabilities.

    See Also
    --------
    cross_validate_scenes : The report of a classifier that is yet to be fitted.

    Examples
    --------
    >>> from skavsc.evaluation import scene_report
    >>> report = scene_report(["bus", "tram"], [[0.9, 0.1], [0.2, 0.8]], groups=["a", "b"])
    >>> report.summary().loc["clips", ["accuracy", "macro_log_loss"]].round(3).tolist()
    [1.0, 0.164]
    """
    truth = np.asarray(y_true)
    # The precision of the probabilities is kept, as it bounds the log losses.
    probabilities = np.asarray(y_prob)
    if probabilities.dtype.kind != "f":
        probabilities = probabilities.astype(np.float64)
    check_consistent_length(truth, probabilities, groups, clips, segments, sample_weight)
    columns = np.unique(truth) if labels is None else np.asarray(labels)
    weights = np.ones(len(truth)) if sample_weight is None else np.asarray(sample_weight, float)
    there = ~np.isnan(probabilities).all(axis=1)
    check_scored(truth[there], probabilities[there], columns, weights[there])
    order = np.argsort(columns)
    table = pd.DataFrame(index=range(len(truth))) if clips is None else clips
    return SceneReport(
        classes=columns[order],
        y=truth,
        probabilities=probabilities[:, order],
        groups=np.arange(len(truth)) if groups is None else np.asarray(groups),
        sample_weight=weights,
        clips=table.reset_index(drop=True),
        segments=None if segments is None else np.asarray(segments)[..., order],
        folds=list(folds),
        name=name,
    )


def compare_scenes(
    first: SceneReport, second: SceneReport, *, confidence: float = 0.95
) -> pd.DataFrame:
    """Compare two systems on the same clips.

    Parameters
    ----------
    first : SceneReport
        The predictions of one system.
    second : SceneReport
        The predictions of the other system for the same clips.
    confidence : float, default=0.95
        The confidence of the intervals, between 0 and 1.

    Returns
    -------
    pandas.DataFrame
        The rows ``accuracy`` and ``macro_log_loss``, with the values of ``first`` and ``second``,
        their ``difference`` (the first less the second), its bootstrap interval ``low`` to ``high``
        over recording locations, and for the accuracy the p-values of McNemar's exact test
        (``p_clips``, which takes clips as independent) and of the exact sign test on the locations
        in which one system has more clips right than the other (``p_locations``).

    Raises
    ------
    ValueError
        If the clips differ, or none is predicted by both.

    References
    ----------
    Dietterich: Approximate statistical tests for comparing supervised classification learning
    algorithms. Neural Computation 10 (7), 1998.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.dummy import DummyClassifier
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from skavsc.evaluation import compare_scenes, cross_validate_scenes
    >>> X, y = load_iris(return_X_y=True)
    >>> bayes, chance = (
    ...     cross_validate_scenes(model, X, y, cv=3) for model in (GaussianNB(), DummyClassifier())
    ... )
    >>> table = compare_scenes(bayes, chance)
    >>> table.loc["accuracy", ["first", "second", "difference"]].round(2).tolist()
    [0.94, 0.32, 0.62]
    """
    if not (
        np.array_equal(first.classes, second.classes)
        and np.array_equal(first.y, second.y)
        and np.array_equal(first.groups, second.groups)
        and np.array_equal(first.sample_weight, second.sample_weight)
    ):
        raise ValueError(
            "the reports differ in classes, labels, locations or weights; compare systems on the "
            "same clips, in the same order"
        )
    there = ~np.isnan(first.probabilities[:, 0]) & ~np.isnan(second.probabilities[:, 0])
    rows = np.flatnonzero(there & (first.sample_weight > 0))
    if not len(rows):
        raise ValueError("no clip is predicted by both systems; use the same folds")
    scored = [
        check_scored(
            report.y[rows], report.probabilities[rows], report.classes, report.sample_weight[rows]
        )
        for report in (first, second)
    ]
    groups = first.groups[rows]
    table = {}
    for metric, sums_of in (("accuracy", accuracy_sums), ("macro_log_loss", loss_sums)):
        sums = [sums_of(each, groups) for each in scored]
        values = [float(macro_mean(found.sum(axis=0))) for found in sums]
        low, high = resampled_interval(*sums, confidence=confidence)
        table[metric] = {
            "first": values[0],
            "second": values[1],
            "difference": values[0] - values[1],
            "low": low,
            "high": high,
        }
    gain = pd.Series(scored[0].correct.astype(int) - scored[1].correct.astype(int))
    table["accuracy"]["p_clips"] = _sign_test(gain)
    table["accuracy"]["p_locations"] = _sign_test(gain.groupby(groups).sum())
    return pd.DataFrame.from_dict(table, orient="index")


def _sign_test(differences: ArrayLike) -> float:
    """Compute the two-sided p-value of the exact sign test, which for clips is McNemar's."""
    signs = np.sign(np.asarray(differences))
    n = int(np.count_nonzero(signs))
    return float(binomtest(int(np.sum(signs > 0)), n).pvalue) if n else 1.0

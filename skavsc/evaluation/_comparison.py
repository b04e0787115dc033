"""The comparison of two systems on the same clips."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import binomtest

from skavsc.evaluation._intervals import accuracy_sums, loss_sums, macro_mean, resampled_interval
from skavsc.evaluation._metrics import check_scored
from skavsc.evaluation._scene_report import SceneReport


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

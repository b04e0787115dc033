"""Cross-validated results of several classifiers, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import joblib
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, check_cv, cross_validate
from sklearn.utils.metadata_routing import get_routing_for_object
from sklearn.utils.validation import check_consistent_length
from tqdm import tqdm

from skavsc._sklearn_compat import _routing_enabled
from skavsc.evaluation._metrics import (
    accuracy_interval,
    macro_log_loss,
    macro_log_loss_scorer,
)
from skavsc.fusion._params import fit_params

_SCORING = {"accuracy": "accuracy", "macro_log_loss": macro_log_loss_scorer}


class FoldScore(NamedTuple):
    """What one classifier reached on one fold."""

    accuracy: float
    macro_log_loss: float
    n_clips: int
    fit_time: float = np.nan


def _group_params(estimator: Any, groups: ArrayLike | None) -> dict[str, Any]:
    """Give what ``cross_validate`` hands to the estimator's ``fit`` for its inner folds."""
    if groups is None:
        return {}
    if _routing_enabled():
        wants = get_routing_for_object(estimator).consumes("fit", ["groups"])
        return {"groups": groups} if wants else {}
    return fit_params(estimator, groups=np.asarray(groups))


def results_table(
    estimators: Mapping[str, Any],
    X: Any,
    y: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    cv: Any = 5,
    n_jobs: int | None = None,
    verbose: int | bool = 0,
) -> pd.DataFrame:
    """Cross-validate several classifiers on the same folds.

    Parameters
    ----------
    estimators : dict of str to classifier
        The classifiers, with ``predict_proba``, by the names that the rows get.
    X : structured array, pandas.DataFrame, array or sequence of n_clips rows
        The clips.
    y : array-like of shape (n_clips,)
        The labels.
    groups : array-like of shape (n_clips,), optional
        The recording location of each clip: none is in training and test at once. It is also
        handed to classifiers whose ``fit`` takes ``groups``.
    cv : int, cross-validation splitter or iterable, default=5
        The folds. A number means stratified ones, which keep groups together if there are any.
    n_jobs : int, default=None
        The number of fits at the same time, as in joblib; None is 1.
    verbose : bool or int, default=0
        Whether to show a progress bar over the fits.

    Returns
    -------
    pandas.DataFrame
        One row a classifier, with the columns ``accuracy`` (mean over folds, a fraction),
        ``accuracy_std`` (over folds), ``accuracy_low`` and ``accuracy_high`` (95 % Wald interval of
        that mean for the number of clips tested), ``macro_log_loss`` and ``macro_log_loss_std``,
        ``fit_time`` (seconds a fold, mean), ``n_clips`` (tested, all folds together), and
        ``accuracy_fold0``, ``macro_log_loss_fold0`` and so on for each fold.

    Raises
    ------
    ValueError
        If there are no classifiers, lengths differ, or a fold cannot be fitted or scored.

    See Also
    --------
    format_results : The table as text.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.dummy import DummyClassifier
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from skavsc.evaluation import format_results, results_table
    >>> X, y = load_iris(return_X_y=True)
    >>> table = results_table({"chance": DummyClassifier(), "bayes": GaussianNB()}, X, y, cv=3)
    >>> table["accuracy"].round(3).tolist()
    [0.32, 0.94]
    """
    if not estimators:
        raise ValueError("estimators is empty; give a dict of names and classifiers")
    check_consistent_length(X, y, groups)
    labels = np.asarray(y)
    if isinstance(cv, int | np.integer):
        splitter = StratifiedKFold(cv) if groups is None else StratifiedGroupKFold(cv)
    else:
        splitter = check_cv(cv, labels, classifier=True)
    folds = list(splitter.split(np.zeros((len(labels), 1)), labels, groups))
    places = [(name, fold) for name in estimators for fold in range(len(folds))]

    def jobs() -> Iterator[Any]:
        for name, fold in places:
            estimator = estimators[name]
            yield joblib.delayed(cross_validate)(
                clone(estimator),
                X,
                labels,
                cv=[folds[fold]],
                scoring=_SCORING,
                params=_group_params(estimator, groups),
                error_score="raise",
            )

    run = joblib.Parallel(n_jobs=n_jobs, return_as="generator")(jobs())
    bar = tqdm(run, total=len(places), desc="folds", unit="fit", disable=not verbose)
    scores: dict[str, list[FoldScore]] = {name: [] for name in estimators}
    for (name, fold), score in zip(places, bar, strict=True):
        scores[name].append(
            FoldScore(
                accuracy=score["test_accuracy"][0],
                macro_log_loss=-score["test_macro_log_loss"][0],
                n_clips=len(folds[fold][1]),
                fit_time=score["fit_time"][0],
            )
        )
    rows = {name: summarise(found) for name, found in scores.items()}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("classifier")


def fold_score(y: NDArray[Any], probabilities: NDArray[Any], classes: NDArray[Any]) -> FoldScore:
    """Score the probabilities of one fold's test clips."""
    return FoldScore(
        accuracy=float(np.mean(classes[probabilities.argmax(axis=1)] == y)),
        macro_log_loss=macro_log_loss(y, probabilities, labels=classes),
        n_clips=len(y),
    )


def summarise(scores: list[FoldScore]) -> dict[str, float]:
    """Give the row of a table: means and deviations over folds, and what each fold gave."""
    accuracy = np.array([score.accuracy for score in scores])
    loss = np.array([score.macro_log_loss for score in scores])
    n_clips = sum(score.n_clips for score in scores)
    low, high = accuracy_interval(float(accuracy.mean()), n_clips)
    return {
        "accuracy": accuracy.mean(),
        "accuracy_std": accuracy.std(),
        "accuracy_low": low,
        "accuracy_high": high,
        "macro_log_loss": loss.mean(),
        "macro_log_loss_std": loss.std(),
        "fit_time": float(np.mean([score.fit_time for score in scores])),
        "n_clips": n_clips,
        **{f"accuracy_fold{fold}": value for fold, value in enumerate(accuracy)},
        **{f"macro_log_loss_fold{fold}": value for fold, value in enumerate(loss)},
    }


def format_results(table: pd.DataFrame) -> str:
    """Give a table of results as fixed-width text.

    Parameters
    ----------
    table : pandas.DataFrame
        As from `results_table`.

    Returns
    -------
    str
        One line a classifier: accuracy in per cent with its standard deviation over folds and its
        95 % interval, macro log loss likewise, and the seconds a fold takes to fit.

    Examples
    --------
    >>> import pandas as pd
    >>> from skavsc.evaluation import format_results
    >>> row = {
    ...     "accuracy": 0.865, "accuracy_std": 0.012, "accuracy_low": 0.853,
    ...     "accuracy_high": 0.877, "macro_log_loss": 0.495, "macro_log_loss_std": 0.03,
    ...     "fit_time": 12.0,
    ... }
    >>> print(format_results(pd.DataFrame([row], index=["late fusion"])))
                 accuracy %    95 % interval   macro log loss   fit, s
    late fusion  86.5 +- 1.2   85.3 .. 87.7    0.495 +- 0.030     12.0
    """
    names = [str(name) for name in table.index]
    width = max([len(name) for name in names], default=0)
    lines = [f"{'':{width}}  {'accuracy %':12}  {'95 % interval':14}  macro log loss   fit, s"]
    for name, (_, row) in zip(names, table.iterrows(), strict=True):
        accuracy = f"{100 * row['accuracy']:.1f} +- {100 * row['accuracy_std']:.1f}"
        interval = f"{100 * row['accuracy_low']:.1f} .. {100 * row['accuracy_high']:.1f}"
        loss = f"{row['macro_log_loss']:.3f} +- {row['macro_log_loss_std']:.3f}"
        lines.append(
            f"{name:{width}}  {accuracy:12}  {interval:14}  {loss:14}  {row['fit_time']:7.1f}"
        )
    return "\n".join(lines)

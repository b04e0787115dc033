"""Cross-validated results side by side: of any classifiers, and of the published table."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Mapping
from contextlib import nullcontext
from numbers import Integral
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_consistent_length
from tqdm import tqdm

from skavsc._parallel import Parallel, delayed
from skavsc.evaluation._cross_validation import Fold, check_folds, fit_and_predict
from skavsc.evaluation._metrics import accuracy_interval, check_scored, macro_log_loss

CLASSIFIERS = ("audio", "visual", "early", "late")

#: The accuracies of the paper's table 2, in per cent: TAU Urban Audio-Visual Scenes 2021, the
#: development set's own validation fold, segments.
PUBLISHED_ACCURACY = {
    ("log-mel", "audio"): 68.4,
    ("log-mel", "visual"): 87.0,
    ("log-mel", "early"): 88.5,
    ("log-mel", "late"): 88.7,
    ("gammatone", "audio"): 69.0,
    ("gammatone", "visual"): 87.0,
    ("gammatone", "early"): 89.2,
    ("gammatone", "late"): 90.0,
}


class FoldScore(NamedTuple):
    """The scores of one classifier on one fold."""

    accuracy: float
    macro_log_loss: float
    n_clips: int
    fit_time: float = np.nan


def results_table(
    estimators: Mapping[str, Any],
    X: Any,
    y: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    cv: Any = 5,
    sample_weight: ArrayLike | None = None,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> pd.DataFrame:
    """Cross-validate several classifiers on the same folds.

    Parameters
    ----------
    estimators : dict of str to classifier
        The classifiers, with ``predict_proba``, by the names of their rows.
    X : structured array, pandas.DataFrame, array or sequence of n_clips rows
        The clips.
    y : array-like of shape (n_clips,)
        The labels.
    groups : array-like of shape (n_clips,), optional
        The recording location of each clip: none is in training and test at once. It is also
        passed to classifiers whose ``fit`` takes ``groups``.
    cv : int, cross-validation splitter or iterable, default=5
        The folds. A number means stratified ones, which keep groups together if there are any.
    sample_weight : array-like of shape (n_clips,), optional
        The weights of the clips, at least 0, in the metrics and in the ``fit`` of classifiers that
        take them. Weight 0 is the same as absent.
    n_jobs : int, default=None
        Number of fits at the same time, as in joblib; None is 1.
    verbose : int, default=0
        The verbosity of joblib: above 0 it reports its progress over the fits.

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
    cross_validate_scenes : All about one classifier.

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
    check_consistent_length(X, y, groups, sample_weight)
    labels = np.asarray(y)
    weights = None if sample_weight is None else np.asarray(sample_weight, dtype=float)
    folds = check_folds(cv, labels, groups)
    cells = [(name, fold) for name in estimators for fold in folds]
    found = Parallel(n_jobs=n_jobs, verbose=verbose)(
        delayed(_score)(clone(estimators[name]), X, labels, fold, groups, weights)
        for name, fold in cells
    )
    scores: dict[str, list[FoldScore]] = {name: [] for name in estimators}
    for (name, _), score in zip(cells, found, strict=True):
        scores[name].append(score)
    rows = {name: summarise(of_folds) for name, of_folds in scores.items()}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("classifier")


def _score(
    estimator: Any,
    X: Any,
    y: NDArray[Any],
    fold: Fold,
    groups: ArrayLike | None,
    sample_weight: NDArray[np.float64] | None,
) -> FoldScore:
    outcome = fit_and_predict(estimator, X, y, fold, groups, sample_weight)
    weights = None if sample_weight is None else sample_weight[fold[1]]
    score = fold_score(y[fold[1]], outcome.probabilities, outcome.classes, weights)
    return score._replace(fit_time=outcome.fit_time)


def fold_score(
    y: NDArray[Any],
    probabilities: NDArray[Any],
    classes: NDArray[Any],
    sample_weight: NDArray[np.float64] | None = None,
) -> FoldScore:
    """Score the probabilities of one fold's test clips."""
    scored = check_scored(y, probabilities, classes, sample_weight)
    return FoldScore(
        accuracy=float(np.average(scored.correct, weights=scored.weights)),
        macro_log_loss=macro_log_loss(
            y, probabilities, labels=classes, sample_weight=sample_weight
        ),
        n_clips=len(scored.codes),
    )


def summarise(scores: list[FoldScore]) -> dict[str, float]:
    """Compute the row of a table: means and deviations over folds, and the scores of each fold."""
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


def format_results(table: pd.DataFrame, *, published: Mapping[Any, float] | None = None) -> str:
    """Format a table of results as text of fixed width.

    Parameters
    ----------
    table : pandas.DataFrame
        As from `results_table` or `cross_validate_secrnn`.
    published : mapping of row to float, optional
        Accuracies in per cent to print beside those of the table, by the labels of its rows, such
        as `PUBLISHED_ACCURACY`.

    Returns
    -------
    str
        One line a classifier: accuracy in per cent with its standard deviation over folds and its
        95 % interval, macro log loss likewise, the seconds that a fold takes to fit where they are
        known, and the published accuracy.

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
                  accuracy % 95 % interval   macro log loss fit, s
    late fusion  86.5 +- 1.2  85.3 .. 87.7  0.495 +- 0.030   12.0
    """
    rows = table.to_dict("records")
    columns = {
        "accuracy %": [
            f"{100 * row['accuracy']:.1f} +- {100 * row['accuracy_std']:.1f}" for row in rows
        ],
        "95 % interval": [
            f"{100 * row['accuracy_low']:.1f} .. {100 * row['accuracy_high']:.1f}" for row in rows
        ],
        "macro log loss": [
            f"{row['macro_log_loss']:.3f} +- {row['macro_log_loss_std']:.3f}" for row in rows
        ],
    }
    if not table["fit_time"].isna().all():
        columns["fit, s"] = [f"{row['fit_time']:.1f}" for row in rows]
    if published is not None:
        columns["published %"] = [
            f"{published[name]:.1f}" if name in published else "-" for name in table.index
        ]
    index = table.index.set_names([None] * table.index.nlevels)
    text: str = pd.DataFrame(columns, index=index).to_string()
    return text


def cross_validate_secrnn(
    framework: Any,
    features: Mapping[str, NDArray[Any]],
    y: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    cv: Any = 5,
    unit: str = "clip",
    memory: str | Path | joblib.Memory | None = None,
    verbose: int | bool = 0,
) -> pd.DataFrame:
    """Cross-validate the audio and visual networks and their early and late fusion.

    In each fold the audio network is trained for every kind of features and the visual network
    once, and both fusions build on them: they differ in nothing but the fusion.

    Parameters
    ----------
    framework : SECRNNClassifier
        How the networks are trained; its ``fusion`` and ``memory`` are not used.
    features : dict of str to structured array of shape (n_clips,)
        The kinds of features by name, each with the fields ``audio`` and ``visual``, as
        `ModalityUnion` makes them. The field ``visual`` is the same in all.
    y : array-like of shape (n_clips,)
        The labels.
    groups : array-like of shape (n_clips,), optional
        The recording locations. None is in training and test at once, nor split inside the
        training set between training and validation.
    cv : int, cross-validation splitter or iterable, default=5
        The folds. A number means stratified ones, which keep groups together if there are any.
    unit : {"clip", "segment"}, default="clip"
        What is scored: whole clips, by the mean over their segments, or every segment by itself,
        as in the challenge.
    memory : path-like or joblib.Memory, optional
        A folder to keep every trained network in, known by its data and parameters. A run that
        is cut short goes on with the network that it was at, and one with other features or
        folds added trains only what is new. It needs a ``random_state`` that is a number.
    verbose : bool or int, default=0
        Whether to show a progress bar over the networks to train.

    Returns
    -------
    pandas.DataFrame
        One row for each kind of features and each of audio, visual, early and late, with the
        columns of `results_table`; ``n_clips`` counts the clips or segments that were scored, and
        the intervals are for that number. Segments of a clip are much alike, so the intervals of
        segments are too narrow. ``fit_time`` is NaN: the classifiers share their training.

    Raises
    ------
    ValueError
        If there are no features, lengths differ, or the unit is unknown.

    See Also
    --------
    results_table : The same for any classifiers.
    format_results : The table as text, also beside ``PUBLISHED_ACCURACY``.

    References
    ----------
    Naranjo-Alcazar et al.: Squeeze-excitation convolutional recurrent neural networks for
    audio-visual scene classification. DCASE 2021, arXiv 2107.13180, table 2.

    Examples
    --------
    >>> from skavsc import SECRNNClassifier
    >>> from skavsc.evaluation import cross_validate_secrnn
    >>> cross_validate_secrnn(SECRNNClassifier(), {}, ["tram", "park"])
    Traceback (most recent call last):
    ...
    ValueError: features is empty; give a dict of names and structured arrays
    """
    if not features:
        raise ValueError("features is empty; give a dict of names and structured arrays")
    if unit not in ("clip", "segment"):
        raise ValueError(f'unit={unit!r} must be "clip" or "segment"')
    labels = np.asarray(y)
    check_consistent_length(labels, groups, *features.values())
    groups = None if groups is None else np.asarray(groups)
    folds = check_folds(cv, labels, groups)
    # One seed for all: the fusions of a fold build on the same subnetworks.
    seed = framework.random_state
    if not isinstance(seed, Integral):
        seed = check_random_state(seed).randint(np.iinfo(np.int32).max)
    fits = list(itertools.product(range(len(folds)), features, ("early", "late")))
    scores: dict[tuple[str, str], dict[int, FoldScore]] = {
        (kind, name): {} for kind in features for name in CLASSIFIERS
    }
    # Both fusions, and all kinds of features, find the subnetworks that they share in there.
    with tempfile.TemporaryDirectory() if memory is None else nullcontext(memory) as kept:
        bar = tqdm(fits, desc="folds", unit="fusion", disable=not verbose)
        for fold, kind, fusion in bar:
            bar.set_postfix_str(f"fold {fold + 1}, {kind}, {fusion}")
            train, test = folds[fold]
            inside = None if groups is None else groups[train]
            whole = clone(framework).set_params(fusion=fusion, memory=kept, random_state=seed)
            whole.fit(features[kind][train], labels[train], groups=inside)
            parts = {"audio": whole.audio_, "visual": whole.visual_, fusion: whole}
            for name, classifier in parts.items():
                scores[kind, name][fold] = _score_units(
                    classifier, features[kind][test], labels[test], unit
                )
    table = pd.DataFrame(
        {name: summarise(list(found.values())) for name, found in scores.items()}
    ).T
    return table.rename_axis(["features", "classifier"])


def _score_units(classifier: Any, X: NDArray[Any], y: NDArray[Any], unit: str) -> FoldScore:
    """Score a classifier on the test clips of a fold, or on their segments that are there."""
    if unit == "clip":
        return fold_score(y, classifier.predict_proba(X), classifier.classes_)
    probabilities = classifier.predict_proba_segments(X)
    clip, segment = np.nonzero(~np.isnan(probabilities[..., 0]))
    return fold_score(y[clip], probabilities[clip, segment], classifier.classes_)

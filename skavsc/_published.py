"""The published results table: features by subnetworks and fusions, cross-validated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, check_cv
from sklearn.utils.validation import check_consistent_length
from tqdm import tqdm

from skavsc.classifiers import SECRNNClassifier
from skavsc.evaluation._table import FoldScore, fold_score, summarise

CELLS = ("audio", "visual", "early", "late")


def published_table(
    features: Mapping[str, NDArray[Any]],
    y: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    cv: Any = 5,
    framework: SECRNNClassifier | None = None,
    verbose: int | bool = 0,
) -> pd.DataFrame:
    """Cross-validate the audio and visual networks and their early and late fusion.

    In each fold the audio network is trained for every kind of features and the visual network
    once, and both fusions build on them: the cells of a row differ in nothing but the fusion.

    Parameters
    ----------
    features : dict of str to structured array of shape (n_clips,)
        The kinds of features by name, each with the fields ``audio`` and ``visual``, as
        `ModalityUnion` makes them. The field ``visual`` is the same in all.
    y : array-like of shape (n_clips,)
        The labels.
    groups : array-like of shape (n_clips,), optional
        The recording locations. None is in training and test at once, nor split inside the
        training set to stop training by.
    cv : int, cross-validation splitter or iterable, default=5
        The folds. A number means stratified ones, which keep groups together if there are any.
    framework : SECRNNClassifier, optional
        How the networks are trained; its ``fusion`` is not used. By default SECRNNClassifier().
    verbose : bool or int, default=0
        Whether to show a progress bar over the networks to train.

    Returns
    -------
    pandas.DataFrame
        One row for each kind of features and each of audio, visual, early and late, with the
        columns of `results_table`.

    Raises
    ------
    ValueError
        If there are no features, or lengths differ.

    See Also
    --------
    skavsc.evaluation.results_table : The same for any classifiers.

    References
    ----------
    Naranjo-Alcazar et al.: Squeeze-excitation convolutional recurrent neural networks for
    audio-visual scene classification. DCASE 2021, arXiv 2107.13180, table 2.

    Examples
    --------
    >>> from skavsc import published_table
    >>> published_table({}, ["tram", "park"])
    Traceback (most recent call last):
    ...
    ValueError: features is empty; give a dict of names and structured arrays
    """
    if not features:
        raise ValueError("features is empty; give a dict of names and structured arrays")
    labels = np.asarray(y)
    check_consistent_length(labels, groups, *features.values())
    groups = None if groups is None else np.asarray(groups)
    if isinstance(cv, int | np.integer):
        cv = StratifiedKFold(cv) if groups is None else StratifiedGroupKFold(cv)
    splitter = check_cv(cv, labels, classifier=True)
    folds = list(splitter.split(np.zeros((len(labels), 1)), labels, groups))
    places = [(fold, kind) for fold in range(len(folds)) for kind in features]
    scores: dict[tuple[str, str], list[FoldScore]] = {
        (kind, cell): [] for kind in features for cell in CELLS
    }
    visual = None
    bar = tqdm(places, desc="folds", unit="framework", disable=not verbose)
    for fold, kind in bar:
        train, test = folds[fold]
        bar.set_postfix_str(f"fold {fold + 1}, {kind}")
        visual = visual if kind != next(iter(features)) else None
        late = clone(framework or SECRNNClassifier()).set_params(fusion="late")
        if visual is not None:
            late.set_params(visual=FrozenEstimator(visual))
        inside = None if groups is None else groups[train]
        X_train, X_test = features[kind][train], features[kind][test]
        late.fit(X_train, labels[train], groups=inside)
        visual = late.visual_
        early = clone(late).set_params(
            fusion="early", audio=FrozenEstimator(late.audio_), visual=FrozenEstimator(visual)
        )
        early.fit(X_train, labels[train], groups=inside)
        for cell, classifier in zip(CELLS, (late.audio_, visual, early, late), strict=True):
            scores[kind, cell].append(
                fold_score(labels[test], classifier.predict_proba(X_test), classifier.classes_)
            )
    table = pd.DataFrame({name: summarise(found) for name, found in scores.items()}).T
    return table.rename_axis(["features", "classifier"])


def format_published(table: pd.DataFrame) -> str:
    """Give a table of `published_table` as text, laid out like the published one.

    Parameters
    ----------
    table : pandas.DataFrame
        As from `published_table`.

    Returns
    -------
    str
        One line for each kind of features; accuracy in per cent and macro log loss of audio,
        visual, early and late fusion.

    Examples
    --------
    >>> import pandas as pd
    >>> from skavsc import format_published
    >>> index = pd.MultiIndex.from_product([["gammatone"], ["audio", "visual", "early", "late"]])
    >>> table = pd.DataFrame(
    ...     {"accuracy": [0.69, 0.87, 0.892, 0.9], "macro_log_loss": [1.0, 0.5, 0.4, 0.3]}, index
    ... )
    >>> print(format_published(table))
    accuracy %, macro log loss   audio         visual        early fusion  late fusion
    gammatone                    69.0   1.000  87.0   0.500  89.2   0.400  90.0   0.300
    """
    kinds = list(dict.fromkeys(table.index.get_level_values(0)))
    heading = "accuracy %, macro log loss"
    titles = ("audio", "visual", "early fusion", "late fusion")
    lines = [f"{heading}   " + "  ".join(f"{title:12}" for title in titles).rstrip()]
    for kind in kinds:
        cells = [table.loc[(kind, cell)] for cell in CELLS]
        figures = "  ".join(
            f"{100 * cell['accuracy']:<5.1f}  {cell['macro_log_loss']:.3f}" for cell in cells
        )
        lines.append(f"{kind:{len(heading)}}   {figures}")
    return "\n".join(lines)

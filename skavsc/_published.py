"""The published results table: features by subnetworks and fusions, cross-validated."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Mapping
from contextlib import nullcontext
from numbers import Integral
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, check_cv
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_consistent_length
from tqdm import tqdm

from skavsc.classifiers import SECRNNClassifier
from skavsc.evaluation._table import FoldScore, fold_score, summarise

TITLES = {"audio": "audio", "visual": "visual", "early": "early fusion", "late": "late fusion"}
CELLS = tuple(TITLES)

#: The accuracies of the paper's table 2, in per cent: TAU Urban Audio-Visual Scenes 2021, the
#: development set's own validation fold, seconds.
PUBLISHED = {
    ("log-mel", "audio"): 68.4,
    ("log-mel", "visual"): 87.0,
    ("log-mel", "early"): 88.5,
    ("log-mel", "late"): 88.7,
    ("gammatone", "audio"): 69.0,
    ("gammatone", "visual"): 87.0,
    ("gammatone", "early"): 89.2,
    ("gammatone", "late"): 90.0,
}


def published_table(
    features: Mapping[str, NDArray[Any]],
    y: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    cv: Any = 5,
    framework: SECRNNClassifier | None = None,
    unit: str = "clip",
    memory: str | Path | joblib.Memory | None = None,
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
        How the networks are trained; its ``fusion`` and ``memory`` are not used. By default
        SECRNNClassifier().
    unit : {"clip", "second"}, default="clip"
        What is judged: whole clips, by the mean over their seconds, or every second by itself, as
        the challenge does.
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
        columns of `results_table`; ``n_clips`` counts what was judged, and the intervals are for
        that number. Seconds of a clip are much alike, so those of seconds are too narrow.

    Raises
    ------
    ValueError
        If there are no features, lengths differ, or the unit is unknown.

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
    if unit not in ("clip", "second"):
        raise ValueError(f'unit={unit!r} must be "clip" or "second"')
    labels = np.asarray(y)
    check_consistent_length(labels, groups, *features.values())
    groups = None if groups is None else np.asarray(groups)
    if isinstance(cv, int | np.integer):
        cv = StratifiedKFold(cv) if groups is None else StratifiedGroupKFold(cv)
    splitter = check_cv(cv, labels, classifier=True)
    folds = list(splitter.split(np.zeros((len(labels), 1)), labels, groups))
    framework = SECRNNClassifier() if framework is None else framework
    # One seed for all: the fusions of a fold build on the same subnetworks.
    seed = framework.random_state
    if not isinstance(seed, Integral):
        seed = check_random_state(seed).randint(np.iinfo(np.int32).max)
    places = list(itertools.product(range(len(folds)), features, CELLS[2:]))
    scores: dict[tuple[str, str], dict[int, FoldScore]] = {
        (kind, cell): {} for kind in features for cell in CELLS
    }
    # Both fusions, and all kinds of features, find the subnetworks that they share in there.
    with tempfile.TemporaryDirectory() if memory is None else nullcontext(memory) as kept:
        bar = tqdm(places, desc="folds", unit="fusion", disable=not verbose)
        for fold, kind, cell in bar:
            bar.set_postfix_str(f"fold {fold + 1}, {kind}, {cell}")
            train, test = folds[fold]
            inside = None if groups is None else groups[train]
            whole = clone(framework).set_params(fusion=cell, memory=kept, random_state=seed)
            whole.fit(features[kind][train], labels[train], groups=inside)
            parts = {"audio": whole.audio_, "visual": whole.visual_, cell: whole}
            for name, classifier in parts.items():
                scores[kind, name][fold] = _judged(
                    classifier, features[kind][test], labels[test], unit
                )
    table = pd.DataFrame(
        {name: summarise(list(found.values())) for name, found in scores.items()}
    ).T
    return table.rename_axis(["features", "classifier"])


def _judged(classifier: Any, X: NDArray[Any], y: NDArray[Any], unit: str) -> FoldScore:
    """Score a classifier on the test clips of a fold, or on the seconds of them that are there."""
    if unit == "clip":
        return fold_score(y, classifier.predict_proba(X), classifier.classes_)
    probabilities = classifier.predict_proba_segments(X)
    clip, second = np.nonzero(~np.isnan(probabilities[..., 0]))
    return fold_score(y[clip], probabilities[clip, second], classifier.classes_)


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
    lines = [f"{heading}   " + "  ".join(f"{title:12}" for title in TITLES.values()).rstrip()]
    for kind in kinds:
        cells = [table.loc[(kind, cell)] for cell in CELLS]
        figures = "  ".join(
            f"{100 * cell['accuracy']:<5.1f}  {cell['macro_log_loss']:.3f}" for cell in cells
        )
        lines.append(f"{kind:{len(heading)}}   {figures}")
    return "\n".join(lines)


def format_comparison(table: pd.DataFrame) -> str:
    """Give a table of `published_table` as text, each cell beside the published accuracy.

    Parameters
    ----------
    table : pandas.DataFrame
        As from `published_table`; the kinds of features that the paper has are called
        ``"log-mel"`` and ``"gammatone"``.

    Returns
    -------
    str
        One line for each kind of features and classifier: accuracy in per cent with its 95 %
        interval, macro log loss, and the accuracy that the paper gives for the development set
        of TAU Urban Audio-Visual Scenes 2021, which is comparable on that set only.

    References
    ----------
    Naranjo-Alcazar et al.: Squeeze-excitation convolutional recurrent neural networks for
    audio-visual scene classification. DCASE 2021, arXiv 2107.13180.

    Examples
    --------
    >>> import pandas as pd
    >>> from skavsc import format_comparison
    >>> index = pd.MultiIndex.from_tuples([("gammatone", "late")])
    >>> table = pd.DataFrame(
    ...     {
    ...         "accuracy": [0.891],
    ...         "accuracy_low": [0.881],
    ...         "accuracy_high": [0.901],
    ...         "macro_log_loss": [0.41],
    ...     },
    ...     index,
    ... )
    >>> print(format_comparison(table))
    features   classifier    accuracy %   95 % interval   macro log loss   published %
    gammatone  late fusion         89.1    88.1 .. 90.1            0.410          90.0
    """
    lines = ["features   classifier    accuracy %   95 % interval   macro log loss   published %"]
    for (kind, cell), row in zip(table.index.to_list(), table.to_dict("records"), strict=True):
        interval = f"{100 * row['accuracy_low']:.1f} .. {100 * row['accuracy_high']:.1f}"
        published = PUBLISHED.get((kind, cell))
        lines.append(
            f"{kind:9}  {TITLES[cell]:12}  {100 * row['accuracy']:10.1f}  {interval:>14}  "
            f"{row['macro_log_loss']:15.3f}  {'-' if published is None else published:>12}"
        )
    return "\n".join(lines)

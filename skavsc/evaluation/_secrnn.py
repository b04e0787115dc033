"""The published results table: the networks of SE-CRNN and their fusions, cross-validated."""

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
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_consistent_length
from tqdm import tqdm

from skavsc.evaluation._cross_validation import check_folds
from skavsc.evaluation._table import FoldScore, fold_score, summarise

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
                scores[kind, name][fold] = _score(
                    classifier, features[kind][test], labels[test], unit
                )
    table = pd.DataFrame(
        {name: summarise(list(found.values())) for name, found in scores.items()}
    ).T
    return table.rename_axis(["features", "classifier"])


def _score(classifier: Any, X: NDArray[Any], y: NDArray[Any], unit: str) -> FoldScore:
    """Score a classifier on the test clips of a fold, or on their segments that are there."""
    if unit == "clip":
        return fold_score(y, classifier.predict_proba(X), classifier.classes_)
    probabilities = classifier.predict_proba_segments(X)
    clip, segment = np.nonzero(~np.isnan(probabilities[..., 0]))
    return fold_score(y[clip], probabilities[clip, segment], classifier.classes_)

"""Held-out clips to stop training by, inside the training set."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold


def hold_out(
    labels: NDArray[Any], groups: NDArray[Any] | None, fraction: float, seed: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Split clips into those to train on and those to validate on, groups kept whole.

    Parameters
    ----------
    labels : ndarray of shape (n_clips,)
        The classes.
    groups : ndarray of shape (n_clips,) or None
        The locations; None treats every clip as a location of its own.
    fraction : float
        About how much is held out, in (0, 0.5].
    seed : int
        Which of the possible splits is taken.

    Returns
    -------
    train, validation : ndarray of int
        Sorted rows; every class is in ``train``.

    Raises
    ------
    ValueError
        If no split leaves every class something to train on.
    """
    groups = np.arange(len(labels)) if groups is None else groups
    n_groups = len(np.unique(groups))
    n_splits = min(max(2, round(1 / fraction)), n_groups)
    if n_splits >= 2:
        n_splits = min(n_splits, int(np.unique(labels, return_counts=True)[1].max()))
    if n_splits >= 2:
        folds = StratifiedGroupKFold(n_splits, shuffle=True, random_state=seed % 2**32)
        with warnings.catch_warnings():
            # A class in fewer groups than folds is no fault here: only one fold is used.
            warnings.filterwarnings("ignore", "The least populated class", UserWarning)
            candidates = list(folds.split(labels, labels, groups))
        n_classes = len(np.unique(labels))
        complete = [split for split in candidates if len(np.unique(labels[split[0]])) == n_classes]
        # Of the folds that leave every class in training, the one that judges most classes.
        if complete:
            return max(complete, key=lambda split: len(np.unique(labels[split[1]])))
    raise ValueError(
        f"validation_fraction={fraction} cannot be held out: of {n_groups} groups (locations) "
        "none can be spared without leaving a class without training clips; give more clips or "
        "locations, pass validation_data to fit, or set validation_fraction=0 to train for all "
        "epochs without early stopping"
    )

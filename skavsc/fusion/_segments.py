"""Late fusion second by second, of branches that judge every second of a clip."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from skavsc.exceptions import MissingModalityError
from skavsc.fusion._branches import BranchInput, rest_of
from skavsc.fusion._meta import MetaModels


def judges_seconds(estimator: Any) -> bool:
    """Tell whether a branch, or the classifier at its end, judges every second of a clip."""
    if isinstance(estimator, Pipeline):
        estimator = estimator[-1]
    return hasattr(estimator, "predict_proba_segments")


def branch_segments(
    inputs: list[BranchInput], fitted: list[Any], classes: NDArray[Any], n_clips: int
) -> NDArray[np.float64]:
    """Give the branches' probabilities of every second.

    Parameters
    ----------
    inputs : list of BranchInput
        What each branch sees.
    fitted : list of estimators
        The branches, with their leading steps (which the inputs went through already).
    classes : ndarray of shape (n_classes,)
        The sorted labels.
    n_clips : int
        The number of clips.

    Returns
    -------
    ndarray of shape (n_clips, n_seconds, n_branches, n_classes)
        NaN where a branch cannot judge a second; as many seconds as the longest branch has.
    """
    found = []
    for given, branch in zip(inputs, fitted, strict=True):
        values, classifier = given.values, rest_of(branch)
        if values is None:
            found.append(np.empty((0, 0, len(classes))))
            continue
        if isinstance(classifier, Pipeline):
            values, classifier = classifier[:-1].transform(values), classifier[-1]
        seconds = classifier.predict_proba_segments(values)
        aligned = np.zeros((*seconds.shape[:2], len(classes)))
        aligned[..., np.searchsorted(classes, classifier.classes_)] = seconds
        aligned[np.isnan(seconds[..., 0])] = np.nan
        found.append(aligned / aligned.sum(axis=2, keepdims=True))
    n_seconds = max(seconds.shape[1] for seconds in found)
    result = np.full((n_clips, n_seconds, len(inputs), len(classes)), np.nan)
    for number, (given, seconds) in enumerate(zip(inputs, found, strict=True)):
        result[given.rows, : seconds.shape[1], number] = seconds
    return result


def fuse_segments(meta: MetaModels, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Join the branches in every second by the rule for the modalities that it has.

    Parameters
    ----------
    meta : MetaModels
        The rules.
    probabilities : ndarray of shape (n_clips, n_seconds, n_branches, n_classes)
        From `branch_segments`.

    Returns
    -------
    ndarray of shape (n_clips, n_seconds, n_classes)
        NaN where no branch judges a second.

    Raises
    ------
    MissingModalityError
        If a second has a set of modalities that no clip had in ``fit``.
    """
    there = ~np.isnan(probabilities[..., 0]).all(axis=2)
    fused = np.full((*there.shape, probabilities.shape[3]), np.nan)
    if there.any():
        try:
            fused[there] = meta.predict_proba(probabilities[there], None)
        except MissingModalityError as error:
            raise MissingModalityError(
                f"of the {np.count_nonzero(there)} seconds that can be judged, {error}"
            ) from error
    return fused

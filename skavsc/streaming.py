"""Predictions of any number of clips in little memory."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline
from tqdm import tqdm

from skavsc._clips import run_ahead
from skavsc._sklearn_compat import (
    HasMethods,
    Interval,
    _num_samples,
    _safe_indexing,
    validate_params,
)

__all__ = ["predict_clips"]


@validate_params(
    {
        "estimator": [HasMethods("predict_proba")],
        "X": "no_validation",
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "verbose": ["verbose"],
    },
    prefer_skip_nested_validation=True,
)
def predict_clips(
    estimator: Any, X: Any, *, batch_size: int = 16, verbose: int | bool = 0
) -> NDArray[Any]:
    """Predict the class probabilities of clips, some at a time.

    ``pipeline.predict_proba(X)`` computes the features of all clips first, gigabytes for some
    thousand. Here the memory does not grow with their number: features are dropped as soon as a
    batch is predicted. Two batches are in work at once, so that files of the next one are decoded
    while the networks compute this one.

    Parameters
    ----------
    estimator : fitted Pipeline or classifier
        It has ``predict_proba``, and no step may depend on other rows than a clip's own.
    X : clip table, sequence or array
        The n_clips clips, as for ``estimator.predict_proba``.
    batch_size : int, default=16
        Maximum number of clips in a batch, at least 1.
    verbose : int or bool, default=0
        Whether to show a progress bar.

    Returns
    -------
    ndarray of shape (n_clips, n_classes)
        The probabilities in the order of ``estimator.classes_``. In a Pipeline, NaN for clips of
        which no modality has features.

    Raises
    ------
    Exception
        What ``estimator.predict_proba`` raises. Rows that it names are counted from the first of
        the batch, which a note on the error tells.

    See Also
    --------
    skavsc.make_scene_classifier : Pipelines from a clip table to labels.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from skavsc import TimePooling, predict_clips
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(size=(40, 5, 8)), np.arange(40) % 2
    >>> pipeline = make_pipeline(TimePooling(), LogisticRegression()).fit(X, y)
    >>> bool(np.allclose(predict_clips(pipeline, X, batch_size=7), pipeline.predict_proba(X)))
    True
    """
    n_clips = _num_samples(X)
    if n_clips <= batch_size:
        return _predict(estimator, X)
    parts = [slice(first, first + batch_size) for first in range(0, n_clips, batch_size)]

    def predict(part: slice) -> NDArray[Any]:
        try:
            return _predict(estimator, _safe_indexing(X, part))
        except Exception as error:
            error.add_note(f"In the batch of clips that begins with row {part.start}.")
            raise

    with tqdm(total=n_clips, desc="clips", unit="clip", disable=not verbose) as bar:
        probabilities = []
        for rows in run_ahead(predict, parts, n_threads=2):
            probabilities.append(rows)
            bar.update(len(rows))
    return np.concatenate(probabilities)


def _predict(estimator: Any, X: Any) -> NDArray[Any]:
    if not isinstance(estimator, Pipeline) or len(estimator) < 2:
        return np.asarray(estimator.predict_proba(X))
    features = estimator[:-1].transform(X)
    there = _with_features(features)
    if there.all():
        return np.asarray(estimator[-1].predict_proba(features))
    probabilities = np.full((len(there), len(estimator.classes_)), np.nan)
    if there.any():
        probabilities[there] = estimator[-1].predict_proba(features[there])
    return probabilities


def _with_features(features: Any) -> NDArray[np.bool_]:
    """Return which clips have features of at least one modality."""
    features = np.asarray(features)
    names = features.dtype.names
    there = np.zeros(len(features), dtype=bool)
    for field in [features] if names is None else [features[name] for name in names]:
        if field.dtype.kind == "f":
            there |= ~np.isnan(field.reshape(len(field), -1)).all(axis=1)
        elif field.dtype.kind == "O":
            there |= np.array([item is not None for item in field])
        else:
            there[:] = True
    return there

"""Steps of the training that are kept on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator

from skavsc.classifiers._data import TrainingSet

# What a step leaves on its classifier.
_OUTCOME = ("classes_", "keras_classifier_", "embedder_", "_built_with")

# Parameters that do not change the networks.
_IDLE = {
    "clip_average",
    "memory",
    "mmap_mode",
    "n_jobs",
    "starts_per_second",
    "verbose",
    "warm_start",
}


def recipe_of(value: Any) -> Any:
    """Give what a classifier, or a parameter of it, is known by.

    Fitted networks are known by their layers and weights: their pickles hold a time stamp, so
    that of two equal ones each would be a new one.

    Parameters
    ----------
    value : object
        The classifier or parameter.

    Returns
    -------
    object
        Something with the same `joblib.hash` in every process.
    """
    if isinstance(value, FrozenEstimator):
        fitted = value.estimator
        embedder = getattr(fitted, "embedder_", None)
        return recipe_of(fitted), recipe_of(fitted.keras_classifier_.model_), recipe_of(embedder)
    if isinstance(value, BaseEstimator):
        params = value.get_params(deep=False).items()
        return type(value), {name: recipe_of(part) for name, part in params if name not in _IDLE}
    # A Keras model; asked for so, as Keras need not be loaded here.
    if hasattr(value, "get_weights"):
        return value.to_json(), value.get_weights()
    return value


def take_step(
    recipe: Any,
    training: TrainingSet,
    epochs: int | None,
    classifier: Any,
    train: Callable[..., Any],
) -> dict[str, Any]:
    """Train a classifier and give what it learnt.

    Parameters
    ----------
    recipe : object
        From `recipe_of`; with the training set and epochs it is what the outcome is known by.
    training : TrainingSet
        What is trained with.
    epochs : int or None
        How many; None for the classifier's own number.
    classifier : SceneClassifier
        What is trained.
    train : callable
        Trains it.

    Returns
    -------
    dict of str to any
        The fitted attributes by name.
    """
    train(training, going_on=False, epochs=epochs)
    return {name: getattr(classifier, name) for name in _OUTCOME if hasattr(classifier, name)}

"""Steps of the training that are kept on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sklearn.base import clone

from skavsc.classifiers._data import TrainingSet

# What a step leaves on its classifier.
_OUTCOME = ("classes_", "keras_classifier_", "embedder_")


def recipe_of(classifier: Any) -> Any:
    """Give a classifier that is not fitted, without what does not change the networks."""
    idle = {
        name: None if name.endswith("memory") else False
        for name in classifier.get_params()
        # What is frozen is fitted, and takes no other parameters.
        if name.endswith(("memory", "verbose", "warm_start")) and "__estimator__" not in name
    }
    return clone(classifier).set_params(**idle)


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
    recipe : SceneClassifier
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

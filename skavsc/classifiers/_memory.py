"""Trained networks that are kept on disk, each under a key of all that it depends on."""

from __future__ import annotations

import os
from collections.abc import Callable
from numbers import Integral
from typing import Any

import joblib
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_memory

import skavsc
from skavsc.pretrained import choose_precision
from skavsc.training import TrainingSet

Train = Callable[..., Any]

# The fitted attributes that training leaves on a classifier.
_OUTCOME = ("classes_", "keras_classifier_", "embedder_", "_built_with")

# Parameters that do not change the networks.
_WITHOUT_EFFECT = {
    "clip_average",
    "memory",
    "mmap_mode",
    "n_jobs",
    "runtime",
    "starts_per_second",
    "verbose",
    "warm_start",
}


def train_or_recall(
    memory: str | os.PathLike[str] | joblib.Memory,
    classifier: Any,
    train: Train,
    training_set: TrainingSet,
    **options: Any,
) -> None:
    """Train a classifier, or set the fitted attributes of an earlier equal training.

    Parameters
    ----------
    memory : path-like or joblib.Memory
        Where trained networks are kept.
    classifier : SceneClassifier
        The classifier.
    train : callable
        ``train(training_set, **options)`` trains it.
    training_set : TrainingSet
        The clips.
    **options : objects
        Further arguments of ``train``, on which the outcome depends.
    """
    # joblib's Memory takes no other path-like than str and Path.
    memory = check_memory(os.fspath(memory) if isinstance(memory, os.PathLike) else memory)
    recall = memory.cache(_trained, ignore=["classifier", "train"])
    outcome = recall(
        description(classifier), environment(), training_set, options, classifier, train
    )
    for name, value in outcome.items():
        setattr(classifier, name, value)


def require_fixed_seed(random_state: Any, memory: Any) -> None:
    """Raise if the seed is not fixed: no two fits would be the same, and nothing be used again."""
    if not isinstance(random_state, Integral):
        raise ValueError(
            f"random_state={random_state!r} with memory={memory!r}: no two fits are the same, so "
            "that nothing kept is used again; set random_state to a number"
        )


def description(value: Any) -> Any:
    """Return the part of the key for a classifier, or for a parameter of it.

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
        keras_classifier = getattr(fitted, "keras_classifier_", None)
        network = getattr(keras_classifier, "model_", None)
        digest = getattr(fitted, "digest_", None)
        embedder = getattr(fitted, "embedder_", None)
        return description(fitted), description(network), digest, description(embedder)
    if isinstance(value, BaseEstimator):
        params = value.get_params(deep=False).items()
        known = {name: description(part) for name, part in params if name not in _WITHOUT_EFFECT}
        if "precision" in known:
            # "auto" is another precision on other machines, which may share the folder.
            known["precision"] = choose_precision(known["precision"])
        return type(value), known
    if isinstance(value, list | tuple):
        return [description(part) for part in value]
    # A Keras model, found by its method, because Keras need not be loaded here.
    if hasattr(value, "get_weights"):
        return value.to_json(), value.get_weights()
    return value


def environment() -> dict[str, str]:
    """Return the versions of what the trained weights depend on."""
    import importlib.metadata

    import keras

    backend = keras.backend.backend()
    packages = ("keras", "numpy", backend)
    return {
        "backend": backend,
        "skavsc": skavsc.__version__,
        **{name: importlib.metadata.version(name) for name in packages},
    }


def _trained(
    description: Any,
    environment: dict[str, str],
    training_set: TrainingSet,
    options: dict[str, Any],
    classifier: Any,
    train: Train,
) -> dict[str, Any]:
    """Train a classifier and return its fitted attributes by name."""
    train(training_set, **options)
    return {name: getattr(classifier, name) for name in _OUTCOME if hasattr(classifier, name)}

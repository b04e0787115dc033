"""The parts of the framework, and which of their parameters it decides itself."""

from __future__ import annotations

import inspect
from typing import Any

from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from skavsc.classifiers._base import SceneClassifier

# Parameters of the subclassifiers that the framework decides for all of its stages.
_OF_THE_FRAMEWORK = (
    "class_weight",
    "clip_average",
    "embedder",
    "fine_tune",
    "fine_tune_learning_rate",
    "precision",
    "random_state",
    "runtime",
    "starts_per_second",
    "validation_fraction",
    "warm_start",
)


# Those of them that have the same value in all stages.
_SHARED = ("clip_average", "precision", "starts_per_second")


def share_params(framework: SceneClassifier, classifier: SceneClassifier) -> None:
    """Set those parameters of a subclassifier that are the framework's own."""
    classifier.set_params(**{name: getattr(framework, name) for name in _SHARED})


def subclassifier(name: str, given: Any, kind: type[SceneClassifier], verbose: int) -> Any:
    """Return a subclassifier to be fitted, or the fitted one inside a FrozenEstimator.

    Parameters
    ----------
    name : {"audio", "visual"}
        The parameter of the framework.
    given : SceneClassifier, FrozenEstimator or None
        Its value.
    kind : type
        The class that None is an instance of.
    verbose : int
        Its verbosity then.

    Returns
    -------
    SceneClassifier
        A copy, or the fitted one itself.

    Raises
    ------
    NotFittedError
        If the classifier inside a FrozenEstimator is not fitted.
    ValueError
        If a parameter that the framework decides is not at its default.
    """
    if isinstance(given, FrozenEstimator):
        try:
            check_is_fitted(given.estimator)
        except NotFittedError as error:
            raise NotFittedError(
                f"{name} is a FrozenEstimator of a {type(given.estimator).__name__} that is "
                "not fitted; fit that first, or pass it without FrozenEstimator to have it "
                "fitted"
            ) from error
        return given.estimator
    classifier = kind(verbose=verbose) if given is None else clone(given)
    classifier._validate_params()
    defaults = inspect.signature(kind).parameters
    for parameter in set(_OF_THE_FRAMEWORK) & set(defaults):
        value, default = getattr(classifier, parameter), defaults[parameter].default
        if value is not default and value != default:
            raise ValueError(
                f"{name}__{parameter}={value!r} has no effect in a SECRNNClassifier, which "
                f"decides it for all stages: set {parameter} of the SECRNNClassifier itself, "
                f"or fit the {kind.__name__} alone before and pass "
                f"{name}=FrozenEstimator(fitted)"
            )
    return classifier

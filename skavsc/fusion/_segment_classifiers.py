"""Classifiers that predict every segment of a clip, alone or inside pipelines and wrappers."""

from __future__ import annotations

import copy
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import BaggingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skavsc._sklearn_compat import BaseSearchCV

Probabilities = NDArray[np.floating[Any]]


@runtime_checkable
class SegmentClassifier(Protocol):
    """What `LateFusionClassifier` asks of a classifier that predicts segments.

    Any classifier with these three members is treated as skavsc's own, also at the end of a
    Pipeline and inside searches, calibration, bagging, threshold tuning and ``FrozenEstimator``: a
    branch that holds it is given the field of its modality, clips without a whole segment count as
    missing, and the fusion has ``predict_proba_segments`` if all its branches do.

    See Also
    --------
    LateFusionClassifier : Late fusion of one classifier per modality.
    skavsc.AudioSceneClassifier : Such a classifier, of sound.
    skavsc.VisualSceneClassifier : Such a classifier, of pictures.

    Examples
    --------
    A logistic regression for arrays of shape (n_clips, n_segments, n_features):

    >>> import numpy as np
    >>> from sklearn.base import BaseEstimator, ClassifierMixin
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skavsc import LateFusionClassifier
    >>> from skavsc.fusion import SegmentClassifier
    >>> class SegmentRegression(ClassifierMixin, BaseEstimator):
    ...     modality = "audio"
    ...
    ...     def usable_clips(self, X):
    ...         return ~np.isnan(X).any(axis=2).all(axis=1)
    ...
    ...     def fit(self, X, y):
    ...         clips, segments = np.nonzero(~np.isnan(X).any(axis=2))
    ...         self.model_ = LogisticRegression().fit(X[clips, segments], y[clips])
    ...         self.classes_ = self.model_.classes_
    ...         return self
    ...
    ...     def predict_proba_segments(self, X):
    ...         result = np.full((*X.shape[:2], len(self.classes_)), np.nan)
    ...         whole = ~np.isnan(X).any(axis=2)
    ...         result[whole] = self.model_.predict_proba(X[whole])
    ...         return result
    ...
    ...     def predict_proba(self, X):
    ...         return np.nanmean(self.predict_proba_segments(X), axis=1)
    ...
    ...     def predict(self, X):
    ...         return self.classes_[self.predict_proba(X).argmax(axis=1)]
    >>> isinstance(SegmentRegression(), SegmentClassifier)
    True
    >>> y = np.array(["park", "tram"] * 6)
    >>> X = np.zeros(12, dtype=[("audio", "f4", (3, 2)), ("other", "f4", (3, 2))])
    >>> X["audio"] = (y == "tram")[:, None, None]
    >>> X["audio"][0, 1] = np.nan  # a segment without sound
    >>> fusion = LateFusionClassifier([("regression", SegmentRegression())], "mean").fit(X, y)
    >>> fusion.predict_proba_segments(X)[0].round(2)
    array([[0.88, 0.12],
           [ nan,  nan],
           [0.88, 0.12]])
    """

    @property
    def modality(self) -> str | None:
        """The field of X that the classifier takes, "audio" or "visual"; None for all of X."""

    def usable_clips(self, X: Any) -> NDArray[np.bool_]:
        """Return which clips have at least one whole segment, before ``fit`` or after it.

        Parameters
        ----------
        X : array-like of n_clips rows
            The features.

        Returns
        -------
        ndarray of shape (n_clips,), bool
            True for clips that can be trained on and predicted.
        """

    def predict_proba_segments(self, X: Any) -> NDArray[np.floating[Any]]:
        """Predict the class probabilities of every segment.

        Parameters
        ----------
        X : array-like of n_clips rows
            The features.

        Returns
        -------
        ndarray of shape (n_clips, n_segments, n_classes)
            In the order of ``classes_``; NaN in segments that are missing.
        """


def _is_segment_classifier(estimator: Any) -> bool:
    # A frozen estimator has the attributes of what it holds, which may be a wrapper. isinstance
    # alone finds methods that are hidden by `available_if`, from Python 3.12 on.
    return (
        not isinstance(estimator, FrozenEstimator)
        and isinstance(estimator, SegmentClassifier)
        and hasattr(estimator, "predict_proba_segments")
    )


def _held(estimator: Any) -> Any:
    """Return the classifier inside a Pipeline or wrapper, fitted if the wrapper is; or None."""
    if isinstance(estimator, Pipeline):
        return estimator.steps[-1][1]
    if _is_segment_classifier(estimator) or not hasattr(estimator, "get_params"):
        return None
    if isinstance(estimator, BaseSearchCV) and hasattr(estimator, "best_estimator_"):
        return estimator.best_estimator_
    if isinstance(estimator, CalibratedClassifierCV) and hasattr(estimator, "classes_"):
        return estimator.calibrated_classifiers_[0].estimator
    if isinstance(estimator, BaggingClassifier) and hasattr(estimator, "classes_"):
        return estimator.estimators_[0]
    if isinstance(estimator, FixedThresholdClassifier | TunedThresholdClassifierCV):
        return getattr(estimator, "estimator_", estimator.estimator)
    # By scikit-learn's convention the parameter in which a wrapper holds its estimator.
    return estimator.get_params(deep=False).get("estimator")


def held_classifier(estimator: Any) -> Any:
    """Return the classifier that a branch holds, in whatever pipelines and wrappers."""
    while (inner := _held(estimator)) is not None:
        estimator = inner
    return estimator


def modality_of(estimator: Any) -> str | None:
    """Return the modality of the classifier that a branch holds, None if it has no single one."""
    classifier = held_classifier(estimator)
    return classifier.modality if _is_segment_classifier(classifier) else None


def usable_clips(estimator: Any, X: Any, y: NDArray[Any] | None) -> NDArray[np.bool_] | None:
    """Return which clips have a whole segment for the classifier that a branch holds.

    Transformers before it that are not fitted yet are cloned and fitted for that.

    Parameters
    ----------
    estimator : classifier
        A fitted or unfitted branch.
    X : array-like of n_clips rows
        Its input.
    y : ndarray of shape (n_clips,) or None
        The labels, for transformers that need them.

    Returns
    -------
    ndarray of shape (n_clips,), bool, or None
        None if the classifier predicts no segments.
    """
    if not _is_segment_classifier(held_classifier(estimator)):
        return None
    if _is_segment_classifier(estimator):
        return np.asarray(estimator.usable_clips(X), dtype=bool)
    if isinstance(estimator, Pipeline):
        for _, step in estimator.steps[:-1]:
            if step is not None and step != "passthrough":
                X = step.transform(X) if _is_fitted(step) else clone(step).fit_transform(X, y)
    return usable_clips(_held(estimator), X, y)


def _is_fitted(transformer: Any) -> bool:
    try:
        check_is_fitted(transformer)
    except NotFittedError:
        return False
    return True


def predicts_segments(estimator: Any) -> bool:
    """Return whether `segment_probabilities` can be had of a branch."""
    if _is_segment_classifier(estimator):
        return True
    if isinstance(estimator, CalibratedClassifierCV):
        # With a decision function, that would have been calibrated instead.
        if hasattr(held_classifier(estimator), "decision_function"):
            return False
    elif not isinstance(
        estimator,
        Pipeline
        | FrozenEstimator
        | BaseSearchCV
        | BaggingClassifier
        | FixedThresholdClassifier
        | TunedThresholdClassifierCV,
    ):
        return False
    return predicts_segments(_held(estimator))


def segment_probabilities(estimator: Any, X: Any) -> Probabilities:
    """Predict the class probabilities of every segment by a fitted branch.

    Parameters
    ----------
    estimator : classifier
        Fitted; `predicts_segments` is true of it.
    X : array-like of n_clips rows
        Its input.

    Returns
    -------
    ndarray of shape (n_clips, n_segments, n_classes)
        In the order of ``estimator.classes_``; NaN in segments that are missing.
    """
    if _is_segment_classifier(estimator):
        return estimator.predict_proba_segments(X)
    if isinstance(estimator, CalibratedClassifierCV):
        parts = [_calibrated(part, X) for part in estimator.calibrated_classifiers_]
        return np.mean(parts, axis=0)
    if isinstance(estimator, BaggingClassifier):
        parts = []
        members = zip(estimator.estimators_, estimator.estimators_features_, strict=True)
        for member, features in members:
            found = segment_probabilities(member, np.asarray(X)[:, features])
            # The members are fitted to the numbers of the classes.
            parts.append(aligned(found, member.classes_, np.arange(len(estimator.classes_))))
        return np.mean(parts, axis=0)
    if isinstance(estimator, Pipeline) and len(estimator) > 1:
        X = estimator[:-1].transform(X)
    return segment_probabilities(_held(estimator), X)


class _Predicted(ClassifierMixin, BaseEstimator):
    """Stands for a classifier whose probabilities are known: predicts what it is given."""

    def __init__(self, classes: Any) -> None:
        self.classes_ = classes

    def predict_proba(self, X: Any) -> Any:
        return X


def _calibrated(part: Any, X: Any) -> Probabilities:
    """Predict segments by one pair of classifier and calibrators."""
    found = segment_probabilities(part.estimator, X)
    present = ~np.isnan(found[..., 0])
    result = np.full((*present.shape, len(part.classes)), np.nan)
    if present.any():
        calibrators = copy.copy(part)
        calibrators.estimator = _Predicted(part.estimator.classes_)
        result[present] = calibrators.predict_proba(found[present])
    return result


def aligned(found: Probabilities, known: Any, classes: NDArray[Any]) -> NDArray[np.float64]:
    """Return probabilities with one column for each of ``classes``: 0 for those not known."""
    result = np.zeros((*found.shape[:-1], len(classes)))
    result[..., np.searchsorted(classes, known)] = found
    result[np.isnan(found[..., 0])] = np.nan
    return result

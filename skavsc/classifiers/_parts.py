"""The parts of the framework, and what it asks of its clips."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from skavsc.classifiers._base import SceneClassifier
from skavsc.classifiers._streams import ClipStreams
from skavsc.exceptions import MissingModalityError


def prepared(name: str, given: Any, default: SceneClassifier) -> Any:
    """Give a subclassifier to be fitted, or the fitted one inside a FrozenEstimator."""
    if isinstance(given, FrozenEstimator):
        try:
            check_is_fitted(given.estimator)
        except NotFittedError as error:
            raise NotFittedError(
                f"{name} is a FrozenEstimator of a {type(given.estimator).__name__} that is not "
                "fitted; fit that first, or pass it without FrozenEstimator to have it fitted"
            ) from error
        return given.estimator
    classifier = default if given is None else clone(given)
    classifier._validate_params()
    return classifier


def is_new(classifier: SceneClassifier) -> bool:
    """Tell whether a subclassifier has yet to be fitted."""
    return not hasattr(classifier, "classes_")


def require_fields(X: Any) -> None:
    """Raise if X does not hold both streams."""
    names = getattr(getattr(X, "dtype", None), "names", None)
    if not {"audio", "visual"} <= set(names or ()):
        found = (
            f"has the fields {list(names)}" if names else f"is a {type(X).__name__} without fields"
        )
        raise ValueError(
            "X must be a structured array with the fields 'audio' and 'visual', as a ModalityUnion "
            f"with transformers of these names gives it; it {found}"
        )


def require_no_frames(visual: SceneClassifier) -> None:
    """Raise if a subclassifier that is to be trained would be given frames were it alone."""
    for name in ("embedder", "fine_tune", "flip", "brightness"):
        value = getattr(visual, name)
        if value:
            raise ValueError(
                f"visual__{name}={value!r}: in the framework the visual network is trained on "
                f"embeddings; set {name} of SECRNNClassifier itself, or fit the "
                "VisualSceneClassifier alone before and pass visual=FrozenEstimator(fitted), whose "
                "embedder the framework then uses"
            )


def require_streams(clips: ClipStreams) -> None:
    """Raise if the streams differ in duration, or a clip has nothing to be judged by."""
    seconds = {name: stream.n_seconds for name, stream in clips.streams.items()}
    if len(set(seconds.values())) > 1:
        lengths = ", ".join(
            f"{name} has {stream.data.shape[-2]} frames on axis {stream.data.ndim - 2}, "
            f"{seconds[name]} s of {stream.segment_frames}"
            for name, stream in clips.streams.items()
        )
        raise ValueError(
            f"the streams of X differ in duration: {lengths}; extract both of the same seconds, "
            "and with as many frames a second as segment_frames of their classifier"
        )
    lacking = np.flatnonzero(~clips.usable_seconds.any(axis=1))
    if len(lacking):
        needed, remedy = "both sound and picture", "set modality_dropout above 0, "
        if clips.any_will_do:
            needed, remedy = "sound or picture", ""
        raise MissingModalityError(
            f"{len(lacking)} of {clips.n_clips} clips have no second with {needed} (the first is "
            f"row {lacking[0]}); leave them out, {remedy}or use LateFusionClassifier, which "
            "predicts from what is there"
        )

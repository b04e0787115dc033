"""Classifiers of frames: frames are embedded; the last stage may train the image network too."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from skavsc._clips import clip_sources
from skavsc._sklearn_compat import Interval, StrOptions
from skavsc.classifiers._base import SceneClassifier
from skavsc.pretrained import PRECISIONS
from skavsc.training import TrainingSet
from skavsc.visual import ImageEmbedder

if TYPE_CHECKING:
    from skavsc.training import FineTuning


class FrameClassifier(SceneClassifier):
    """Base of the classifiers whose picture is frames where they have an embedder.

    A subclass has the parameters below and calls `_begin` in a fit that starts from the beginning.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **SceneClassifier._parameter_constraints,
        "fine_tune": [StrOptions({"all"}), None],
        "embedder": [ImageEmbedder, FrozenEstimator, None],
        "fine_tune_learning_rate": [Interval(Real, 0, None, closed="neither")],
        "precision": [StrOptions(set(PRECISIONS))],
    }
    fine_tune: str | None
    embedder: ImageEmbedder | FrozenEstimator | None
    fine_tune_learning_rate: float
    embedder_: ImageEmbedder

    def _begin(self, X: Any) -> None:
        """Drop the embedder of the last fit, and fit a new one if X holds frames."""
        if self.fine_tune == "all" and self.embedder is None:
            raise ValueError(
                'fine_tune="all" trains the image network of an embedder, on frames, and embedder '
                "is None: pass one, such as embedder=VGGPlacesEmbedder()"
            )
        if hasattr(self, "embedder_"):
            del self.embedder_
        if isinstance(self.embedder, FrozenEstimator):
            check_is_fitted(self.embedder.estimator)
            self.embedder_ = self.embedder.estimator
        elif self.embedder is not None:
            self.embedder_ = clone(self.embedder).fit(self._frames(X))

    def _embedded(self, X: Any) -> tuple[Any, list[Any] | None]:
        """Return the embeddings of the frames in X, and the frames; X itself without embedder."""
        if not hasattr(self, "embedder_"):
            return X, None
        frames = self._frames(X)
        return self.embedder_.transform(frames), frames

    def _frames(self, X: Any) -> list[Any]:
        """Return the frames in X, one item or None a clip."""
        modalities = {"visual"} if self.modality == "visual" else {"audio", "visual"}
        names = getattr(getattr(X, "dtype", None), "names", None) or ()
        if (names or len(modalities) > 1) and not modalities <= set(names):
            raise ValueError(
                f"X must be a structured array with the fields {sorted(modalities)}, it has "
                f"{list(names)}"
            )
        pictures = X["visual"] if names else X
        if isinstance(pictures, np.ndarray) and pictures.dtype != object and pictures.ndim != 5:
            raise ValueError(
                f"with an embedder, {'the field visual of ' * bool(names)}X must hold frames: "
                "objects from a VideoFrameSampler, or numbers (clips, frames, height, width, 3); "
                f"it is {pictures.dtype} of shape {pictures.shape}; embeddings are for "
                "embedder=None"
            )
        return clip_sources(pictures, "video")

    def usable_clips(self, X: Any) -> NDArray[np.bool_]:
        """Find the clips that have a whole second to predict from, before fit or after it.

        Parameters
        ----------
        X : array-like, or structured array with one field per modality
            The features, or frames, of n_clips clips. Frames are not decoded: they count as
            usable where they are there.

        Returns
        -------
        ndarray of shape (n_clips,), bool
            Whether `predict` can predict the clip.
        """
        if self.embedder is None:
            return super().usable_clips(X)
        return np.array([item is not None for item in self._frames(X)], dtype=bool)

    def _fine_tuning(self) -> FineTuning | None:
        from skavsc.training import Backbone, FineTuning

        if self.fine_tune is None:
            return None
        backbone = Backbone.of(self.embedder_) if self.fine_tune == "all" else None
        return FineTuning(self.fine_tune_learning_rate, backbone)

    def _keep_fine_tuned(self, fine_tuning: FineTuning | None, training_set: TrainingSet) -> None:
        if fine_tuning is not None and fine_tuning.backbone is not None:
            frames = training_set.train.features.modalities["visual"].frames
            self.embedder_ = fine_tuning.backbone.as_embedder(self.embedder_, frames)

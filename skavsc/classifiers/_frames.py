"""Picture that is given as frames: embedded first, its image network trained at the end."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from numbers import Real
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from skavsc._sklearn_compat import Interval, StrOptions
from skavsc.classifiers._augmentation import Augmentation, brighten_frames, flip_frames
from skavsc.classifiers._base import SceneClassifier
from skavsc.classifiers._data import TrainingSet
from skavsc.classifiers._streams import ClipStreams, EmbeddedFrames
from skavsc.visual import ImageEmbedder, VGGPlacesEmbedder
from skavsc.visual._inputs import frame_sources

if TYPE_CHECKING:
    import keras


class FrameClassifier(SceneClassifier):
    """Base of the classifiers whose picture is frames where they have an embedder.

    A subclass has the parameters below, calls `_begin` in a fit that begins anew, and gives its
    stream ``visual`` the frames that it is made of.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **SceneClassifier._parameter_constraints,
        "fine_tune": [StrOptions({"all"}), None],
        "embedder": [ImageEmbedder, None],
        "fine_tune_learning_rate": [Interval(Real, 0, None, closed="neither")],
        "flip": ["boolean"],
        "brightness": [Interval(Real, 0, 1, closed="both")],
    }
    fine_tune: str | None
    embedder: ImageEmbedder | None
    fine_tune_learning_rate: float
    flip: bool
    brightness: float
    embedder_: ImageEmbedder

    def _begin(self, X: Any) -> None:
        """Forget the last fit's embedder, and fit a new one where X is to hold frames."""
        if (self.flip or self.brightness) and self.fine_tune != "all":
            raise ValueError(
                f"flip={self.flip} and brightness={self.brightness} change frames, which only "
                f'fine_tune="all" trains on; fine_tune is {self.fine_tune!r}'
            )
        if hasattr(self, "embedder_"):
            del self.embedder_
        embedder = self._fitted_embedder(X)
        if embedder is not None:
            self.embedder_ = embedder

    def _fitted_embedder(self, X: Any) -> ImageEmbedder | None:
        embedder = self.embedder
        if embedder is None:
            if self.fine_tune != "all":
                return None
            embedder = VGGPlacesEmbedder()
        return clone(embedder).fit(frames_of(X, self._mixed))

    def _embedded(self, X: Any) -> tuple[Any, list[Any] | None]:
        """Give the embeddings of the frames in X, and the frames; X itself without embedder."""
        if not hasattr(self, "embedder_"):
            return X, None
        frames = frames_of(X, self._mixed)
        return self.embedder_.transform(frames), frames

    def usable_clips(self, X: Any) -> NDArray[np.bool_]:
        """Return which clips have at least one whole segment, before fit or after it.

        Parameters
        ----------
        X : array-like, or structured array with one field a modality
            The features or frames of n_clips clips.

        Returns
        -------
        ndarray of shape (n_clips,), bool
            True for clips that can be predicted; where frames are embedded, those that have frames.
        """
        if not (hasattr(self, "embedder_") or self.embedder or self.fine_tune == "all"):
            return super().usable_clips(X)
        # To know more of frames they would have to be decoded.
        return np.array([item is not None for item in frames_of(X, self._mixed)], dtype=bool)

    def _augmentations(self, on_frames: bool = False) -> tuple[Augmentation, ...]:
        changes: list[Augmentation] = []
        if on_frames and self.flip:
            changes.append(functools.partial(flip_frames, stream="visual"))
        if on_frames and self.brightness:
            changes.append(
                functools.partial(brighten_frames, stream="visual", limit=self.brightness)
            )
        return tuple(changes)

    def _trained_parts(self) -> Sequence[keras.Model]:
        """Give the trained networks that this one is built on."""
        return ()

    def _procedure(self, training: TrainingSet) -> Callable[..., dict[str, list[float]]]:
        from skavsc.classifiers._backbone import Backbone
        from skavsc.classifiers._training import FineTuning, train_in_steps

        plan, last = self._plan(training), None
        backbone = Backbone.of(self.embedder_) if self.fine_tune == "all" else None
        if self.fine_tune is not None:
            changes = self._augmentations(on_frames=backbone is not None)
            last = FineTuning(
                replace(plan, label="fine-tuning", augmentations=changes),
                self.fine_tune_learning_rate,
                backbone,
            )

        def train(network: keras.Model, clips: ClipStreams, *data: Any, **options: Any) -> Any:
            history = train_in_steps(
                network,
                clips,
                *data,
                trained=self._trained_parts(),
                fine_tuning=last,
                plan=plan,
                training=training,
                **options,
            )
            picture = clips.streams["visual"]
            if backbone is not None and isinstance(picture, EmbeddedFrames):
                self.embedder_ = backbone.as_embedder(self.embedder_, picture.frames)
            return history

        return train


def frames_of(X: Any, streams: tuple[str, ...]) -> list[Any]:
    """Give the picture of X as one item of frames, or None, a clip.

    Parameters
    ----------
    X : structured array with one field a stream, or sequence of n_clips frames
        The latter only where the picture is the only stream.
    streams : tuple of str
        The streams that the classifier takes.

    Returns
    -------
    list of n_clips items
        Lazy frames or arrays (n_frames, height, width, 3).
    """
    names = getattr(getattr(X, "dtype", None), "names", None) or ()
    if (names or len(streams) > 1) and not set(streams) <= set(names):
        raise ValueError(
            f"X must be a structured array with the fields {list(streams)}, it has {list(names)}"
        )
    pictures = X["visual"] if names else X
    if isinstance(pictures, np.ndarray) and pictures.dtype != object and pictures.ndim != 5:
        raise ValueError(
            f"the classifier has an embedder, so that {'the field visual of ' * bool(names)}X "
            "must hold frames: objects from a VideoFrameSampler, or numbers (clips, frames, "
            f"height, width, 3); it is {pictures.dtype} of shape {pictures.shape}; embeddings are "
            'for embedder=None, without fine_tune="all"'
        )
    return frame_sources(pictures).items

"""Frames as a few large pixels: features that need no network."""

from __future__ import annotations

import os
from numbers import Integral
from typing import Any, ClassVar, Literal

import joblib
import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from skavsc._clips import ClipCache, map_clips
from skavsc._sklearn_compat import DocLinkMixin, Interval, StrOptions, _fit_context
from skavsc.media import resize_image
from skavsc.visual._frames import Clip, ClipFrames, decode, frame_sources

# Raised whenever the same frames give other values.
_VERSION = 1


class PixelEmbedder(DocLinkMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Reduce frames to a few large pixels.

    The layout of colours and light of each frame, as a baseline that needs no pretrained network.

    Parameters
    ----------
    size : int, default=8
        Height and width in pixels, at least 1. A pixel is the mean over its area.
    on_error : {"raise", "missing"}, default="raise"
        What to do with a video that cannot be read: raise its MediaError, or return NaN and warn.
    memory : str, path-like or joblib.Memory, default=None
        A folder in which the features of each clip are kept.
    n_jobs : int, default=None
        Number of clips that are processed at the same time, as in joblib; None is 1.
    verbose : bool or int, default=0
        Whether to show a progress bar.

    Attributes
    ----------
    n_steps_ : int or None
        Number of frames of the longest clip in ``fit``; None if all were missing.

    See Also
    --------
    ImageEmbedder : Embed frames by a pretrained network, which describes scenes far better.

    Examples
    --------
    >>> import numpy as np
    >>> from skavsc.visual import PixelEmbedder
    >>> frames = np.zeros((2, 5, 48, 64, 3), dtype=np.uint8)
    >>> frames[1, :, :, 32:] = 255  # a bright right half
    >>> features = PixelEmbedder(size=2).fit_transform(frames)
    >>> features.shape
    (2, 5, 12)
    >>> features[1, 0].reshape(2, 2, 3)[..., 0]
    array([[0., 1.],
           [0., 1.]], dtype=float32)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "size": [Interval(Integral, 1, None, closed="left")],
        "on_error": [StrOptions({"raise", "missing"})],
        "memory": [str, os.PathLike, joblib.Memory, None],
        "n_jobs": [Integral, None],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        size: int = 8,
        *,
        on_error: Literal["raise", "missing"] = "raise",
        memory: str | os.PathLike[str] | joblib.Memory | None = None,
        n_jobs: int | None = None,
        verbose: int | bool = 0,
    ) -> None:
        self.size = size
        self.on_error = on_error
        self.memory = memory
        self.n_jobs = n_jobs
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> PixelEmbedder:
        """Find the number of frames; nothing is learnt.

        Parameters
        ----------
        X : sequence of n_clips frames
            As for ``transform``. They are not decoded.
        y : None
            Ignored.

        Returns
        -------
        PixelEmbedder
            This object.
        """
        self.n_steps_ = frame_sources(X).n_steps
        self._n_features_out = 3 * self.size**2
        return self

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Reduce the frames of clips.

        Parameters
        ----------
        X : sequence of n_clips frames
            Frames from a `VideoFrameSampler`, a numeric array of shape (n_clips, n_steps, height,
            width, 3) or a list of arrays of shape (n_steps, height, width, 3): RGB of 0 to 255.
            None is a missing clip.

        Returns
        -------
        ndarray of shape (n_clips, n_steps, 3 * size**2), float32
            RGB in [0, 1], row by row; NaN for missing clips and after the end of a video.

        Raises
        ------
        MediaError
            If a video cannot be read and ``on_error="raise"``.
        ClipTableError
            If X is of another form.
        """
        check_is_fitted(self, "n_steps_")
        self._validate_params()
        clips = frame_sources(X)
        n_steps = clips.n_steps or self.n_steps_
        if n_steps is None:
            raise ValueError(
                "all clips are missing, here and in fit, so that the number of frames is "
                "unknown; drop these clips"
            )
        lenient = self.on_error == "missing" or any(
            isinstance(item, ClipFrames) and item.sampling.on_error == "missing"
            for item in clips.items
        )
        location = self.memory.location if isinstance(self.memory, joblib.Memory) else self.memory
        params = {"size": self.size, "steps": n_steps}
        return map_clips(
            lambda clip: self._reduce(clip, n_steps),
            clips.sources,
            shape=(n_steps, self._n_features_out),
            prepare=decode,
            cache=None if location is None else ClipCache(location, "pixels", _VERSION, params),
            on_error="missing" if lenient else "raise",
            n_jobs=self.n_jobs,
            verbose=self.verbose,
            description="pixels",
        )

    def _reduce(self, clip: Clip, n_steps: int) -> NDArray[np.float32]:
        frames, valid = clip
        features = np.full((n_steps, self._n_features_out), np.nan, dtype=np.float32)
        for step in np.flatnonzero(valid):
            image = resize_image(frames[step], (self.size, self.size), "area")
            features[step] = image.ravel() / np.float32(255)
        return features

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = []
        return tags

"""From clips to lazily decoded frames."""

from __future__ import annotations

import os
import warnings
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags

from skavsc._clips import clip_sources
from skavsc._sklearn_compat import DocLinkMixin, Interval, StrOptions, _fit_context
from skavsc.exceptions import ClipTableError, MediaNotFoundError, MissingClipWarning
from skavsc.media import INTERPOLATIONS
from skavsc.visual._frames import ArrayFrames, LazyFrames, Sampling


class VideoFrameSampler(DocLinkMixin, TransformerMixin, BaseEstimator):
    """Take frames at regular instants from the videos of clips, lazily.

    The result holds small handles, one per clip, that decode their frames when they are asked
    for; it can be indexed, cross-validated and pickled, whatever the number of clips. Frame i
    is the one that is shown at i / fps seconds (see `skavsc.media.read_frames` for the exact rule).

    Parameters
    ----------
    fps : float, default=5
        Frames a second, greater than 0.
    size : int or tuple of (int, int), default=224
        Height and width in pixels to resize to, at least 1; one number makes a square. The
        aspect ratio is not kept.
    duration : float, default=10.0
        How many seconds to take from the beginning, greater than 0. Frames after the end of a
        shorter video are black, and the embedders turn them into NaN.
    interpolation : {"nearest", "linear", "cubic", "area", "lanczos4"}, default="linear"
        How to resize, by OpenCV's names.
    on_error : {"raise", "missing"}, default="raise"
        What a file that does not exist leads to: an error, or None and one warning for all.
        Files that turn out to be unreadable when they are decoded are treated likewise by the
        embedders: an error, or a row of NaN.

    See Also
    --------
    VGGPlacesEmbedder : Embeds the frames.

    Notes
    -----
    The sampler learns nothing, so that ``transform`` needs no ``fit``.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from skavsc.media import write_clip
    >>> from skavsc.visual import VideoFrameSampler
    >>> frames = np.full((50, 48, 64, 3), 128, dtype=np.uint8)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_clip(os.path.join(folder, "grey.mp4"), frames, fps=25)
    ...     lazy = VideoFrameSampler(duration=2.0).fit_transform([path, None])
    ...     decoded = np.asarray(lazy[0])
    >>> lazy.shape, lazy[0].shape, lazy[1]
    ((2,), (10, 224, 224, 3), None)
    >>> decoded.dtype, decoded.shape
    (dtype('uint8'), (10, 224, 224, 3))
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "fps": [Interval(Real, 0, None, closed="neither")],
        "size": [Interval(Integral, 1, None, closed="left"), tuple, list],
        "duration": [Interval(Real, 0, None, closed="neither")],
        "interpolation": [StrOptions(set(INTERPOLATIONS))],
        "on_error": [StrOptions({"raise", "missing"})],
    }

    def __init__(
        self,
        fps: float = 5,
        size: int | tuple[int, int] = 224,
        duration: float = 10.0,
        *,
        interpolation: str = "linear",
        on_error: str = "raise",
    ) -> None:
        self.fps = fps
        self.size = size
        self.duration = duration
        self.interpolation = interpolation
        self.on_error = on_error

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> VideoFrameSampler:
        """Check the parameters; there is nothing to learn.

        Parameters
        ----------
        X : clip table or sequence of n_clips sources
            As for ``transform``; only its form is looked at.
        y : None
            Ignored.

        Returns
        -------
        VideoFrameSampler
            This object.
        """
        clip_sources(X, "video")
        self._sampling()
        return self

    def transform(self, X: Any) -> NDArray[np.object_]:
        """Return a handle to the frames of each clip.

        Parameters
        ----------
        X : pandas.DataFrame, or sequence of n_clips sources
            A clip table with a column ``video``, or a list, Series or array of paths, of uint8
            RGB arrays of shape (n_images, height, width, 3) with ``fps`` images a second, of
            pairs of such an array and its rate, or of None (missing).

        Returns
        -------
        ndarray of shape (n_clips,), object
            `LazyFrames` or similar, each of shape (steps, height, width, 3) with steps =
            ``round(fps * duration)``; None for a missing clip.

        Raises
        ------
        MediaNotFoundError
            If a file does not exist and ``on_error="raise"``.
        ClipTableError
            If a source is of another kind or shape.
        """
        self._validate_params()
        sampling = self._sampling()
        sources = clip_sources(X, "video")
        # Filled item by item: numpy would otherwise decode everything that has a shape.
        handles = np.empty(len(sources), dtype=object)
        absent: list[str] = []
        for row, source in enumerate(sources):
            if isinstance(source, str | bytes | os.PathLike):
                path = os.fsdecode(source)
                if not os.path.lexists(path):
                    absent.append(path)
                    continue
                handles[row] = LazyFrames(path, sampling)
            elif source is not None:
                handles[row] = self._array_frames(source, row, sampling)
        if absent and self.on_error == "raise":
            raise MediaNotFoundError(absent[0], "open", "there is no such file")
        if absent:
            warnings.warn(
                f"{len(absent)} of {len(sources)} videos do not exist and are missing; "
                f"the first is {absent[0]}",
                MissingClipWarning,
                stacklevel=2,
            )
        return handles

    def _sampling(self) -> Sampling:
        size = self.size if isinstance(self.size, tuple | list) else (self.size, self.size)
        if len(size) != 2 or not all(isinstance(s, Integral) and s >= 1 for s in size):
            raise ValueError(
                f"size must be a number or a pair (height, width) of at least 1, got {self.size!r}"
            )
        return Sampling(
            float(self.fps),
            float(self.duration),
            (int(size[0]), int(size[1])),
            self.interpolation,
            self.on_error,
        )

    def _array_frames(self, source: Any, row: int, sampling: Sampling) -> ArrayFrames:
        images, rate = source if isinstance(source, tuple) else (source, self.fps)
        images = np.asarray(images)
        if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8 or not len(images):
            raise ClipTableError(
                f"clip {row} is {images.dtype} of shape {images.shape}; pass a path, None, or "
                f"uint8 RGB frames of shape (n_images, height, width, 3)"
            )
        if not rate > 0:
            raise ClipTableError(f"clip {row} has the rate {rate!r}; it must be greater than 0")
        return ArrayFrames(images, float(rate), sampling)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.input_tags.string = True
        tags.input_tags.allow_nan = True
        return tags

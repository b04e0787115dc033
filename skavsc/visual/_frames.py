"""The frames of clips, read when they are asked for, and the input of embedders made of them."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import asdict, astuple, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import DTypeLike, NDArray

from skavsc._clips import clip_sources
from skavsc.exceptions import ClipTableError
from skavsc.media import read_frames, resize_image

Frames = NDArray[np.uint8]

# To be raised when other frames or pixels are read than before, so that caches notice.
_READING = 2

#: Frames (steps, height, width, 3), and which of them are there (steps,).
Clip = tuple[NDArray[Any], NDArray[np.bool_]]


@dataclass(frozen=True)
class Sampling:
    """How frames are taken from a video.

    Parameters
    ----------
    fps : float
        Frames a second.
    duration : float
        Seconds.
    size : tuple of (int, int)
        Height and width in pixels.
    interpolation : str
        OpenCV's name of the way to resize.
    on_error : {"raise", "missing"}
        What an unreadable file is to those who read the frames: an error, or a missing clip.
    """

    fps: float
    duration: float
    size: tuple[int, int]
    interpolation: str
    on_error: str

    @property
    def steps(self) -> int:
        """Number of frames."""
        return max(round(self.fps * self.duration), 1)


class ClipFrames(ABC):
    """Base of the frames of files and of arrays."""

    sampling: Sampling

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Number of frames, height, width and 3, known without decoding."""
        return (self.sampling.steps, *self.sampling.size, 3)

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        """Always uint8."""
        return np.dtype(np.uint8)

    @abstractmethod
    def _valid_frames(self) -> Frames:
        """Return the frames before the end of the video, at least one."""

    def read(self) -> tuple[Frames, int]:
        """Read the frames.

        Returns
        -------
        frames : ndarray of shape (steps, height, width, 3), uint8
            RGB. Where the video has ended they are black.
        n_valid : int
            The number of frames before the end of the video, at least 1.

        Raises
        ------
        MediaError
            If the file cannot be read.
        """
        valid = self._valid_frames()
        frames = np.zeros(self.shape, dtype=np.uint8)
        frames[: len(valid)] = valid
        return frames, len(valid)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("frames are decoded on every use, so that copy=False is impossible")
        return np.asarray(self.read()[0], dtype=dtype)


@dataclass(frozen=True, eq=False)
class LazyFrames(ClipFrames):
    """The frames of a video file, decoded whenever they are asked for.

    ``np.asarray(frames)`` decodes; nothing is kept afterwards. It is small and can be pickled.

    Parameters
    ----------
    path : str
        The video file.
    sampling : Sampling
        Frames a second, duration, size and interpolation.

    See Also
    --------
    VideoFrameSampler : Makes them for many clips.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from skavsc.media import write_clip
    >>> from skavsc.visual import VideoFrameSampler
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "short.mp4")
    ...     _ = write_clip(path, np.full((25, 48, 64, 3), 128, dtype=np.uint8), fps=25)
    ...     (lazy,) = VideoFrameSampler(size=64, duration=2.0).transform([path])
    ...     frames, n_valid = lazy.read()
    >>> frames.shape, n_valid
    ((10, 64, 64, 3), 5)
    """

    path: str
    sampling: Sampling

    def _valid_frames(self) -> Frames:
        how = self.sampling
        return read_frames(
            self.path,
            fps=how.fps,
            duration=how.duration,
            size=how.size,
            interpolation=how.interpolation,
        )

    def cache_source(self) -> tuple[str, dict[str, Any]]:
        """Return the file and the parameters that the frames depend on."""
        how = asdict(self.sampling)
        del how["on_error"]
        return self.path, {**how, "reading": _READING}


@dataclass(frozen=True, eq=False)
class ArrayFrames(ClipFrames):
    """The frames of an array in memory, taken and resized whenever they are asked for.

    Parameters
    ----------
    images : ndarray of shape (n_images, height, width, 3), uint8
        RGB.
    rate : float
        Images a second.
    sampling : Sampling
        Frames a second, duration, size and interpolation.
    """

    images: Frames
    rate: float
    sampling: Sampling

    #: Frames in memory have no file.
    path = None

    def _valid_frames(self) -> Frames:
        how = self.sampling
        shown = np.floor(np.arange(how.steps) / how.fps * self.rate + 1e-6).astype(int)
        images = self.images[shown[shown < len(self.images)]]
        return np.stack([resize_image(image, how.size, how.interpolation) for image in images])

    def parts(self) -> tuple[Any, ...]:
        """Return plain values from which these frames can be made again, for pickles and caches."""
        return (self.images, self.rate, *astuple(self.sampling))

    @classmethod
    def from_parts(cls, images: Frames, rate: float, *sampling: Any) -> ArrayFrames:
        """Make the frames of which ``parts`` gave the values."""
        return cls(images, rate, Sampling(*sampling))


@dataclass(frozen=True)
class FrameSources:
    """The clips given to an embedder.

    Parameters
    ----------
    items : list
        Frames that are lazy or in arrays, or None.
    """

    items: list[Any]

    @property
    def sources(self) -> list[Any]:
        """The items in the form that a cache can key on."""
        return [item.parts() if isinstance(item, ArrayFrames) else item for item in self.items]

    @property
    def n_steps(self) -> int | None:
        """The largest number of frames; None if all clips are missing."""
        return max((item.shape[0] for item in self.items if item is not None), default=None)

    @property
    def image_size(self) -> tuple[int, int] | None:
        """Height and width; None if all clips are missing."""
        sizes = {tuple(item.shape[1:3]) for item in self.items if item is not None}
        if len(sizes) > 1:
            raise ClipTableError(
                f"images have the sizes {sorted(sizes)}; a VideoFrameSampler makes them equal"
            )
        return next(iter(sizes), None)


def frame_sources(X: Any) -> FrameSources:
    """Split X into clips.

    Parameters
    ----------
    X : sequence of n_clips frames
        Lazy frames, arrays of shape (steps, height, width, 3) or None.

    Returns
    -------
    FrameSources
        The clips.

    Raises
    ------
    ClipTableError
        If X is a clip table or holds paths or arrays of another shape.
    """
    if isinstance(X, pd.DataFrame):
        raise ClipTableError(
            "X is a table; an embedder takes frames: put a VideoFrameSampler before it"
        )
    items = clip_sources(X, "video")
    for row, item in enumerate(items):
        if item is None or isinstance(item, ClipFrames):
            continue
        if isinstance(item, str | bytes | os.PathLike):
            raise ClipTableError(
                f"clip {row} is the path {os.fspath(item)!r}; an embedder takes frames: put a "
                f"VideoFrameSampler before it"
            )
        items[row] = array = np.asarray(item)
        if array.ndim != 4 or array.shape[-1] != 3 or array.dtype.kind not in "uif":
            raise ClipTableError(
                f"clip {row} is {array.dtype} of shape {array.shape}; frames are numbers of "
                f"shape (steps, height, width, 3)"
            )
        if not array.size:
            raise ClipTableError(f"clip {row} has the shape {array.shape}; use None for no frames")
    return FrameSources(items)


def decode(source: Any) -> Clip:
    """Read the frames of a clip, and tell which are there."""
    if isinstance(source, tuple):
        source = ArrayFrames.from_parts(*source)
    if isinstance(source, ClipFrames):
        frames, n_valid = source.read()
        return frames, np.arange(len(frames)) < n_valid
    if source.dtype.kind == "f":
        return source, ~np.isnan(source).any(axis=(1, 2, 3))
    return source, np.ones(len(source), dtype=bool)

"""The frames of a clip, read when they are asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, astuple, dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from skavsc.media import read_frames, resize_image

Frames = NDArray[np.uint8]

# To be raised when other frames or pixels are read than before, so that caches notice.
_READING = 2


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

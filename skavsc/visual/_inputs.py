"""The input of embedders, turned into frames."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skavsc._clips import clip_sources
from skavsc.exceptions import ClipTableError
from skavsc.visual._frames import ArrayFrames, ClipFrames

#: Frames (steps, height, width, 3), and which of them are there (steps,).
Clip = tuple[NDArray[Any], NDArray[np.bool_]]


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

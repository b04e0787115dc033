"""The streams of a set of clips, and which of their frames can be used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Stream:
    """One modality's features of n clips; time is the last axis but one.

    Attributes
    ----------
    data : ndarray of shape (n_clips, ..., n_frames, n_channels)
        The features; frames that hold a NaN are missing.
    segment_frames : int
        The frames of one second, which is what the networks take in.
    stride : int
        The frames from one possible start of a crop to the next.
    block_scaled : bool
        Whether the network scales each second to [-1, 1] before all else. What is mixed or
        masked in training must be on that scale, or the quieter of two clips would not count.
    """

    data: NDArray[Any]
    segment_frames: int
    stride: int = 1
    block_scaled: bool = False

    @property
    def n_seconds(self) -> int:
        """The whole seconds of a clip."""
        return self.data.shape[-2] // self.segment_frames

    @property
    def n_starts(self) -> int:
        """The possible starts of a crop of one second."""
        return (self.data.shape[-2] - self.segment_frames) // self.stride + 1

    def take(self, clip: int, first_frame: int) -> NDArray[Any]:
        """Give one second of a clip."""
        return self.data[clip][..., first_frame : first_frame + self.segment_frames, :]

    def usable_frames(self) -> NDArray[np.bool_]:
        """Tell which frames of each clip hold no NaN, shape (n_clips, n_frames).

        Raises
        ------
        ValueError
            If a clip holds an infinite value.
        """
        usable = np.empty((len(self.data), self.data.shape[-2]), dtype=bool)
        for clip, features in enumerate(self.data):
            # A clip at a time: the features may be a file larger than memory.
            if np.isinf(features).any():
                raise ValueError(
                    f"the features of clip {clip} hold infinity; take logarithms with a floor"
                )
            other_axes = tuple(axis for axis in range(features.ndim) if axis != features.ndim - 2)
            usable[clip] = ~np.isnan(features).any(axis=other_axes)
        return usable


class ClipStreams:
    """The aligned streams of a set of clips, with what can be used of each clip.

    Parameters
    ----------
    streams : mapping of str to Stream
        The modalities, all of the same clips.

    Attributes
    ----------
    usable_starts : ndarray of shape (n_clips, n_starts), bool
        The starts at which a crop of every stream is whole.
    usable_seconds : ndarray of shape (n_clips, n_seconds), bool
        The seconds in which every stream is whole.
    """

    def __init__(self, streams: Mapping[str, Stream]) -> None:
        self.streams = dict(streams)
        n_starts = min(stream.n_starts for stream in self.streams.values())
        n_seconds = min(stream.n_seconds for stream in self.streams.values())
        self.n_clips = len(next(iter(self.streams.values())).data)
        self.usable_starts = np.ones((self.n_clips, n_starts), dtype=bool)
        self.usable_seconds = np.ones((self.n_clips, n_seconds), dtype=bool)
        for stream in self.streams.values():
            windows = np.lib.stride_tricks.sliding_window_view(
                stream.usable_frames(), stream.segment_frames, axis=1
            )
            whole: NDArray[np.bool_] = np.all(windows, axis=-1)
            self.usable_starts &= whole[:, :: stream.stride][:, :n_starts]
            self.usable_seconds &= whole[:, :: stream.segment_frames][:, :n_seconds]

    def crops(
        self, clips: NDArray[np.intp], starts: NDArray[np.intp]
    ) -> dict[str, NDArray[np.float32]]:
        """Give one second of each of the named clips, all streams from the same moment."""
        return {
            name: np.stack(
                [
                    stream.take(clip, start * stream.stride)
                    for clip, start in zip(clips, starts, strict=True)
                ]
            ).astype(np.float32, copy=False)
            for name, stream in self.streams.items()
        }

    def seconds(
        self, clips: NDArray[np.intp], seconds: NDArray[np.intp]
    ) -> dict[str, NDArray[np.float32]]:
        """Give the named seconds of the named clips."""
        return {
            name: np.stack(
                [
                    stream.take(clip, second * stream.segment_frames)
                    for clip, second in zip(clips, seconds, strict=True)
                ]
            ).astype(np.float32, copy=False)
            for name, stream in self.streams.items()
        }

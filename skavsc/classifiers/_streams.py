"""The streams of a set of clips, and which of their frames can be used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

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

    #: What a second is filled with where the stream is missing and the network can do without:
    #: a constant block is 0 after scaling, and the embedding of no real frame is 0 throughout.
    blank: ClassVar[float] = 0.0

    @property
    def n_seconds(self) -> int:
        """The whole seconds of a clip."""
        return self.data.shape[-2] // self.segment_frames

    @property
    def n_starts(self) -> int:
        """The possible starts of a crop of one second."""
        return (self.data.shape[-2] - self.segment_frames) // self.stride + 1

    @property
    def segment_shape(self) -> tuple[int, ...]:
        """The shape of one second."""
        return (*self.data.shape[1:-2], self.segment_frames, self.data.shape[-1])

    def take(self, clip: int, first_frame: int) -> NDArray[Any]:
        """Give one second of a clip."""
        return self.data[clip][..., first_frame : first_frame + self.segment_frames, :]

    def made_of(self, frames: Sequence[Any] | None) -> Stream:
        """Give the stream with the frames that it embeds; itself if there are none."""
        if frames is None:
            return self
        return EmbeddedFrames(self.data, self.segment_frames, self.stride, frames=frames)

    def usable_frames(self) -> NDArray[np.bool_]:
        """Tell which frames of each clip hold no NaN, shape (n_clips, n_frames).

        Raises
        ------
        ValueError
            If a clip holds an infinite value.
        """
        usable = np.empty((len(self.data), self.data.shape[-2]), dtype=bool)
        for clip, features in enumerate(self.data):
            # A clip at a time: the features may be a file larger than memory. A sum is finite
            # only where all of its terms are, and takes a quarter of the time of asking each.
            bands = features.reshape(-1, *features.shape[-2:])
            if np.isfinite(np.einsum("bfc->f", bands)).all():
                usable[clip] = True
                continue
            if np.isinf(features).any():
                raise ValueError(
                    f"the features of clip {clip} hold infinity; take logarithms with a floor"
                )
            other_axes = tuple(axis for axis in range(features.ndim) if axis != features.ndim - 2)
            usable[clip] = ~np.isnan(features).any(axis=other_axes)
        return usable


@dataclass(frozen=True)
class EmbeddedFrames(Stream):
    """The embeddings of frames, with the frames that they were made of.

    Attributes
    ----------
    frames : sequence of n_clips items
        Each of shape (n_frames, height, width, 3), perhaps decoded when it is made an array;
        None for a clip without frames.
    """

    frames: Sequence[Any] = ()


@dataclass(frozen=True)
class FrameStream(EmbeddedFrames):
    """The frames themselves; usable are those whose embeddings hold no NaN."""

    blank: ClassVar[float] = -1.0
    _decoded: dict[int, NDArray[Any]] = field(default_factory=dict, repr=False)

    @property
    def segment_shape(self) -> tuple[int, ...]:
        """The shape of one second."""
        image = next(item.shape[1:] for item in self.frames if item is not None)
        return (self.segment_frames, *image)

    def take(self, clip: int, first_frame: int) -> NDArray[Any]:
        """Give the frames of one second of a clip, which is decoded whole."""
        frames = self._decoded.get(clip)
        if frames is None:
            frames = np.asarray(self.frames[clip])
            # The last one only: the seconds of a clip are asked for one after the other.
            self._decoded.clear()
            self._decoded[clip] = frames
        return frames[first_frame : first_frame + self.segment_frames]


class ClipStreams:
    """The aligned streams of a set of clips, with what can be used of each clip.

    Parameters
    ----------
    streams : mapping of str to Stream
        The modalities, all of the same clips.
    any_will_do : bool, default=False
        Whether a second is usable where at least one stream is whole, the others being left
        blank, and not only where all are.

    Attributes
    ----------
    usable_starts : ndarray of shape (n_clips, n_starts), bool
        The starts at which a crop can be taken.
    usable_seconds : ndarray of shape (n_clips, n_seconds), bool
        The seconds that can be judged.
    """

    def __init__(self, streams: Mapping[str, Stream], *, any_will_do: bool = False) -> None:
        self.streams = dict(streams)
        self.any_will_do = any_will_do
        self.n_clips = len(next(iter(self.streams.values())).data)
        n_starts = min(stream.n_starts for stream in self.streams.values())
        self._whole: dict[str, NDArray[np.bool_]] = {}
        starts = []
        for name, stream in self.streams.items():
            windows = np.lib.stride_tricks.sliding_window_view(
                stream.usable_frames(), stream.segment_frames, axis=1
            )
            whole: NDArray[np.bool_] = np.all(windows, axis=-1)
            self._whole[name] = whole
            starts.append(whole[:, :: stream.stride][:, :n_starts])
        combine = np.logical_or if any_will_do else np.logical_and
        self.usable_starts: NDArray[np.bool_] = combine.reduce(starts)
        self.usable_seconds = self.usable_starts[:, :: self.hop()]

    def hop(self, per_second: int = 1) -> int:
        """Give the distance, in starts, of crops of which so many begin in a second.

        Raises
        ------
        ValueError
            If it is no whole number.
        """
        stream = next(iter(self.streams.values()))
        n_starts = stream.segment_frames // stream.stride
        if n_starts % per_second:
            raise ValueError(
                f"starts_per_second={per_second} does not divide the {n_starts} frames of a "
                "second; set it to 1, or to another divisor"
            )
        return n_starts // per_second

    def on_frames(self) -> ClipStreams:
        """Give the same clips with frames in place of their embeddings."""
        streams = {
            name: FrameStream(
                stream.data, stream.segment_frames, stream.stride, frames=stream.frames
            )
            if isinstance(stream, EmbeddedFrames)
            else stream
            for name, stream in self.streams.items()
        }
        return ClipStreams(streams, any_will_do=self.any_will_do)

    def crops(
        self, clips: NDArray[np.intp], starts: NDArray[np.intp]
    ) -> dict[str, NDArray[np.float32]]:
        """Give one second of each of the named clips, all streams from the same moment."""
        return {
            name: self._cut(name, clips, starts * stream.stride)
            for name, stream in self.streams.items()
        }

    def _cut(
        self, name: str, clips: NDArray[np.intp], first_frames: NDArray[np.intp]
    ) -> NDArray[np.float32]:
        stream, whole = self.streams[name], self._whole[name]
        cut = np.empty((len(clips), *stream.segment_shape), dtype=np.float32)
        for row, (clip, first) in enumerate(zip(clips, first_frames, strict=True)):
            cut[row] = stream.take(clip, first) if whole[clip, first] else stream.blank
        return cut

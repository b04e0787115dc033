"""The features of clips, cut into segments of one second, and the sets to train on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from skavsc.exceptions import MissingModalityError


@dataclass(frozen=True)
class ModalityFeatures:
    """The features of n clips in one modality; time is the last axis but one.

    Attributes
    ----------
    data : ndarray of shape (n_clips, ..., n_frames, n_channels)
        The features; frames that hold a NaN are missing.
    segment_frames : int
        Number of frames of a segment.
    stride : int
        Number of frames from one possible start of a crop to the next.
    frames : sequence of n_clips items or None
        What the features are the embeddings of: frames (n_frames, height, width, 3), decoded
        when they are made an array; None for a clip without.
    usable_frames : ndarray of shape (n_clips, n_frames), bool
        Which frames of each clip hold no NaN. Found by one scan of the data, unless given.

    Raises
    ------
    ValueError
        If a clip holds an infinite value.

    Examples
    --------
    >>> import numpy as np
    >>> from skavsc.training import ModalityFeatures
    >>> sound = ModalityFeatures(np.zeros((8, 64, 100, 3), dtype=np.float32), segment_frames=50)
    >>> sound.n_segments, sound.segment_shape
    (2, (64, 50, 3))
    """

    data: NDArray[Any]
    segment_frames: int
    stride: int = 1
    frames: Sequence[Any] | None = None
    usable_frames: NDArray[np.bool_] = None  # type: ignore[assignment]

    #: What a segment is filled with where the modality is missing and the network can do without:
    #: a constant block is 0 after scaling, and the embedding of no real frame is 0 throughout.
    blank: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        if self.usable_frames is None:
            object.__setattr__(self, "usable_frames", find_usable_frames(self.data))

    @property
    def n_segments(self) -> int:
        """Number of whole segments of a clip."""
        return self.data.shape[-2] // self.segment_frames

    @property
    def n_starts(self) -> int:
        """Number of possible starts of a crop of one segment."""
        return (self.data.shape[-2] - self.segment_frames) // self.stride + 1

    @property
    def segment_shape(self) -> tuple[int, ...]:
        """The shape of one segment."""
        return (*self.data.shape[1:-2], self.segment_frames, self.data.shape[-1])

    def segment(self, clip: int, first_frame: int) -> NDArray[Any]:
        """Return one segment of a clip."""
        return self.data[clip][..., first_frame : first_frame + self.segment_frames, :]


@dataclass(frozen=True)
class FrameFeatures(ModalityFeatures):
    """Frames in place of their embeddings; a frame is usable if its embedding holds no NaN."""

    blank: ClassVar[float] = -1.0
    _decoded: dict[int, NDArray[Any]] = field(default_factory=dict, repr=False)

    @property
    def segment_shape(self) -> tuple[int, ...]:
        """The shape of one segment."""
        image = next(item.shape[1:] for item in self.frames or () if item is not None)
        return (self.segment_frames, *image)

    def segment(self, clip: int, first_frame: int) -> NDArray[Any]:
        """Return the frames of one segment of a clip; the whole clip is decoded."""
        frames = self._decoded.get(clip)
        if frames is None:
            assert self.frames is not None
            frames = np.asarray(self.frames[clip])
            # Only the last clip is kept: the segments of a clip are read one after the other.
            self._decoded.clear()
            self._decoded[clip] = frames
        return frames[first_frame : first_frame + self.segment_frames]


@dataclass(frozen=True)
class StepFeatures(ModalityFeatures):
    """Embeddings for a network that knows missing steps by NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from skavsc.training import ClipFeatures, StepFeatures
    >>> parts = {name: np.ones((1, 4, 8), dtype=np.float32) for name in ("audio", "visual")}
    >>> parts["visual"][:] = np.nan  # the camera has failed
    >>> features = ClipFeatures(
    ...     {name: StepFeatures(data, segment_frames=2) for name, data in parts.items()},
    ...     any_modality=True,
    ... )
    >>> bool(np.isnan(features.crops(np.array([0]), np.array([0]))["visual"]).all())
    True
    """

    blank: ClassVar[float] = np.nan


def network_inputs(inputs: dict[str, NDArray[np.float32]]) -> Any:
    """Return the modalities as Keras takes them: one array, or a tuple in their order."""
    parts = tuple(inputs.values())
    return parts[0] if len(parts) == 1 else parts


def find_usable_frames(data: NDArray[Any]) -> NDArray[np.bool_]:
    """Find the frames of each clip that hold no NaN, shape (n_clips, n_frames).

    Raises
    ------
    ValueError
        If a clip holds an infinite value.
    """
    usable = np.empty((len(data), data.shape[-2]), dtype=bool)
    for clip, features in enumerate(data):
        # A clip at a time: the features may be a file larger than memory. A sum is finite only
        # if all of its terms are, and takes a quarter of the time of testing each.
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


class ClipFeatures:
    """The aligned features of clips in all modalities, with the segments that can be used.

    Parameters
    ----------
    modalities : mapping of str to ModalityFeatures
        The modalities, all of the same clips.
    any_modality : bool, default=False
        Whether a segment is usable where at least one modality is whole, the others being left
        blank, and not only where all are.

    Attributes
    ----------
    usable_starts : ndarray of shape (n_clips, n_starts), bool
        The starts at which a crop can be taken.
    usable_segments : ndarray of shape (n_clips, n_segments), bool
        The segments that can be predicted from.

    Examples
    --------
    >>> import numpy as np
    >>> from skavsc.training import ClipFeatures, ModalityFeatures
    >>> sound = np.zeros((2, 64, 100, 3), dtype=np.float32)
    >>> sound[1, :, 50:] = np.nan  # the second clip is half as long
    >>> features = ClipFeatures({"audio": ModalityFeatures(sound, segment_frames=50)})
    >>> features.usable_segments.tolist()
    [[True, True], [True, False]]
    """

    def __init__(
        self, modalities: Mapping[str, ModalityFeatures], *, any_modality: bool = False
    ) -> None:
        self.modalities = dict(modalities)
        self.any_modality = any_modality
        self.n_clips = len(next(iter(self.modalities.values())).data)
        n_starts = min(part.n_starts for part in self.modalities.values())
        self._whole: dict[str, NDArray[np.bool_]] = {}
        starts = []
        for name, part in self.modalities.items():
            windows = np.lib.stride_tricks.sliding_window_view(
                part.usable_frames, part.segment_frames, axis=1
            )
            whole: NDArray[np.bool_] = np.all(windows, axis=-1)
            self._whole[name] = whole
            starts.append(whole[:, :: part.stride][:, :n_starts])
        combine = np.logical_or if any_modality else np.logical_and
        self.usable_starts: NDArray[np.bool_] = combine.reduce(starts)
        self.usable_segments = self.usable_starts[:, :: self.starts_between(1)]

    def starts_between(self, starts_per_second: int) -> int:
        """Return the distance between segments, in starts, for a number of segments a second.

        Raises
        ------
        ValueError
            If it is not a whole number.
        """
        part = next(iter(self.modalities.values()))
        n_starts = part.segment_frames // part.stride
        if n_starts % starts_per_second:
            raise ValueError(
                f"starts_per_second={starts_per_second} does not divide the {n_starts} frames of "
                "a segment; set it to 1, or to another divisor"
            )
        return n_starts // starts_per_second

    def only(self, name: str) -> ClipFeatures:
        """Return one modality alone, whose crops may start at any frame."""
        return ClipFeatures({name: replace(self.modalities[name], stride=1)})

    def on_frames(self) -> ClipFeatures:
        """Return the same clips with frames in place of their embeddings."""
        changed = {
            name: FrameFeatures(
                part.data, part.segment_frames, part.stride, part.frames, part.usable_frames
            )
            if part.frames is not None
            else part
            for name, part in self.modalities.items()
        }
        return ClipFeatures(changed, any_modality=self.any_modality)

    def crops(
        self, clips: NDArray[np.intp], starts: NDArray[np.intp]
    ) -> dict[str, NDArray[np.float32]]:
        """Return one segment of each of the given clips, all modalities from the same moment."""
        return {
            name: self._cut(name, clips, starts * part.stride)
            for name, part in self.modalities.items()
        }

    def _cut(
        self, name: str, clips: NDArray[np.intp], first_frames: NDArray[np.intp]
    ) -> NDArray[np.float32]:
        part, whole = self.modalities[name], self._whole[name]
        cut = np.empty((len(clips), *part.segment_shape), dtype=np.float32)
        for row, (clip, first) in enumerate(zip(clips, first_frames, strict=True)):
            cut[row] = part.segment(clip, first) if whole[clip, first] else part.blank
        return cut


@dataclass(frozen=True)
class LabelledClips:
    """Clips with their labels, and the rows to use.

    Attributes
    ----------
    features : ClipFeatures
        The features of n_clips clips.
    labels : ndarray of shape (n_clips,)
        The labels as the user gave them.
    weights : ndarray of shape (n_clips,) or None
        The weights.
    rows : ndarray of int
        The clips to use; each has a usable segment.

    Examples
    --------
    >>> import numpy as np
    >>> from skavsc.training import ClipFeatures, LabelledClips, ModalityFeatures
    >>> sound = ModalityFeatures(np.zeros((2, 64, 50, 1), dtype=np.float32), segment_frames=50)
    >>> labels = np.array(["park", "tram"])
    >>> clips = LabelledClips(ClipFeatures({"audio": sound}), labels, None, np.arange(2))
    >>> clips.targets(np.unique(labels)).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """

    features: ClipFeatures
    labels: NDArray[Any]
    weights: NDArray[np.float32] | None
    rows: NDArray[np.intp]

    def targets(self, classes: NDArray[Any]) -> NDArray[np.float32]:
        """Return one-hot targets of shape (n_clips, n_classes)."""
        return (self.labels[:, None] == classes).astype(np.float32)


@dataclass(frozen=True)
class TrainingSet:
    """The clips that a network is trained and validated with.

    Attributes
    ----------
    train : LabelledClips
        The clips to train on.
    validation : LabelledClips or None
        The clips to stop training by.
    classes : ndarray of shape (n_classes,)
        All labels there are.
    seed : int
        The seed of everything random in this fit.

    Examples
    --------
    >>> import numpy as np
    >>> from skavsc.training import ClipFeatures, LabelledClips, ModalityFeatures, TrainingSet
    >>> sound = ModalityFeatures(np.zeros((2, 64, 50, 1), dtype=np.float32), segment_frames=50)
    >>> labels = np.array(["park", "tram"])
    >>> clips = LabelledClips(ClipFeatures({"audio": sound}), labels, None, np.arange(2))
    >>> training_set = TrainingSet(clips, None, np.unique(labels), seed=0)
    >>> len(training_set.only("audio").train.rows)
    2
    """

    train: LabelledClips
    validation: LabelledClips | None
    classes: NDArray[Any]
    seed: int

    def only(self, name: str) -> TrainingSet:
        """Return the clips that have a modality, with that modality alone."""

        def narrowed(clips: LabelledClips) -> LabelledClips:
            features = clips.features.only(name)
            rows = clips.rows[features.usable_segments[clips.rows].any(axis=1)]
            if len(rows) == 0:
                raise MissingModalityError(
                    f"of {len(clips.rows)} clips to train or validate on, none has a whole "
                    f"segment (one second) of {name}; each modality must be there in some of them"
                )
            return replace(clips, features=features, rows=rows)

        return self._changed(narrowed)

    def on_frames(self) -> TrainingSet:
        """Return the same clips with frames in place of their embeddings."""
        return self._changed(lambda clips: replace(clips, features=clips.features.on_frames()))

    def _changed(self, change: Callable[[LabelledClips], LabelledClips]) -> TrainingSet:
        validation = None if self.validation is None else change(self.validation)
        return replace(self, train=change(self.train), validation=validation)

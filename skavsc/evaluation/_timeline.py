"""Which scene a long recording shows when: probabilities over time, and segments of one scene."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from skavsc._sklearn_compat import Interval, validate_params
from skavsc.audio import AudioEmbedder, GammatoneMelTransformer
from skavsc.exceptions import MissingTrackError
from skavsc.media import stream_frames, stream_sound
from skavsc.visual import VideoFrameSampler

# Of the probabilities that are computed at once: more take more memory, and not less time.
_BATCH = 16

# The least part of a window that must be there.
_LEAST = 0.5


@validate_params(
    {
        "estimator": [BaseEstimator],
        "path": [str, os.PathLike],
        "hop": [Interval(Real, 0, None, closed="neither")],
    },
    prefer_skip_nested_validation=True,
)
def scene_timeline(
    estimator: Any, path: str | os.PathLike[str], *, hop: float = 1.0
) -> pd.DataFrame:
    """Predict the scenes of a long recording over time.

    Parameters
    ----------
    estimator : estimator
        A fitted classifier of clip tables, such as a Pipeline of `make_scene_classifier`. The
        length of the clips is that of its features.
    path : path-like
        A sound or video file of any length.
    hop : float, default=1.0
        The time from one prediction to the next, in seconds, greater than 0.

    Returns
    -------
    pandas.DataFrame
        One row for each ``hop`` seconds: ``start`` and ``end``, in seconds, and a column of
        probabilities for each label. The last row ends with the recording, whose length is known
        to one frame of the `VideoFrameSampler`, or to a sample. A row is the prediction of the
        clip around its middle, which is shifted where it would exceed the recording. NaN where
        there is nothing to read.

    Raises
    ------
    MissingTrackError
        If the file has nothing that the classifier takes.
    MediaError
        If the file cannot be read.
    ValueError
        If the estimator does not take clip tables, or has several `VideoFrameSampler` that differ
        in more than ``duration``.

    See Also
    --------
    scene_segments : Merge the rows of one scene.

    Notes
    -----
    The recording is decoded once, and only the part that is being predicted is in memory. Every
    clip is predicted on its own: with a hop of 1 s, clips of 10 s take ten times as long as the
    recording cut into clips.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np, soundfile
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from skavsc import GammatoneMelTransformer, TimePooling
    >>> from skavsc.evaluation import scene_segments, scene_timeline
    >>> features = GammatoneMelTransformer(channels="mono", sample_rate=8000, duration=2, n_bands=8)
    >>> model = make_pipeline(features, TimePooling(["mean"]), LogisticRegression())
    >>> time = np.arange(16_000) / 8000
    >>> low, high = np.sin(800 * time), np.sin(8000 * time)
    >>> model = model.fit([low, high, 0.5 * low, 0.5 * high], ["low", "high", "low", "high"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "both.wav")
    ...     soundfile.write(path, np.concatenate([low, low, high, high]), 8000)
    ...     timeline = scene_timeline(model, path)
    >>> scene_segments(timeline)[["start", "end", "scene"]]
       start  end scene
    0    0.0  4.0   low
    1    4.0  8.0  high
    """
    tracks = _tracks(estimator, path)
    rows: list[tuple[float, float]] = []
    probabilities: list[NDArray[np.float64]] = []
    clips: list[dict[str, Any]] = []
    for start in _starts(tracks, hop):
        rows.append((start, start + hop))
        end = _end(tracks)
        clips.append({name: track.around(start + hop / 2, end) for name, track in tracks.items()})
        if len(clips) == _BATCH:
            probabilities.append(_predicted(estimator, clips))
            clips = []
    if clips:
        probabilities.append(_predicted(estimator, clips))
    timeline = pd.DataFrame(rows, columns=["start", "end"], dtype=np.float64)
    timeline.loc[len(rows) - 1, "end"] = _end(tracks)
    values = pd.DataFrame(np.concatenate(probabilities), columns=estimator.classes_)
    return pd.concat([timeline, values], axis=1)


class _Track:
    """The part of a track that is being predicted, which moves along the recording.

    Parameters
    ----------
    pieces : iterator of (ndarray, float)
        The track, piece by piece: arrays whose first axis is time, and their rate.
    duration : float
        The length of a clip, in seconds.
    """

    def __init__(self, pieces: Iterator[tuple[NDArray[Any], float]], duration: float) -> None:
        self.duration = duration
        #: In seconds, once it is known.
        self.end = np.inf
        self._pieces = pieces
        first, self._rate = next(pieces)
        self._held = [first]
        self._begin, self._stop = 0, len(first)

    def read_to(self, time: float) -> None:
        """Read on up to a time in seconds, or to the end."""
        while self._stop < time * self._rate and self.end == np.inf:
            piece, _ = next(self._pieces, (None, 0))
            if piece is None:
                self.end = self._stop / self._rate
            else:
                self._held.append(piece)
                self._stop += len(piece)

    def around(self, middle: float, end: float) -> tuple[NDArray[Any], float] | None:
        """Return the clip around a time, or None if less than half of it is there."""
        start = max(min(middle, end - self.duration / 2) - self.duration / 2, 0.0)
        wanted = round(self.duration * self._rate)
        first = round(start * self._rate)
        last = min(first + wanted, self._stop)
        # Clips move forward only.
        while self._held and self._begin + len(self._held[0]) <= first:
            self._begin += len(self._held.pop(0))
        if last - first < _LEAST * min(wanted, round(end * self._rate) if end < np.inf else wanted):
            return None
        clip = np.concatenate(self._held)[first - self._begin : last - self._begin]
        # Waveforms have their channels first.
        return (clip.T if clip.ndim == 2 else clip), self._rate


def _tracks(estimator: Any, path: str | os.PathLike[str]) -> dict[str, _Track]:
    """Open what a recording has of what an estimator takes, by column of a clip table."""
    tracks: dict[str, _Track] = {}
    missing: MissingTrackError | None = None
    parts = {"estimator": estimator, **estimator.get_params()}
    sound = [
        part for part in parts.values() if isinstance(part, AudioEmbedder | GammatoneMelTransformer)
    ]
    picture = {name: part for name, part in parts.items() if isinstance(part, VideoFrameSampler)}
    if not sound and not picture:
        raise ValueError(
            f"estimator={estimator!r} does not take clip tables; pass a Pipeline that begins with "
            "the features, such as one of make_scene_classifier"
        )
    try:
        if sound:
            pieces = ((wave.T, rate) for wave, rate in stream_sound(path, downmix=True))
            tracks["audio"] = _Track(pieces, max(part.duration for part in sound))
    except MissingTrackError as error:
        missing = error
    try:
        if picture:
            frames = _frames(path, _common_sampler(picture))
            tracks["video"] = _Track(frames, max(part.duration for part in picture.values()))
    except MissingTrackError as error:
        missing = error
    if not tracks:
        assert missing is not None
        raise missing
    return tracks


def _common_sampler(samplers: dict[str, VideoFrameSampler]) -> VideoFrameSampler:
    """Return a sampler that gives the frames of all, as a recording is decoded once."""
    settings = {
        name: f"fps={sampler.fps!r}, size={sampler.size!r}, interpolation={sampler.interpolation!r}"
        for name, sampler in samplers.items()
    }
    if len(set(settings.values())) > 1:
        listed = "; ".join(f"{name}: {text}" for name, text in settings.items())
        raise ValueError(
            f"the estimator has {len(samplers)} VideoFrameSamplers that differ ({listed}), and a "
            "recording is decoded once; give them the same fps, size and interpolation, or predict "
            "clips in place of a timeline"
        )
    return next(iter(samplers.values()))


def _frames(
    path: str | os.PathLike[str], sampler: VideoFrameSampler
) -> Iterator[tuple[NDArray[np.uint8], float]]:
    images = stream_frames(
        path, fps=sampler.fps, size=sampler.size, interpolation=sampler.interpolation
    )
    for image in images:
        yield image[None], sampler.fps


def _end(tracks: dict[str, _Track]) -> float:
    """Return where a recording ends, in seconds; infinity as long as that is not known."""
    return max(track.end for track in tracks.values())


def _starts(tracks: dict[str, _Track], hop: float) -> Iterator[float]:
    """Yield the starts of the rows, each when the clip around it has been read."""
    number = 0
    while True:
        for track in tracks.values():
            half = track.duration / 2
            track.read_to(max((number + 1) * hop, (number + 0.5) * hop + half, track.duration))
        if number and _end(tracks) < (number + 0.5) * hop:
            return
        yield number * hop
        number += 1


def _predicted(estimator: Any, clips: list[dict[str, Any]]) -> NDArray[np.float64]:
    """Predict clips; a row of NaN for those that hold nothing."""
    X = pd.DataFrame(clips, columns=["audio", "video"], dtype=object)
    there = X.notna().any(axis=1).to_numpy()
    probabilities = np.full((len(X), len(estimator.classes_)), np.nan)
    if there.any():
        probabilities[there] = estimator.predict_proba(X[there])
    return probabilities


def scene_segments(timeline: pd.DataFrame, *, shortest: float = 0.0) -> pd.DataFrame:
    """Merge neighbouring rows of a timeline whose most probable scene is the same.

    Parameters
    ----------
    timeline : pandas.DataFrame
        As from `scene_timeline`.
    shortest : float, default=0.0
        The length of the shortest segment, in seconds, at least 0. Shorter ones, the shortest
        first, are added to that neighbour whose scene is more probable in them.

    Returns
    -------
    pandas.DataFrame
        The columns ``start`` and ``end``, in seconds, ``scene`` and ``probability``, its mean over
        the segment. Rows of NaN are in no segment.

    Raises
    ------
    ValueError
        If ``shortest`` is below 0.

    Examples
    --------
    >>> import pandas as pd
    >>> from skavsc.evaluation import scene_segments
    >>> timeline = pd.DataFrame(
    ...     {"start": [0, 1, 2], "end": [1, 2, 3], "park": [0.9, 0.7, 0.1], "tram": [0.1, 0.3, 0.9]}
    ... )
    >>> scene_segments(timeline)
       start  end scene  probability
    0      0    2  park          0.8
    1      2    3  tram          0.9
    """
    if not shortest >= 0:
        raise ValueError(f"shortest={shortest!r} must be at least 0")
    labels = timeline.columns[2:]
    values = timeline[labels].to_numpy(dtype=float)
    known = ~np.isnan(values).any(axis=1)
    scenes = np.full(len(values), -1)
    scenes[known] = values[known].argmax(axis=1)
    starts, ends = timeline["start"].to_numpy(), timeline["end"].to_numpy()
    while True:
        edges = np.flatnonzero(np.diff(scenes, prepend=-2, append=-2))
        runs = list(itertools.pairwise(edges.tolist()))
        absorbed = _absorb_shortest(runs, scenes, values, starts, ends, shortest)
        if not absorbed:
            break
    rows = [
        (starts[first], ends[last - 1], labels[code], values[first:last, code].mean())
        for first, last in runs
        if (code := scenes[first]) >= 0
    ]
    return pd.DataFrame(rows, columns=["start", "end", "scene", "probability"])


def _absorb_shortest(
    runs: list[tuple[int, int]],
    scenes: NDArray[np.intp],
    values: NDArray[np.float64],
    starts: NDArray[Any],
    ends: NDArray[Any],
    shortest: float,
) -> bool:
    """Add the shortest run that is too short to a neighbour; return whether there was one."""
    lengths = {
        (first, last): ends[last - 1] - starts[first] for first, last in runs if scenes[first] >= 0
    }
    for first, last in sorted(lengths, key=lambda run: lengths[run]):
        if lengths[first, last] >= shortest:
            return False
        beside = [scenes[row] for row in (first - 1, last) if 0 <= row < len(scenes)]
        candidates = [code for code in beside if code >= 0]
        if candidates:
            best = max(candidates, key=lambda code: values[first:last, code].sum())
            scenes[first:last] = best
            return True
    return False

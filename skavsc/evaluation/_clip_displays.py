"""Displays over time: of the training by epoch, and of a clip by segment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from skavsc.evaluation._cross_validation import final_classifier, training_histories
from skavsc.evaluation._displays import new_axes
from skavsc.media import read_frames


class TrainingDisplay:
    """Loss after each epoch of every stage of the training.

    Made by ``from_estimator``, or of the histories that a `SceneReport` keeps.

    Parameters
    ----------
    histories : dict of str to dict
        For each stage, by name, the lists ``loss`` and, where there is validation, ``val_loss``.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        The axes.
    figure_ : matplotlib.figure.Figure
        The figure.

    Examples
    --------
    >>> from skavsc.evaluation import TrainingDisplay
    >>> histories = {"audio": {"loss": [2.3, 1.1, 0.7], "val_loss": [2.2, 1.4, 1.2]}}
    >>> TrainingDisplay(histories).plot().ax_.get_ylabel()
    'loss'
    """

    def __init__(self, histories: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
        self.histories = histories

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None) -> Self:
        """Plot the training of a fitted classifier.

        Parameters
        ----------
        estimator : classifier
            Fitted, with ``history_``; or a pipeline, search or fusion of such.
        ax : matplotlib axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        TrainingDisplay
            The display.

        Raises
        ------
        ValueError
            If the estimator has no network.
        """
        histories = training_histories(estimator)
        if not histories:
            raise ValueError(f"{estimator!r} has no network that was trained; nothing to plot")
        return cls(histories).plot(ax=ax)

    def plot(self, *, ax: Any = None) -> Self:
        """Plot the losses of the stages, one after the other.

        Parameters
        ----------
        ax : matplotlib axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        TrainingDisplay
            The display.
        """
        self.ax_ = new_axes(ax, type(self).__name__, (7, 3.5))
        self.figure_ = self.ax_.figure
        first = 1
        for name, history in self.histories.items():
            epochs = first + np.arange(len(history["loss"]))
            (line,) = self.ax_.plot(epochs, history["loss"], label=f"{name}: training")
            if "val_loss" in history:
                self.ax_.plot(
                    epochs[: len(history["val_loss"])],
                    history["val_loss"],
                    "--",
                    color=line.get_color(),
                    label=f"{name}: validation",
                )
            if first > 1:
                self.ax_.axvline(first - 0.5, color="0.5", alpha=0.4, linewidth=1)
            first += len(epochs)
        self.ax_.set(xlabel="epoch (stages one after the other)", ylabel="loss", ylim=(0, None))
        self.ax_.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=2, frameon=False)
        return self


class ClipDisplay:
    """Probabilities of a clip over time, beside its frames.

    Made by ``from_estimator``, or of the probabilities that a `SceneReport` keeps.

    Parameters
    ----------
    probabilities : ndarray of shape (n_segments, n_classes)
        The probabilities of the segments, NaN where there is none.
    classes : array-like of shape (n_classes,)
        The labels.
    frames : ndarray of shape (n_frames, height, width, 3) or None, default=None
        RGB frames at equal distances over the whole clip.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        The axes of the probabilities.
    frame_axes_ : list of matplotlib.axes.Axes
        The axes of the frames.
    figure_ : matplotlib.figure.Figure
        The figure.

    Examples
    --------
    >>> from skavsc.evaluation import ClipDisplay
    >>> display = ClipDisplay([[0.9, 0.1], [0.4, 0.6]], ["bus", "tram"]).plot()
    >>> display.ax_.get_xlabel()
    'segment'
    """

    def __init__(
        self,
        probabilities: ArrayLike,
        classes: ArrayLike,
        frames: NDArray[np.uint8] | None = None,
    ) -> None:
        self.probabilities = np.asarray(probabilities)
        self.classes = np.asarray(classes)
        self.frames = frames

    @classmethod
    def from_estimator(
        cls, estimator: Any, clip: pd.DataFrame, *, n_frames: int = 6, ax: Any = None
    ) -> Self:
        """Plot the probabilities of one clip by a fitted classifier.

        Parameters
        ----------
        estimator : classifier
            Fitted, with ``predict_proba_segments``; or a pipeline or search of such.
        clip : pandas.DataFrame of one row
            The clip table of the clip.
        n_frames : int, default=6
            Number of frames to show, if the clip has a picture.
        ax : matplotlib axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        ClipDisplay
            The display.

        Raises
        ------
        ValueError
            If there is not one row.
        """
        if len(clip) != 1:
            raise ValueError(f"clip has {len(clip)} rows; give the clip table of one clip")
        classifier, features = final_classifier(estimator, clip)
        probabilities = classifier.predict_proba_segments(features)[0]
        video = clip["video"].iloc[0] if "video" in clip else None
        frames = None if video is None or pd.isna(video) else frame_strip(video, n_frames, 90)
        return cls(probabilities, classifier.classes_, frames).plot(ax=ax)

    def plot(self, *, ax: Any = None) -> Self:
        """Plot a line per class, of the five most probable ones, and the frames above.

        Parameters
        ----------
        ax : matplotlib axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        ClipDisplay
            The display.
        """
        self.ax_ = new_axes(ax, type(self).__name__, (7, 4))
        self.figure_ = self.ax_.figure
        segments = np.arange(len(self.probabilities))
        means = np.nanmean(self.probabilities, axis=0)
        for column in np.argsort(-means, kind="stable")[:5]:
            label = str(self.classes[column])
            self.ax_.plot(segments, self.probabilities[:, column], "o-", label=label)
        self.ax_.set(
            xlabel="segment",
            ylabel="probability",
            xlim=(-0.5, len(segments) - 0.5),
            ylim=(-0.02, 1.02),
        )
        self.ax_.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
        self.frame_axes_ = []
        if self.frames is not None:
            width = 1 / len(self.frames)
            for number, frame in enumerate(self.frames):
                inset = self.ax_.inset_axes((number * width, 1.03, width, 0.3))
                inset.imshow(frame)
                inset.set_axis_off()
                self.frame_axes_.append(inset)
        return self


def frame_strip(path: Any, n_frames: int, height: int) -> NDArray[np.uint8]:
    """Read frames at equal distances over a video, in their aspect ratio.

    Parameters
    ----------
    path : path-like
        The video.
    n_frames : int
        Maximum number of frames.
    height : int
        Their height in pixels.

    Returns
    -------
    ndarray of shape (n_frames, height, width, 3), uint8
        RGB.

    Raises
    ------
    MediaError
        If the video cannot be read.
    """
    shape = read_frames(path, fps=1, duration=1).shape
    width = max(1, round(height * shape[2] / shape[1]))
    # At most a minute, so that an hour of video costs no more.
    frames = read_frames(path, fps=4, duration=60, size=(height, width))
    middles = (np.arange(n_frames) + 0.5) * len(frames) / n_frames
    return frames[np.unique(middles.astype(int))]

"""The report of a classifier's predictions: metrics, tables, the surest errors."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import confusion_matrix
from sklearn.utils.validation import check_consistent_length

from skavsc.evaluation._intervals import (
    accuracy_sums,
    loss_sums,
    macro_mean,
    resampled_interval,
)
from skavsc.evaluation._metrics import (
    Scored,
    accuracy_interval,
    check_scored,
    class_log_loss,
    expected_calibration_error,
)

Fold = tuple[NDArray[np.intp], NDArray[np.intp]]


@dataclass
class SceneReport:
    """The predictions for clips, and tables of them.

    Returned by `cross_validate_scenes` and `scene_report`. It holds no estimator and no media, and
    can be pickled, so that further tables and pages need no training.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,)
        The sorted labels.
    y : ndarray of shape (n_clips,)
        The true labels.
    probabilities : ndarray of shape (n_clips, n_classes)
        The probabilities, out of fold; NaN for clips that are in no test fold.
    groups : ndarray of shape (n_clips,)
        The recording locations.
    sample_weight : ndarray of shape (n_clips,)
        The weights of the clips in all metrics; weight 0 is the same as absent.
    clips : pandas.DataFrame of n_clips rows
        The clip table, as far as it is known.
    segments : ndarray of shape (n_clips, n_segments, n_classes) or None, default=None
        The probabilities of the segments, NaN where there is none.
    without : dict of str to ndarray of shape (n_clips, n_classes), default={}
        The probabilities without a modality; NaN for clips that have no other one.
    folds : list of (ndarray, ndarray), default=[]
        The training and test rows of each fold.
    fit_times : list of float, default=[]
        The seconds that each fold took to fit.
    predict_times : list of float, default=[]
        The seconds that each fold's test clips took to predict.
    histories : list of dict, default=[]
        For each fold the loss and accuracy after each epoch, by stage of the training.
    estimator : str, default=""
        The estimator as text.
    name : str, default="classifier"
        The name of the system.
    trained_on : ndarray of shape (n_clips,), bool, or None, default=None
        Which clips the classifier was trained on, where that is known, as for a model of
        ``skavsc train``. The HTML report warns of them.

    See Also
    --------
    compare_scenes : Two systems on the same clips.
    write_report : One HTML file with all of it.

    Examples
    --------
    >>> from skavsc.evaluation import scene_report
    >>> report = scene_report(["bus", "tram", "tram"], [[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    >>> report.errors()[["true", "predicted", "probability"]]
       true predicted  probability
    1  tram       bus          0.6
    """

    classes: NDArray[Any]
    y: NDArray[Any]
    probabilities: NDArray[np.float64]
    groups: NDArray[Any]
    sample_weight: NDArray[np.float64]
    clips: pd.DataFrame
    segments: NDArray[np.float64] | None = None
    without: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    folds: list[Fold] = field(default_factory=list)
    fit_times: list[float] = field(default_factory=list)
    predict_times: list[float] = field(default_factory=list)
    histories: list[dict[str, dict[str, list[float]]]] = field(default_factory=list)
    estimator: str = ""
    name: str = "classifier"
    trained_on: NDArray[np.bool_] | None = None

    def _rows(self, probabilities: NDArray[np.float64]) -> NDArray[np.intp]:
        """Return the rows of the clips that are scored."""
        return np.flatnonzero(~np.isnan(probabilities[:, 0]) & (self.sample_weight > 0))

    def _scored(self, rows: NDArray[np.intp], probabilities: NDArray[np.float64]) -> Scored:
        return check_scored(
            self.y[rows], probabilities, self.classes, sample_weight=self.sample_weight[rows]
        )

    def _units(self) -> dict[str, tuple[NDArray[np.intp], NDArray[np.float64]]]:
        """Return what is scored: the clip of each row and its probabilities, by name."""
        rows = self._rows(self.probabilities)
        units = {"clips": (rows, self.probabilities[rows])}
        if self.segments is not None:
            there = ~np.isnan(self.segments[..., 0]) & (self.sample_weight > 0)[:, None]
            clip, segment = np.nonzero(there)
            if len(clip):
                units["segments"] = (clip, self.segments[clip, segment])
        for name, probabilities in self.without.items():
            rows = self._rows(probabilities)
            if len(rows):
                units[f"without {name}"] = (rows, probabilities[rows])
        return units

    def summary(self, *, confidence: float = 0.95) -> pd.DataFrame:
        """Return the metrics of clips, of segments, without each modality, and of guessing.

        Parameters
        ----------
        confidence : float, default=0.95
            The confidence of the intervals, between 0 and 1.

        Returns
        -------
        pandas.DataFrame
            The rows ``clips``, ``segments`` and ``without ...``, as far as there are any, and
            ``guessing`` (all classes equally likely). ``accuracy_low`` and ``accuracy_high`` are
            the challenge's Wald interval, which takes clips as independent; the columns that
            end in ``_low_locations`` and ``_high_locations`` are bootstrap intervals over recording
            locations, NaN where there is one location only. ``calibration_error`` is the expected
            calibration error.
        """
        table = {}
        for name, (rows, probabilities) in self._units().items():
            scored = self._scored(rows, probabilities)
            groups = self.groups[rows]
            right, losses = accuracy_sums(scored, groups), loss_sums(scored, groups)
            accuracy = float(macro_mean(right.sum(axis=0)))
            low, high = accuracy_interval(accuracy, len(rows), confidence)
            right_low, right_high = resampled_interval(right, confidence=confidence)
            loss_low, loss_high = resampled_interval(losses, confidence=confidence)
            table[name] = {
                "n": len(rows),
                "n_locations": len(right),
                "accuracy": accuracy,
                "accuracy_low": low,
                "accuracy_high": high,
                "accuracy_low_locations": right_low,
                "accuracy_high_locations": right_high,
                "macro_log_loss": float(macro_mean(losses.sum(axis=0))),
                "macro_log_loss_low_locations": loss_low,
                "macro_log_loss_high_locations": loss_high,
                "calibration_error": expected_calibration_error(
                    self.y[rows],
                    probabilities,
                    labels=self.classes,
                    sample_weight=self.sample_weight[rows],
                ),
            }
        n_classes = len(self.classes)
        chance = {"n": 0, "accuracy": 1 / n_classes, "macro_log_loss": np.log(n_classes)}
        table["guessing"] = chance
        return pd.DataFrame.from_dict(table, orient="index")

    def by_class(self) -> pd.DataFrame:
        """Return the metrics of each class.

        Returns
        -------
        pandas.DataFrame
            One row per class: ``n`` clips, ``accuracy`` (the share of them that is right),
            ``precision`` (the share that is right of those called so), ``log_loss``, and the label
            that they are most often ``confused_with``.
        """
        rows = self._rows(self.probabilities)
        scored = self._scored(rows, self.probabilities[rows])
        counts = self.confusion().to_numpy()
        right = np.diag(counts)
        wrong = counts - np.diag(right)
        with np.errstate(invalid="ignore"):
            accuracy, precision = right / counts.sum(axis=1), right / counts.sum(axis=0)
        return pd.DataFrame(
            {
                "n": np.bincount(scored.codes, minlength=len(self.classes)),
                "accuracy": accuracy,
                "precision": precision,
                "log_loss": class_log_loss(
                    self.y[rows],
                    self.probabilities[rows],
                    labels=self.classes,
                    sample_weight=self.sample_weight[rows],
                ),
                "confused_with": [
                    str(self.classes[row.argmax()]) if row.any() else "" for row in wrong
                ],
            },
            index=pd.Index(self.classes, name="class"),
        )

    def by(self, column: str | ArrayLike) -> pd.DataFrame:
        """Return the metrics of the clips by what they have in a column.

        Parameters
        ----------
        column : str or array-like of shape (n_clips,)
            A column of the clip table, such as ``"city"``, or ``"location"`` (the groups) or
            ``"fold"``; or a value per clip.

        Returns
        -------
        pandas.DataFrame
            One row a value: ``n`` clips, ``accuracy`` with its Wald interval ``accuracy_low`` and
            ``accuracy_high``, and ``macro_log_loss`` over the classes that occur.

        Raises
        ------
        KeyError
            If the clip table has no such column.
        """
        values = self._column(column) if isinstance(column, str) else np.asarray(column)
        check_consistent_length(self.y, values)
        rows = self._rows(self.probabilities)
        table = {}
        for value, chosen in pd.Series(rows).groupby(values[rows], dropna=False):
            own = chosen.to_numpy()
            scored = self._scored(own, self.probabilities[own])
            losses = loss_sums(scored, self.groups[own]).sum(axis=0)
            accuracy = float(np.average(scored.correct, weights=scored.weights))
            low, high = accuracy_interval(accuracy, len(own))
            table[value] = {
                "n": len(own),
                "accuracy": accuracy,
                "accuracy_low": low,
                "accuracy_high": high,
                "macro_log_loss": float(macro_mean(losses)),
            }
        found = pd.DataFrame.from_dict(table, orient="index")
        return found.rename_axis(column if isinstance(column, str) else "value")

    def _column(self, name: str) -> NDArray[Any]:
        if name in self.clips.columns:
            return self.clips[name].to_numpy()
        if name == "location":
            return self.groups
        if name == "fold" and self.folds:
            numbers = np.full(len(self.y), -1)
            for number, (_, test) in enumerate(self.folds):
                numbers[test] = number
            return numbers
        raise KeyError(f"column {name!r} is not in the clip table, which has {[*self.clips]}")

    def confusion(self) -> pd.DataFrame:
        """Return the confusion matrix.

        Returns
        -------
        pandas.DataFrame
            The weights (without ``sample_weight`` the numbers) of clips: a row for each true and a
            column for each predicted label.
        """
        rows = self._rows(self.probabilities)
        counts = confusion_matrix(
            self.y[rows],
            self.classes[self.probabilities[rows].argmax(axis=1)],
            labels=self.classes,
            sample_weight=self.sample_weight[rows],
        )
        index = pd.Index(self.classes, name="true")
        return pd.DataFrame(counts, index=index, columns=pd.Index(self.classes, name="predicted"))

    def predictions(self) -> pd.DataFrame:
        """Return the prediction of every clip that is scored.

        Returns
        -------
        pandas.DataFrame
            One row per clip, with its row number as index: ``location``, ``true``, ``predicted``,
            ``probability`` (of the predicted label), ``probability_of_true``, and the columns of
            the clip table.
        """
        rows = self._rows(self.probabilities)
        probabilities = self.probabilities[rows]
        truth = np.searchsorted(self.classes, self.y[rows])
        table = pd.DataFrame(
            {
                "location": self.groups[rows],
                "true": self.y[rows],
                "predicted": self.classes[probabilities.argmax(axis=1)],
                "probability": probabilities.max(axis=1),
                "probability_of_true": probabilities[np.arange(len(rows)), truth],
            },
            index=rows,
        )
        known = self.clips.iloc[rows].set_index(rows)
        return table.join(known.drop(columns=[name for name in table if name in known]))

    def errors(self, n: int | None = None) -> pd.DataFrame:
        """Return the clips that are wrong, the surest first.

        Parameters
        ----------
        n : int, optional
            Maximum number of clips; by default all.

        Returns
        -------
        pandas.DataFrame
            Rows of `predictions`.
        """
        table = self.predictions()
        wrong = table[table["true"] != table["predicted"]]
        return wrong.sort_values("probability", ascending=False, kind="stable")[:n]

    def label_errors(self, n: int | None = 10) -> pd.DataFrame:
        """Return the clips whose label is the least likely to be right.

        Parameters
        ----------
        n : int or None, default=10
            Maximum number of clips; None for all.

        Returns
        -------
        pandas.DataFrame
            Rows of `predictions` in the order of the out-of-fold probability of their own label,
            the lowest first.
        """
        return self.predictions().sort_values("probability_of_true", kind="stable")[:n]

    def to_html(self, path: str | os.PathLike[str], **options: Any) -> Path:
        """Write all of it as one HTML file.

        Parameters
        ----------
        path : path-like
            The file to write or to replace.
        **options : dict of str to any
            As for `write_report`.

        Returns
        -------
        pathlib.Path
            The path written.
        """
        from skavsc.evaluation._html import write_report

        return write_report(self, path, **options)

    def __str__(self) -> str:
        summary = self.summary()
        columns = {
            "accuracy %": [_percent(row, "accuracy") for row in summary.to_dict("records")],
            "95 % interval": [
                _interval(row, "accuracy_low", "accuracy_high")
                for row in summary.to_dict("records")
            ],
            "over locations": [
                _interval(row, "accuracy_low_locations", "accuracy_high_locations")
                for row in summary.to_dict("records")
            ],
            "macro log loss": [f"{loss:.3f}" for loss in summary["macro_log_loss"]],
        }
        head = pd.DataFrame(columns, index=summary.index).to_string()
        return f"{self.name}\n\n{head}\n\n{self.by_class().round(3).to_string()}"

    # The text of a dataclass would be all of its arrays.
    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.name!r}: {len(self.y)} clips>"


def _percent(row: Any, name: str) -> str:
    return f"{100 * row[name]:.1f}"


def _interval(row: Any, low: str, high: str) -> str:
    if pd.isna(row[low]):
        return "-"
    return f"{_percent(row, low)} .. {_percent(row, high)}"

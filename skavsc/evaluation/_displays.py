"""Displays of what classifiers get wrong and how sure they are, in scikit-learn's manner."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform
from sklearn.calibration import CalibrationDisplay
from sklearn.metrics import ConfusionMatrixDisplay, confusion_matrix, recall_score
from sklearn.utils.multiclass import unique_labels

from skavsc.evaluation._metrics import check_scored


def new_axes(ax: Any, name: str, figsize: tuple[float, float]) -> Any:
    """Return the axes to draw in, by default those of a new figure."""
    if ax is not None:
        return ax
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            f"{name} needs matplotlib; install it with: pip install 'skavsc[plot]'"
        ) from error
    return plt.subplots(figsize=figsize, layout="constrained")[1]


def similarity_order(confusion: NDArray[Any]) -> NDArray[np.intp]:
    """Return an order of the classes that puts those that are often confused side by side.

    Parameters
    ----------
    confusion : ndarray of shape (n_classes, n_classes)
        The counts.

    Returns
    -------
    ndarray of shape (n_classes,), intp
        The leaves of an average linkage with optimal ordering.
    """
    if len(confusion) < 3:
        return np.arange(len(confusion))
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    distances = 1 - (shares + shares.T) / 2
    np.fill_diagonal(distances, 0)
    # The shares of a class are at most 1, but for rounding.
    tree = linkage(squareform(np.maximum(distances, 0)), "average", optimal_ordering=True)
    return leaves_list(tree).astype(np.intp)


class SceneConfusionDisplay(ConfusionMatrixDisplay):
    """Confusion matrix with classes that are often confused side by side.

    A `sklearn.metrics.ConfusionMatrixDisplay`, made by ``from_estimator`` or
    ``from_predictions``, that by default orders the classes by similarity.

    Parameters
    ----------
    confusion_matrix : ndarray of shape (n_classes, n_classes)
        Confusion matrix.
    display_labels : ndarray of shape (n_classes,), default=None
        The labels of the axes.

    Attributes
    ----------
    im_ : matplotlib.image.AxesImage
        The image.
    text_ : ndarray of shape (n_classes, n_classes) or None
        The values as text.
    ax_ : matplotlib.axes.Axes
        The axes.
    figure_ : matplotlib.figure.Figure
        The figure.

    References
    ----------
    Bar-Joseph, Gifford, Jaakkola: Fast optimal leaf ordering for hierarchical clustering.
    Bioinformatics 17, 2001.

    Examples
    --------
    >>> from skavsc.evaluation import SceneConfusionDisplay
    >>> y_true = ["bus", "bus", "park", "tram", "tram"]
    >>> y_pred = ["bus", "tram", "park", "tram", "bus"]
    >>> display = SceneConfusionDisplay.from_predictions(y_true, y_pred)
    >>> [label.get_text() for label in display.ax_.get_yticklabels()].index("park") in (0, 2)
    True
    """

    @classmethod
    def from_predictions(
        cls, y_true: ArrayLike, y_pred: ArrayLike, *, labels: ArrayLike | None = None, **params: Any
    ) -> Self:
        """Plot the confusion matrix of true and predicted labels.

        Parameters
        ----------
        y_true : array-like of shape (n_clips,)
            The true labels.
        y_pred : array-like of shape (n_clips,)
            The predicted labels.
        labels : array-like of shape (n_classes,), default=None
            The labels in the order of the plot; None orders them by similarity.
        **params : dict of str to any
            The other parameters of `sklearn.metrics.ConfusionMatrixDisplay.from_predictions`.
            ``normalize`` is ``"true"`` by default: shares of the clips of each class.

        Returns
        -------
        SceneConfusionDisplay
            The display.
        """
        if labels is None:
            names = unique_labels(y_true, y_pred)
            counts = confusion_matrix(
                y_true, y_pred, labels=names, sample_weight=params.get("sample_weight")
            )
            order = similarity_order(counts)
            labels = names[order]
            if params.get("display_labels") is not None:
                params["display_labels"] = np.asarray(params["display_labels"])[order]
        size = max(4.0, 0.55 * len(np.asarray(labels)) + 2)
        defaults: dict[str, Any] = {
            "normalize": "true",
            "values_format": None if params.get("normalize", "true") is None else ".2f",
            "xticks_rotation": "vertical",
            "cmap": "Blues",
            "colorbar": False,
            "ax": new_axes(params.pop("ax", None), cls.__name__, (size, size)),
        }
        return super().from_predictions(y_true, y_pred, labels=labels, **{**defaults, **params})

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: ArrayLike,
        *,
        labels: ArrayLike | None = None,
        **params: Any,
    ) -> Self:
        """Plot the confusion matrix of a fitted classifier.

        Parameters
        ----------
        estimator : classifier
            Fitted.
        X : array-like of n_clips rows
            The clips.
        y : array-like of shape (n_clips,)
            The true labels.
        labels : array-like of shape (n_classes,), default=None
            The labels in the order of the plot; None orders them by similarity.
        **params : dict of str to any
            The other parameters of ``from_predictions``.

        Returns
        -------
        SceneConfusionDisplay
            The display.
        """
        return cls.from_predictions(y, estimator.predict(X), labels=labels, **params)


class ReliabilityDisplay(CalibrationDisplay):
    """Accuracy against confidence: whether of clips called with 80 %, 80 % are right.

    A `sklearn.calibration.CalibrationDisplay` of the most probable label of each clip, made by
    ``from_estimator`` or ``from_predictions``.

    Parameters
    ----------
    prob_true : ndarray of shape (n_bins,)
        The accuracy in each bin.
    prob_pred : ndarray of shape (n_bins,)
        The mean confidence in each bin.
    y_prob : ndarray of shape (n_clips,)
        The confidence of each clip.
    estimator_name : str, default=None
        The name of the line.
    pos_label : None
        Not used.

    Attributes
    ----------
    line_ : matplotlib.lines.Line2D
        The line.
    ax_ : matplotlib.axes.Axes
        The axes.
    figure_ : matplotlib.figure.Figure
        The figure.

    Examples
    --------
    >>> from skavsc.evaluation import ReliabilityDisplay
    >>> y_prob = [[0.8, 0.2], [0.7, 0.3], [0.2, 0.8], [0.4, 0.6]]
    >>> display = ReliabilityDisplay.from_predictions(["bus", "tram", "tram", "tram"], y_prob)
    >>> display.prob_true.tolist()
    [1.0, 0.0, 1.0]
    """

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_prob: ArrayLike,
        *,
        labels: ArrayLike | None = None,
        n_bins: int = 10,
        ax: Any = None,
        **params: Any,
    ) -> Self:
        """Plot the reliability diagram of true labels and probabilities.

        Parameters
        ----------
        y_true : array-like of shape (n_clips,)
            The true labels.
        y_prob : array-like of shape (n_clips, n_labels)
            Probabilities in [0, 1]; rows sum to 1.
        labels : array-like of shape (n_labels,), default=None
            The labels of the columns; by default the sorted labels in ``y_true``.
        n_bins : int, default=10
            Number of bins of confidence.
        ax : matplotlib axes, default=None
            Where to draw; None makes a new figure.
        **params : dict of str to any
            The other parameters of `sklearn.calibration.CalibrationDisplay.from_predictions`.

        Returns
        -------
        ReliabilityDisplay
            The display.
        """
        scored = check_scored(y_true, y_prob, labels)
        confidence = np.clip(scored.confidence, 0, 1)
        ax = new_axes(ax, cls.__name__, (4.5, 4.5))
        display = super().from_predictions(
            scored.correct.astype(int), confidence, n_bins=n_bins, ax=ax, **params
        )
        display.ax_.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
        return display

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any, y: ArrayLike, **params: Any) -> Self:
        """Plot the reliability diagram of a fitted classifier.

        Parameters
        ----------
        estimator : classifier
            Fitted, with ``predict_proba``.
        X : array-like of n_clips rows
            The clips.
        y : array-like of shape (n_clips,)
            The true labels.
        **params : dict of str to any
            The other parameters of ``from_predictions``.

        Returns
        -------
        ReliabilityDisplay
            The display.
        """
        probabilities = estimator.predict_proba(X)
        return cls.from_predictions(y, probabilities, labels=estimator.classes_, **params)


class ClassAccuracyDisplay:
    """Class-wise accuracy of several systems.

    Made by ``from_estimator`` or ``from_predictions``.

    Parameters
    ----------
    accuracies : pandas.DataFrame
        One row per class and one column per system, in [0, 1].

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        The axes.
    figure_ : matplotlib.figure.Figure
        The figure.

    Examples
    --------
    >>> from skavsc.evaluation import ClassAccuracyDisplay
    >>> y = ["bus", "bus", "tram"]
    >>> systems = {"sound": ["bus", "tram", "tram"], "picture": ["bus", "bus", "bus"]}
    >>> ClassAccuracyDisplay.from_predictions(y, systems).accuracies
          sound  picture
    bus     0.5      1.0
    tram    1.0      0.0
    """

    def __init__(self, accuracies: pd.DataFrame) -> None:
        self.accuracies = accuracies

    @classmethod
    def from_predictions(
        cls, y_true: ArrayLike, y_pred: Mapping[str, ArrayLike] | ArrayLike, *, ax: Any = None
    ) -> Self:
        """Plot the class-wise accuracy of predicted labels.

        Parameters
        ----------
        y_true : array-like of shape (n_clips,)
            The true labels.
        y_pred : dict of str to array-like of shape (n_clips,), or array-like
            The predicted labels of each system by its name, or those of one system.
        ax : matplotlib axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        ClassAccuracyDisplay
            The display.
        """
        systems = y_pred if isinstance(y_pred, Mapping) else {"accuracy": y_pred}
        labels = np.unique(np.asarray(y_true))
        accuracies = {
            name: recall_score(y_true, predicted, labels=labels, average=None)
            for name, predicted in systems.items()
        }
        return cls(pd.DataFrame(accuracies, index=labels)).plot(ax=ax)

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any, y: ArrayLike, *, ax: Any = None) -> Self:
        """Plot the class-wise accuracy of a fitted classifier.

        Parameters
        ----------
        estimator : classifier
            Fitted.
        X : array-like of n_clips rows
            The clips.
        y : array-like of shape (n_clips,)
            The true labels.
        ax : matplotlib axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        ClassAccuracyDisplay
            The display.
        """
        return cls.from_predictions(y, {type(estimator).__name__: estimator.predict(X)}, ax=ax)

    def plot(self, *, ax: Any = None) -> Self:
        """Plot the accuracies, a row per class and a marker per system.

        Parameters
        ----------
        ax : matplotlib axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        ClassAccuracyDisplay
            The display.
        """
        rows = np.arange(len(self.accuracies))
        self.ax_ = new_axes(ax, type(self).__name__, (6, 1.2 + 0.35 * len(rows)))
        self.figure_ = self.ax_.figure
        markers = "osD^vP*X"
        self.ax_.hlines(rows, 0, 1, color="0.5", alpha=0.3, linewidth=1, zorder=0)
        for number, name in enumerate(self.accuracies):
            values = self.accuracies[name]
            self.ax_.plot(values, rows, markers[number % len(markers)], label=str(name), alpha=0.85)
        self.ax_.set(
            xlim=(-0.02, 1.02),
            xlabel="accuracy",
            yticks=rows,
            yticklabels=[str(label) for label in self.accuracies.index],
        )
        self.ax_.invert_yaxis()
        self.ax_.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=3, frameon=False)
        return self

"""Pooling over time: from a sequence of features to a row of statistics a clip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags, check_array, gen_batches
from sklearn.utils.validation import check_is_fitted, validate_data

from skavsc._sklearn_compat import DocLinkMixin, _check_feature_names_in, _fit_context

__all__ = ["TimePooling"]

Statistic = Literal["mean", "std", "min", "max", "median"]

# Values that are pooled at once: 32 MiB of float64.
_BATCH = 1 << 22


class TimePooling(DocLinkMixin, TransformerMixin, BaseEstimator):
    """Pool features over time: one row of statistics a clip.

    Any scikit-learn classifier can follow. Missing steps (NaN) are left out of the statistics; a
    clip without any step stays missing, a row of NaN.

    Parameters
    ----------
    statistics : sequence of {"mean", "std", "min", "max", "median"}, default=("mean", "std")
        Statistics over time to compute of each feature, in the order of the output. "std" is the
        population standard deviation, 0 for a single step.

    Attributes
    ----------
    n_features_in_ : int
        Number of features that are pooled: for spectrograms, bands times channels.
    feature_names_in_ : ndarray of shape (n_features,), object
        Names of the columns, if ``fit`` was given a table with column names.

    See Also
    --------
    skavsc.GammatoneMelTransformer : Compute spectrograms of sound.
    skavsc.ImageEmbedder : Compute embeddings of frames.

    Notes
    -----
    Time is the last axis but one, as in embeddings (n_clips, n_steps, n_features) and in
    spectrograms (n_clips, n_bands, n_frames, n_channels). The number of steps may differ between
    ``fit`` and ``transform``. A 2-D array (n_clips, n_features) has one step per clip.

    Examples
    --------
    >>> import numpy as np
    >>> from skavsc import TimePooling
    >>> embeddings = np.array([[[1.0, 10.0], [3.0, 10.0], [np.nan, np.nan]]])
    >>> pooling = TimePooling()
    >>> pooling.fit_transform(embeddings)
    array([[ 2., 10.,  1.,  0.]], dtype=float32)
    >>> pooling.get_feature_names_out()
    array(['mean_x0', 'mean_x1', 'std_x0', 'std_x1'], dtype=object)
    """

    _parameter_constraints: dict[str, list[Any]] = {  # noqa: RUF012
        "statistics": ["array-like"]
    }

    def __init__(self, statistics: Sequence[Statistic] = ("mean", "std")) -> None:
        self.statistics = statistics

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y: Any = None) -> TimePooling:
        """Validate the parameters and store the number of features.

        Parameters
        ----------
        X : array-like of shape (n_clips, ..., n_steps, n_features)
            As for ``transform``.
        y : object, default=None
            Ignored.

        Returns
        -------
        TimePooling
            The transformer itself.

        Raises
        ------
        ValueError
            If ``statistics`` is empty or has an unknown name.
        """
        unknown = [name for name in self.statistics if name not in _STATISTICS]
        if unknown or not len(self.statistics):
            raise ValueError(
                f"statistics={self.statistics!r} must be a non-empty sequence of names of "
                f"{sorted(_STATISTICS)}"
            )
        X = self._validate(X, reset=True)
        self._feature_shape = X.shape[1:-2] + X.shape[-1:]
        self.n_features_in_ = int(np.prod(self._feature_shape))
        return self

    def transform(self, X: ArrayLike) -> NDArray[np.float32]:
        """Compute the statistics of each clip.

        Parameters
        ----------
        X : array-like of shape (n_clips, n_steps, n_features), (n_clips, n_features) or \
                (n_clips, n_bands, n_frames, n_channels)
            Features; NaN is missing.

        Returns
        -------
        ndarray of shape (n_clips, n_statistics * n_features), float32
            The statistics, one after the other, each of all features.

        Raises
        ------
        ValueError
            If the features are not those of ``fit``, or infinite.
        """
        check_is_fitted(self)
        X = self._validate(X, reset=False)
        if X.shape[1:-2] + X.shape[-1:] != self._feature_shape:
            raise ValueError(
                f"X has shape {X.shape}, but TimePooling was fitted on features of shape "
                f"{self._feature_shape} beside clips and steps"
            )
        pooled = np.empty((len(X), len(self.statistics), self.n_features_in_), np.float32)
        batch_size = max(1, _BATCH // max(1, int(np.prod(X.shape[1:]))))
        for batch in gen_batches(len(X), batch_size):
            steps = np.moveaxis(X[batch].astype(np.float64), -2, 1)
            for number, name in enumerate(self.statistics):
                pooled[batch, number] = _STATISTICS[name](steps).reshape(len(steps), -1)
        return pooled.reshape(len(X), -1)

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> NDArray[Any]:
        """Return the names of the columns of the output.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the features. By default those of ``fit``, or x0, x1, ...; for spectrograms
            band0_channel0, band0_channel1, ...

        Returns
        -------
        ndarray of shape (n_statistics * n_features,), object
            A statistic and a feature each, such as "mean_x0".
        """
        check_is_fitted(self)
        if input_features is None and len(self._feature_shape) == 2:
            bands, channels = map(range, self._feature_shape)
            input_features = [f"band{b}_channel{c}" for b in bands for c in channels]
        features = _check_feature_names_in(self, input_features)
        names = [f"{statistic}_{name}" for statistic in self.statistics for name in features]
        return np.asarray(names, dtype=object)

    def _validate(self, X: Any, *, reset: bool) -> NDArray[Any]:
        """Return an array with the axes clips, ..., steps, features."""
        array = check_array(X, allow_nd=True, ensure_all_finite="allow-nan", estimator=self)
        if reset or array.ndim == 2:
            validate_data(self, X, reset=reset, skip_check_array=True)
        return array[:, None] if array.ndim == 2 else array

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.three_d_array = True
        # The statistics are float32 whatever the features are.
        tags.transformer_tags.preserves_dtype = []
        return tags


def _mean(steps: NDArray[np.float64]) -> NDArray[np.float64]:
    present = ~np.isnan(steps)
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN where no step is present
        return np.asarray(np.sum(steps, axis=1, where=present) / present.sum(axis=1))


def _std(steps: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.sqrt(_mean(np.square(steps - _mean(steps)[:, None])))


def _median(steps: NDArray[np.float64]) -> NDArray[np.float64]:
    ordered = np.sort(steps, axis=1)  # NaN last
    n_present = (~np.isnan(steps)).sum(axis=1, keepdims=True)
    middle = np.maximum(n_present - 1, 0) // 2, n_present // 2
    halves = [np.take_along_axis(ordered, np.minimum(i, steps.shape[1] - 1), 1) for i in middle]
    return np.asarray((halves[0] + halves[1])[:, 0] / 2)


# Each from (n_clips, n_steps, ...) to (n_clips, ...).
_STATISTICS = {
    "mean": _mean,
    "std": _std,
    # Unlike numpy.nanmin these do not warn where no step is present.
    "min": lambda steps: np.fmin.reduce(steps, axis=1),
    "max": lambda steps: np.fmax.reduce(steps, axis=1),
    "median": _median,
}

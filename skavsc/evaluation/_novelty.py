"""None of these: how unlike the training clips a clip is."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.covariance import LedoitWolf
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data

from skavsc._sklearn_compat import DocLinkMixin, Interval, StrOptions, _fit_context
from skavsc.evaluation._cross_validation import check_folds


class SceneNoveltyDetector(DocLinkMixin, OutlierMixin, BaseEstimator):
    """Detector of clips that are none of the scenes of the training clips.

    A classifier gives every clip one of its labels, noise and black pictures too. This detector
    scores how unlike the training clips a clip is, and rejects those below a threshold that is
    set on clips of recording locations that were held out.

    Parameters
    ----------
    method : {"mahalanobis", "nearest"}, default="mahalanobis"
        The score. "mahalanobis": minus the squared Mahalanobis distance from the mean of the
        nearest class, with one covariance for all classes, shrunk by Ledoit and Wolf's rule [1]_.
        "nearest": minus the distance from the ``n_neighbors``-th nearest training clip, of
        standardised features [2]_.
    n_neighbors : int, default=5
        Number of neighbours, at least 1; only with ``method="nearest"``.
    rejection_rate : float, default=0.05
        The share of held-out clips of known scenes that may be rejected, in [0, 1).
    cv : int, cross-validation splitter or iterable, default=5
        The folds in which clips are held out to set the threshold. A number means stratified ones,
        which keep groups together if there are any.

    Attributes
    ----------
    offset_ : float
        The threshold: clips with a lower score are rejected.
    held_out_scores_ : ndarray of shape (n_clips,)
        The score of each training clip by a detector that was fitted without its fold; NaN for
        clips that are in no test fold.
    n_features_in_ : int
        Number of features.

    References
    ----------
    .. [1] Lee, Lee, Lee, Shin: A simple unified framework for detecting out-of-distribution samples
       and adversarial attacks. NeurIPS, 2018.
    .. [2] Sun, Ming, Zhu, Li: Out-of-distribution detection with deep nearest neighbors. ICML,
       2022.

    Examples
    --------
    >>> import numpy as np
    >>> from skavsc.evaluation import SceneNoveltyDetector
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat(["bus", "park"], 50)
    >>> X = rng.normal(size=(100, 4)) + 10 * (y == "park")[:, None]
    >>> detector = SceneNoveltyDetector().fit(X, y)
    >>> detector.predict([[0, 0, 0, 0], [10, 10, 10, 10], [5, 5, 5, 5]])
    array([ 1,  1, -1])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "method": [StrOptions({"mahalanobis", "nearest"})],
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "rejection_rate": [Interval(Real, 0, 1, closed="left")],
        "cv": ["cv_object"],
    }

    def __init__(
        self,
        method: str = "mahalanobis",
        *,
        n_neighbors: int = 5,
        rejection_rate: float = 0.05,
        cv: Any = 5,
    ) -> None:
        self.method = method
        self.n_neighbors = n_neighbors
        self.rejection_rate = rejection_rate
        self.cv = cv

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X: ArrayLike, y: ArrayLike | None = None, groups: ArrayLike | None = None
    ) -> Self:
        """Fit the score on all clips, and the threshold on clips that are held out.

        Parameters
        ----------
        X : array-like of shape (n_clips, n_features)
            Features, such as embeddings pooled over time.
        y : array-like of shape (n_clips,), optional
            The labels, for the means of classes. By default all clips are of one class.
        groups : array-like of shape (n_clips,), optional
            The recording locations, which are held out as a whole.

        Returns
        -------
        SceneNoveltyDetector
            The fitted detector.
        """
        features = validate_data(self, X, dtype=np.float64, ensure_min_samples=2)
        check_consistent_length(features, y, groups)
        labels = np.zeros(len(features), dtype=int) if y is None else np.asarray(y)
        check_classification_targets(labels)
        self.held_out_scores_ = np.full(len(features), np.nan)
        for train, test in check_folds(self.cv, labels, groups):
            fitted = self._fit_score(features[train], labels[train])
            self.held_out_scores_[test] = self._score(fitted, features[test])
        known = self.held_out_scores_[~np.isnan(self.held_out_scores_)]
        self.offset_ = float(np.quantile(known, self.rejection_rate))
        self._fitted = self._fit_score(features, labels)
        return self

    def _fit_score(self, X: NDArray[np.float64], y: NDArray[Any]) -> Any:
        if self.method == "nearest":
            scaler = StandardScaler().fit(X)
            n_neighbors = min(self.n_neighbors, len(X))
            return scaler, NearestNeighbors(n_neighbors=n_neighbors).fit(scaler.transform(X))
        labels, codes = np.unique(y, return_inverse=True)
        means = np.stack([X[codes == code].mean(axis=0) for code in range(len(labels))])
        # Of features of very different scale the shrinkage would see the largest only.
        residuals = X - means[codes]
        spread = residuals.std(axis=0)
        scale = np.where(spread > 0, spread, 1.0)
        covariance = LedoitWolf(assume_centered=True).fit(residuals / scale)
        return means, scale, covariance

    def _score(self, fitted: Any, X: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.method == "nearest":
            scaler, neighbours = fitted
            distances, _ = neighbours.kneighbors(scaler.transform(X))
            return -distances[:, -1]
        means, scale, covariance = fitted
        distances = [covariance.mahalanobis((X - mean) / scale) for mean in means]
        return -np.min(distances, axis=0)

    def score_samples(self, X: ArrayLike) -> NDArray[np.float64]:
        """Compute how much clips are like the training clips.

        Parameters
        ----------
        X : array-like of shape (n_clips, n_features)
            Features.

        Returns
        -------
        ndarray of shape (n_clips,), float64
            At most 0: the lower, the less alike.
        """
        check_is_fitted(self)
        return self._score(self._fitted, validate_data(self, X, dtype=np.float64, reset=False))

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """Compute the score of clips less the threshold.

        Parameters
        ----------
        X : array-like of shape (n_clips, n_features)
            Features.

        Returns
        -------
        ndarray of shape (n_clips,), float64
            Below 0 for clips that are rejected.
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X: ArrayLike) -> NDArray[np.intp]:
        """Predict whether clips are of one of the known scenes.

        Parameters
        ----------
        X : array-like of shape (n_clips, n_features)
            Features.

        Returns
        -------
        ndarray of shape (n_clips,), int
            1 for known scenes, -1 for none of them.
        """
        return np.where(self.decision_function(X) >= 0, 1, -1)

"""The prediction of clips and segments by a fitted fusion."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin, TransformerMixin, clone
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skavsc._sklearn_compat import DocLinkMixin, _BaseHeterogeneousEnsemble, _num_samples
from skavsc.fusion._inputs import (
    BranchInput,
    as_rows,
    available_rows,
    branch_inputs,
    check_fields,
)
from skavsc.fusion._meta_models import MAX_BRANCHES, MetaModels
from skavsc.fusion._segment_classifiers import predicts_segments
from skavsc.fusion._stacking import predict_branches, predict_segments


def _predicts_segments(fusion: BaseFusion) -> bool:
    return fusion.stack_method in ("auto", "predict_proba") and all(
        predicts_segments(estimator) for _, estimator in fusion._kept_branches()
    )


class BaseFusion(DocLinkMixin, ClassifierMixin, TransformerMixin, _BaseHeterogeneousEnsemble):
    """Base of the fusion: everything but its parameters and ``fit``."""

    stack_method: str
    missing: str
    _fields: dict[str, str | None]
    _meta: MetaModels

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Predict the probabilities of the classes.

        Parameters
        ----------
        X : structured array, pandas.DataFrame, array or sequence of n_clips rows
            The clips, as in ``fit``.

        Returns
        -------
        ndarray of shape (n_clips, n_classes), float64
            Columns in the order of ``classes_``.

        Raises
        ------
        MissingModalityError
            If a clip has no modality and ``missing="raise"``, or has a set of modalities that no
            clip had in ``fit``.
        """
        check_is_fitted(self)
        prior = self.class_prior_ if self.missing == "prior" else None
        return self._meta.predict_proba(self._probabilities(X), prior)

    @available_if(_predicts_segments)
    def predict_proba_segments(self, X: Any) -> NDArray[np.float64]:
        """Predict the probabilities of the classes in every segment.

        The meta-models, fitted to clips, join the predictions of the branches for a segment. Only
        if every branch holds a `SegmentClassifier`.

        Parameters
        ----------
        X : structured array, pandas.DataFrame, array or sequence of n_clips rows
            The clips, as in ``fit``.

        Returns
        -------
        ndarray of shape (n_clips, n_segments, n_classes), float64
            NaN in segments that no branch has.

        Raises
        ------
        MissingModalityError
            If a segment has a set of modalities that no clip had in ``fit``.
        """
        check_is_fitted(self)
        X = as_rows(X)
        inputs = self._branch_inputs(X)
        return self._meta.predict_proba_segments(
            predict_segments(inputs, self.estimators_, self.classes_, _num_samples(X))
        )

    #: Of the `SegmentClassifier` that a fusion of such classifiers is: it takes all of X.
    modality: ClassVar[None] = None

    @available_if(_predicts_segments)
    def usable_clips(self, X: Any) -> NDArray[np.bool_]:
        """Return which clips have a whole segment of any modality, before ``fit`` or after it.

        Parameters
        ----------
        X : structured array, pandas.DataFrame, array or sequence of n_clips rows
            The clips.

        Returns
        -------
        ndarray of shape (n_clips,), bool
            True for clips that at least one branch can predict.
        """
        X = as_rows(X)
        if hasattr(self, "_meta"):
            inputs = self._branch_inputs(X)
        else:
            branches = [(name, clone(estimator)) for name, estimator in self._kept_branches()]
            inputs = branch_inputs(branches, X, fit=True)
        return np.any(available_rows(inputs, _num_samples(X)), axis=1)

    def predict(self, X: Any) -> NDArray[Any]:
        """Predict the labels: for each clip the most probable one.

        Parameters
        ----------
        X : structured array, pandas.DataFrame, array or sequence of n_clips rows
            The clips, as in ``fit``.

        Returns
        -------
        ndarray of shape (n_clips,)
            Labels.
        """
        check_is_fitted(self)
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def transform(self, X: Any) -> NDArray[np.float64]:
        """Return the predictions of the branches, before fusion.

        Parameters
        ----------
        X : structured array, pandas.DataFrame, array or sequence of n_clips rows
            The clips, as in ``fit``.

        Returns
        -------
        ndarray of shape (n_clips, n_branches * n_classes), float64
            The calibrated probabilities of the branches, side by side; NaN where a clip lacks a
            branch's modality.
        """
        check_is_fitted(self)
        probabilities = self._probabilities(X)
        return self._meta.calibrate(probabilities).reshape(len(probabilities), -1)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the names of the columns of ``transform``.

        Parameters
        ----------
        input_features : array-like of str, optional
            Not used, present for API consistency.

        Returns
        -------
        ndarray of str, object
            ``branch_label`` for each branch and label.
        """
        check_is_fitted(self)
        return np.array(
            [f"{name}_{label}" for name in self.named_estimators_ for label in self.classes_],
            dtype=object,
        )

    @property
    def n_features_in_(self) -> int:
        """The number of features of X, as the first branch saw it."""
        if not hasattr(self, "estimators_"):
            raise AttributeError(f"{type(self).__name__} has no n_features_in_ before fit")
        return self.estimators_[0].n_features_in_

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_meta")

    def __getstate__(self) -> dict[str, Any]:
        # As pairs: model files know no dicts whose keys are tuples.
        state = dict(super().__getstate__())
        if "final_estimators_" in state:
            state["final_estimators_"] = list(state["final_estimators_"].items())
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "final_estimators_" in state:
            state = {**state, "final_estimators_": dict(state["final_estimators_"])}
        super().__setstate__(state)

    def _kept_branches(self) -> list[tuple[str, Any]]:
        """Check the branches, and return those that are not dropped."""
        names, estimators = self._validate_estimators()
        branches = [
            (name, estimator)
            for name, estimator in zip(names, estimators, strict=True)
            if not isinstance(estimator, str)
        ]
        if len(branches) > MAX_BRANCHES:
            raise ValueError(
                f"estimators has {len(branches)} branches; at most {MAX_BRANCHES} are possible, "
                f"since every set of branches gets a meta-model. Fuse some of them in an inner "
                f"LateFusionClassifier"
            )
        return branches

    def _branch_inputs(self, X: Any) -> list[BranchInput]:
        """Return what each fitted branch is given of new clips."""
        check_fields(X, self._fields)
        return branch_inputs(list(self.named_estimators_.items()), X, fit=False)

    def _probabilities(self, X: Any) -> NDArray[np.float64]:
        """Predict the branches' probabilities for new clips, NaN where one is missing."""
        X = as_rows(X)
        return predict_branches(
            self._branch_inputs(X),
            self.estimators_,
            self.stack_method,
            self.classes_,
            _num_samples(X),
        )

"""Late fusion: one classifier a modality, and a rule that joins what they predict."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin, TransformerMixin, clone
from sklearn.utils import Bunch
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skavsc._clips import check_groups, check_labels
from skavsc._sklearn_compat import (
    HasMethods,
    StrOptions,
    _BaseHeterogeneousEnsemble,
    _check_sample_weight,
    _fit_context,
    _num_samples,
    _routing_enabled,
    _VisualBlock,
)
from skavsc.fusion._branches import BranchInput, prepare, rest_of, rows_there, with_rest
from skavsc.fusion._checks import check_number, check_prefit, check_rule
from skavsc.fusion._dispatch import branch_field, check_fields
from skavsc.fusion._folds import Folds, inner_folds
from skavsc.fusion._meta import MetaModels, needs_probabilities
from skavsc.fusion._params import FitParams, fit_params
from skavsc.fusion._segments import branch_segments, fuse_segments, judges_seconds
from skavsc.fusion._stacking import fit_branches, predict_branches
from skavsc.fusion._subsets import check_something_there, warn_of_empty_rows
from skavsc.fusion._unseen import Seen


def _judges_seconds(fusion: LateFusionClassifier) -> bool:
    return fusion.stack_method in ("auto", "predict_proba") and all(
        judges_seconds(estimator) for _, estimator in fusion._kept_branches()
    )


class LateFusionClassifier(ClassifierMixin, TransformerMixin, _BaseHeterogeneousEnsemble):
    """Late fusion of one classifier a modality, which also predicts clips that lack one.

    Each branch predicts the class probabilities of a clip from its modality. A meta-model, fitted
    to out-of-fold probabilities as in `sklearn.ensemble.StackingClassifier`, joins them. There is a
    meta-model for every set of branches, and a clip gets the one for the modalities that it has.

    Parameters
    ----------
    estimators : list of (str, estimator) tuples
        The branches, six at most: names, and classifiers or Pipelines that end in one. If X is a
        structured array (as from `ModalityUnion`) with a field called like the branch, the branch
        gets that field; otherwise an `AudioSceneClassifier` gets the field ``audio``, a
        `VisualSceneClassifier` the field ``visual``, and any other branch all of X. The
        transformers at the start of a Pipeline that learn nothing (``requires_fit`` is False in
        their tags) are applied to all clips once, not once a fold, and once for all branches that
        share them. ``"drop"`` leaves a branch out.
    final_estimator : {"mean", "product", "confidence"}, classifier or None, default=None
        How probabilities are joined.

        None: a softmax layer on the logarithms of the concatenated probabilities, shrunk towards
        their weighted product, so that few clips suffice (see Notes).

        ``"mean"``, ``"product"``: of the probabilities. Nothing is fitted, so there are no inner
        folds, unless ``calibration`` needs them.

        ``"confidence"``: a mean in which each branch counts, class by class, as its out-of-fold F1
        score.

        A classifier with ``predict_proba`` is fitted to the concatenated probabilities;
        ``LogisticRegression(C=1e3)`` is the layer as published.
    cv : int, cross-validation splitter, iterable or "prefit", default=5
        The inner folds for out-of-fold probabilities. A number means stratified folds, which keep
        groups together if ``groups`` is given to ``fit``. ``"prefit"``: the branches are fitted
        already, and what they predict for the clips given to ``fit`` (which they should not have
        been fitted on) trains the meta-model.
    stack_method : {"auto", "predict_proba", "decision_function", "predict"}, \
            default="predict_proba"
        What is asked of the branches; ``"auto"`` takes the first that a branch has. Scores become
        probabilities by a softmax, labels by 1 for the label and 0 for the others.
    calibration : {"temperature"} or None, default=None
        Whether each branch's probabilities are flattened or sharpened by a temperature, fitted to
        the out-of-fold probabilities.
    missing : {"raise", "prior"}, default="raise"
        What clips without any modality lead to: a MissingModalityError, or the class frequencies as
        prediction (in ``fit`` they are then left out of the training, with a MissingClipWarning).
    n_jobs : int, default=None
        The number of fits at the same time, as in joblib; None is 1.
    random_state : int, RandomState instance or None, default=None
        If given, the folds that ``cv`` is only the number of are shuffled.
    verbose : int, default=0
        The verbosity of joblib: above 0 it reports its progress over the fits.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    estimators_ : list of estimators
        The branches, fitted on all clips that have their modality, without those dropped.
    named_estimators_ : sklearn.utils.Bunch
        The same, by name.
    final_estimator_ : object
        The meta-model for clips that have every modality: the fitted classifier if one was given.
    final_estimators_ : dict of tuple of str to object
        The meta-models by the names of the branches that they join.
    modality_importances_ : ndarray of shape (n_classes, n_modalities)
        The weight of each branch for each class; rows sum to 1. For ``"mean"`` and ``"product"``
        equal weights, for ``"confidence"`` its weights; for a fitted meta-model the branch's share
        (Shapley value) in lowering the class's out-of-fold log loss from that of the class
        frequencies to that of the fusion.
    temperatures_ : ndarray of shape (n_modalities,)
        The temperature of each branch, 1 without calibration.
    class_prior_ : ndarray of shape (n_classes,)
        The frequencies of the classes.
    n_features_in_ : int
        The number of features, as the first branch saw it. Only if that branch has it.

    See Also
    --------
    ModalityUnion : The features of several modalities, as a structured array.
    sklearn.ensemble.StackingClassifier : Stacking without groups and missing modalities.

    Notes
    -----
    A row is missing for a branch if what it would get is nothing but NaN or None: a field or an
    array row of NaN, a path that is None, or NaN after the leading transformers; or if its
    classifier is one of skavsc's and there is less than the one second that it judges by. It is
    then neither trained on nor predicted by that branch. A branch that gets a whole structured
    array, or whose transformers make one, needs all of its fields.

    A class that no clip with a certain set of modalities had in ``fit`` (no park was ever filmed)
    gets, where a clip has this set, its share in the mean over those of the branches that do know
    it; the meta-model decides among the other classes.

    ``groups`` and ``sample_weight`` are handed to those branches whose ``fit`` takes them, or, with
    scikit-learn's metadata routing enabled, to those that request them.

    The default meta-model gives class k the logit
    ``sum_m scale[m] x[m, k] + sum_mj weight[k, m, j] x[m, j] + bias[k]``, x being the logarithms of
    the probabilities (at least 1e-4), centred over the classes. The penalty on weights and bias is
    strong, that on the scales weak.

    References
    ----------
    Wolpert: Stacked generalization. Neural Networks 5, 1992.

    Naranjo-Alcazar, Perez-Castanos, Lopez-Garcia, Zuccarello, Cobos, Ferri: Squeeze-excitation
    convolutional recurrent neural networks for audio-visual scene classification. 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skavsc import LateFusionClassifier
    >>> pixels, y = load_digits(n_class=3, return_X_y=True)
    >>> X = np.empty(len(y), dtype=[("audio", "f4", (32,)), ("visual", "f4", (32,))])
    >>> X["audio"], X["visual"] = pixels[:, :32], pixels[:, 32:]
    >>> X["visual"][400:450] = np.nan  # clips without a picture
    >>> fusion = LateFusionClassifier(
    ...     [
    ...         ("audio", LogisticRegression(C=0.01, max_iter=1000)),
    ...         ("visual", LogisticRegression(C=0.01, max_iter=1000)),
    ...     ],
    ...     cv=3,
    ... )
    >>> fusion.fit(X[:400], y[:400]).score(X[400:450], y[400:450]) > 0.9
    True
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "estimators": [list],
        "final_estimator": [
            None,
            StrOptions({"mean", "product", "confidence"}),
            HasMethods(["fit", "predict_proba"]),
        ],
        "cv": ["cv_object", StrOptions({"prefit"})],
        "stack_method": [StrOptions({"auto", "predict_proba", "decision_function", "predict"})],
        "calibration": [None, StrOptions({"temperature"})],
        "missing": [StrOptions({"raise", "prior"})],
        "n_jobs": [None, Integral],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }
    # The inner folds always want the groups that outer ones are made of.
    __metadata_request__fit: ClassVar[dict[str, bool]] = {"groups": True}

    def __init__(
        self,
        estimators: list[tuple[str, Any]],
        final_estimator: Any = None,
        *,
        cv: Any = 5,
        stack_method: str = "predict_proba",
        calibration: str | None = None,
        missing: str = "raise",
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.estimators = estimators
        self.final_estimator = final_estimator
        self.cv = cv
        self.stack_method = stack_method
        self.calibration = calibration
        self.missing = missing
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(
        self, X: Any, y: Any, groups: Any = None, sample_weight: Any = None
    ) -> LateFusionClassifier:
        """Fit the branches, and the meta-models to their out-of-fold probabilities.

        Parameters
        ----------
        X : structured array, pandas.DataFrame, array or sequence of n_clips rows
            The clips: the features of a `ModalityUnion`, a clip table, or any X that all branches
            take.
        y : array-like of shape (n_clips,)
            The labels: strings, integers or booleans; two classes or more.
        groups : array-like of shape (n_clips,), optional
            The recording location of each clip; no location is split over inner folds.
        sample_weight : array-like of shape (n_clips,), optional
            The weight of each clip, at least 0.

        Returns
        -------
        LateFusionClassifier
            The fitted estimator.

        Raises
        ------
        ValueError
            If labels, groups, branches or inner folds cannot be used; the message says why.
        MissingModalityError
            If ``missing="raise"`` and a clip has no modality.
        """
        branches = self._kept_branches()
        check_rule(self.final_estimator)
        n_clips = _num_samples(X)
        labels = check_labels(y, n_clips)
        groups = check_groups(groups, n_clips)
        weight = _check_sample_weight(
            sample_weight, np.empty((n_clips, 1)), dtype=np.float64, ensure_non_negative=True
        )
        self.classes_, codes = np.unique(labels, return_inverse=True)
        if not weight.any():
            raise ValueError("sample_weight is zero for every clip; give some clips a weight")
        self.class_prior_ = np.bincount(codes, weight) / weight.sum()
        params = self._branch_params(branches, groups, None if sample_weight is None else weight)
        prefit = isinstance(self.cv, str)
        folds: Folds = []
        if prefit:
            check_prefit(branches, self.classes_)
        else:
            branches = [(name, clone(estimator)) for name, estimator in branches]
            # Before the features: impossible folds are to be told at once.
            if needs_probabilities(self.final_estimator, self.calibration):
                folds = inner_folds(self.cv, labels, groups, self.random_state)
        inputs = prepare(branches, X, fit=not prefit)
        there = rows_there(inputs, n_clips)
        if self.missing == "raise":
            check_something_there(there)
        else:
            warn_of_empty_rows(there)
        probabilities = None
        if not prefit:
            rests, probabilities = fit_branches(
                inputs,
                [rest_of(estimator) for _, estimator in branches],
                labels,
                params,
                folds,
                stack_method=self.stack_method,
                n_jobs=self.n_jobs,
                verbose=self.verbose,
            )
            branches = [
                (name, with_rest(estimator, rest))
                for (name, estimator), rest in zip(branches, rests, strict=True)
            ]
        self._fields = {name: branch_field(X, name, estimator) for name, estimator in branches}
        self.estimators_ = [estimator for _, estimator in branches]
        self.named_estimators_ = Bunch(**dict(branches))
        if probabilities is None:
            probabilities = predict_branches(
                inputs, self.estimators_, self.stack_method, self.classes_, n_clips
            )
        self._meta = MetaModels(
            self.final_estimator, self.calibration, list(self.named_estimators_), self.classes_
        ).fit(
            probabilities,
            codes,
            weight,
            Seen.of(codes, there, weight, self.class_prior_, prefit=prefit),
        )
        self.temperatures_ = self._meta.temperatures
        self.modality_importances_ = self._meta.importances
        self.final_estimators_ = self._meta.by_name()
        self.final_estimator_ = self.final_estimators_.get(tuple(self.named_estimators_))
        return self

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

    @available_if(_judges_seconds)
    def predict_proba_segments(self, X: Any) -> NDArray[np.float64]:
        """Predict the probabilities of the classes in every second.

        The meta-models, fitted to clips, join what the branches say of a second. Only if all
        branches are, or end in, classifiers that have this method.

        Parameters
        ----------
        X : structured array, pandas.DataFrame, array or sequence of n_clips rows
            The clips, as in ``fit``.

        Returns
        -------
        ndarray of shape (n_clips, n_seconds, n_classes), float64
            NaN in seconds that no branch can judge.

        Raises
        ------
        MissingModalityError
            If a second has a set of modalities that no clip had in ``fit``.
        """
        check_is_fitted(self)
        seconds = branch_segments(self._inputs(X), self.estimators_, self.classes_, _num_samples(X))
        return fuse_segments(self._meta, seconds)

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
        """Give what the branches predict, before fusion.

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
        return self._meta.calibrated(probabilities).reshape(len(probabilities), -1)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Give the names of the columns of ``transform``.

        Parameters
        ----------
        input_features : array-like of str, optional
            Not used; there because scikit-learn passes it.

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

    def get_metadata_routing(self) -> MetadataRouter:
        """Give the routing of metadata to the branches and the inner folds.

        Returns
        -------
        sklearn.utils.metadata_routing.MetadataRouter
            The routing.
        """
        router = MetadataRouter(owner=self).add_self_request(self)
        for name, estimator in self._kept_branches():
            mapping = MethodMapping().add(caller="fit", callee="fit")
            # The leading steps learn nothing, so that metadata are not for them.
            router.add(method_mapping=mapping, **{name: rest_of(estimator)})
        return router

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
        """Check the branches, and give those that are not dropped."""
        names, estimators = self._validate_estimators()
        branches = [
            (name, estimator)
            for name, estimator in zip(names, estimators, strict=True)
            if not isinstance(estimator, str)
        ]
        check_number(branches)
        return branches

    def _branch_params(
        self,
        branches: list[tuple[str, Any]],
        groups: NDArray[Any] | None,
        weight: NDArray[Any] | None,
    ) -> list[FitParams]:
        """Give what each branch's ``fit`` gets besides X and y."""
        given = {"groups": groups, "sample_weight": weight}
        if not _routing_enabled():
            return [fit_params(rest_of(estimator), **given) for _, estimator in branches]
        there = {name: values for name, values in given.items() if values is not None}
        routed = process_routing(self, "fit", **there)
        return [dict(routed[name]["fit"]) for name, _ in branches]

    def _inputs(self, X: Any) -> list[BranchInput]:
        """Give what each fitted branch gets of new clips."""
        check_fields(X, self._fields)
        return prepare(list(self.named_estimators_.items()), X, fit=False)

    def _probabilities(self, X: Any) -> NDArray[np.float64]:
        """Give the branches' probabilities for new clips, NaN where one is missing."""
        return predict_branches(
            self._inputs(X), self.estimators_, self.stack_method, self.classes_, _num_samples(X)
        )

    def _sk_visual_block_(self) -> _VisualBlock:
        names, estimators = zip(*self.estimators, strict=True)
        branches = _VisualBlock("parallel", estimators, names=names, dash_wrapped=False)
        rule = "softmax layer" if self.final_estimator is None else self.final_estimator
        join = _VisualBlock("parallel", [rule], names=["final_estimator"], dash_wrapped=False)
        return _VisualBlock("serial", (branches, join), dash_wrapped=False)

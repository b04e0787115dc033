"""Late fusion: one classifier a modality, and a rule that joins what they predict."""

from __future__ import annotations

import warnings
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils import Bunch
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing

from skavsc._clips import Folds, check_groups, check_labels, training_record
from skavsc._sklearn_compat import (
    HasMethods,
    StrOptions,
    _fit_context,
    _num_samples,
    _routing_enabled,
    _VisualBlock,
)
from skavsc.exceptions import MissingClipWarning
from skavsc.fusion._base import BaseFusion
from skavsc.fusion._folds import inner_folds
from skavsc.fusion._inputs import (
    BranchInput,
    Mask,
    after_leading_steps,
    as_rows,
    available_rows,
    branch_field,
    branch_inputs,
    present_clips,
    with_leading_steps,
)
from skavsc.fusion._meta_models import (
    KnownClasses,
    MetaModels,
    check_any_available,
    is_fixed,
)
from skavsc.fusion._rules import RULES
from skavsc.fusion._stacking import (
    Floats,
    Metadata,
    check_prefit,
    fit_branches,
    predict_branches,
)


class LateFusionClassifier(BaseFusion):
    """Late fusion of one classifier per modality, which also predicts clips that lack one.

    Each branch predicts the class probabilities of a clip from its modality. A meta-model, fitted
    to out-of-fold probabilities as in `sklearn.ensemble.StackingClassifier`, joins them. There is a
    meta-model for every set of branches, and a clip is predicted by that for the modalities that it
    has.

    Parameters
    ----------
    estimators : list of (str, estimator) tuples
        The branches, at most six: names, and classifiers or Pipelines that end in one. If X is a
        structured array (as from `ModalityUnion`) with a field of the branch's name, the branch
        gets that field; otherwise a `SegmentClassifier` gets the field of its modality, and any
        other branch all of X. The transformers at the start of a Pipeline that learn nothing
        (``requires_fit`` is False in their tags) are applied to all clips once, not once per fold,
        and once for all branches that share them. ``"drop"`` leaves a branch out.
    final_estimator : {"mean", "product", "confidence"}, classifier or None, default=None
        How probabilities are joined.

        None: a softmax layer on the logarithms of the concatenated probabilities, shrunk towards
        their weighted product, so that few clips are enough (see Notes).

        ``"mean"``, ``"product"``: of the probabilities. Nothing is fitted, so there are no inner
        folds, unless ``calibration`` needs them.

        ``"confidence"``: a mean in which each branch counts, class by class, as its out-of-fold F1
        score.

        A classifier with ``predict_proba`` is fitted to the concatenated probabilities;
        ``LogisticRegression(C=1e3)`` is the layer as published.
    cv : int, cross-validation splitter, iterable or "prefit", default=5
        The inner folds for out-of-fold probabilities. A number means stratified folds, which keep
        groups together if ``groups`` is given to ``fit``. ``"prefit"``: the branches are fitted
        already, and their predictions for the clips given to ``fit`` (on which they should not have
        been fitted) train the meta-model.
    stack_method : {"auto", "predict_proba", "decision_function", "predict"}, \
            default="predict_proba"
        The method of the branches to call; ``"auto"`` is the first that a branch has. Scores become
        probabilities by a softmax, labels by 1 for the label and 0 for the others.
    calibration : {"temperature"} or None, default=None
        Whether each branch's probabilities are flattened or sharpened by a temperature, fitted to
        the out-of-fold probabilities.
    missing : {"raise", "prior"}, default="raise"
        What to do with clips without any modality: raise a MissingModalityError, or predict the
        class frequencies (``fit`` then leaves these clips out, with a MissingClipWarning).
    n_jobs : int, default=None
        The number of fits at the same time, as in joblib; None is 1.
    random_state : int, RandomState instance or None, default=None
        If given, folds of which ``cv`` is only the number are shuffled.
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
    SegmentClassifier : What to implement so that a classifier's segments are fused.
    sklearn.ensemble.StackingClassifier : Stacking without groups and missing modalities.

    Notes
    -----
    A row is missing for a branch if its part of X is nothing but NaN or None: a field or an array
    row of NaN, a path that is None, or NaN after the leading transformers; or if a
    `SegmentClassifier` finds no whole segment in it. That branch is then neither trained on it nor
    predicts it. A branch that is given a whole structured array, or whose transformers make one,
    needs all of its fields.

    A class that no clip with a certain set of modalities had in ``fit`` (no park was ever filmed)
    has, in clips with this set, its share in the mean over those of the branches that know it; the
    meta-model decides among the other classes.

    ``groups`` and ``sample_weight`` are passed to those classifiers whose ``fit`` takes them, in
    searches, calibration and other wrappers too. With scikit-learn's metadata routing enabled, they
    are passed to those that request them. A clip of weight 0 is the same as one that is absent.

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
            StrOptions(set(RULES)),
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
    # The inner folds need the groups whenever the outer folds are made by them.
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
        if isinstance(self.final_estimator, type):
            name = self.final_estimator.__name__
            raise TypeError(f"final_estimator={name} is a class; give a classifier, {name}()")
        X = as_rows(X)
        n_clips = _num_samples(X)
        labels = check_labels(y, n_clips)
        groups = check_groups(groups, n_clips)
        clips = present_clips(X, labels, groups, sample_weight)
        self.classes_, codes = np.unique(clips.labels, return_inverse=True)
        self.class_prior_ = np.bincount(codes, clips.weight) / clips.weight.sum()
        metadata = self._branch_metadata(
            branches,
            groups=clips.groups,
            sample_weight=None if sample_weight is None else clips.weight,
        )
        prefit = isinstance(self.cv, str)
        folds = []
        if prefit:
            check_prefit(branches, self.classes_)
        else:
            # Before the features are computed: impossible folds are reported at once.
            if not is_fixed(self.final_estimator) or self.calibration is not None:
                folds = inner_folds(self.cv, labels, groups, self.random_state, clips.rows)
            branches = [(name, clone(estimator)) for name, estimator in branches]
        inputs = branch_inputs(branches, clips.X, fit=not prefit, y=clips.labels)
        available = available_rows(inputs, len(clips.rows))
        self._check_available(available, clips.rows)
        if prefit:
            self.estimators_ = [estimator for _, estimator in branches]
            probabilities = predict_branches(
                inputs, self.estimators_, self.stack_method, self.classes_, len(clips.rows)
            )
        else:
            self.estimators_, probabilities = self._fit_branches(
                branches, inputs, clips.labels, metadata, folds
            )
        names = [name for name, _ in branches]
        self.named_estimators_ = Bunch(**dict(zip(names, self.estimators_, strict=True)))
        self._fields = {
            name: branch_field(clips.X, name, estimator) for name, estimator in branches
        }
        self._meta = MetaModels(self.final_estimator, self.calibration, names, self.classes_).fit(
            probabilities,
            codes,
            clips.weight,
            KnownClasses(codes, available, self.class_prior_, prefit),
        )
        self.temperatures_ = self._meta.temperatures
        self.modality_importances_ = self._meta.importances
        self.final_estimators_ = self._meta.by_name()
        self.final_estimator_ = self.final_estimators_.get(tuple(names))
        self._trained_on = training_record(len(clips.rows), clips.groups)
        return self

    def _check_available(self, available: Mask, rows: NDArray[np.intp]) -> None:
        """Raise an error or warn, as ``missing`` says, if clips have no modality."""
        if self.missing == "raise":
            check_any_available(available, rows)
        elif n_empty := np.count_nonzero(~available.any(axis=1)):
            warnings.warn(
                f"{n_empty} of {len(rows)} clips have no modality and are left out of fit",
                MissingClipWarning,
                stacklevel=4,
            )

    def _fit_branches(
        self,
        branches: list[tuple[str, Any]],
        inputs: list[BranchInput],
        labels: NDArray[Any],
        metadata: list[Metadata],
        folds: Folds,
    ) -> tuple[list[Any], Floats]:
        """Fit the branches to all clips; return them and their out-of-fold probabilities."""
        fitted, probabilities = fit_branches(
            inputs,
            [after_leading_steps(estimator) for _, estimator in branches],
            labels,
            metadata,
            folds,
            stack_method=self.stack_method,
            n_jobs=self.n_jobs,
            verbose=self.verbose,
        )
        whole = [
            with_leading_steps(estimator, rest)
            for (_, estimator), rest in zip(branches, fitted, strict=True)
        ]
        return whole, probabilities

    def get_metadata_routing(self) -> MetadataRouter:
        """Return the routing of metadata to the branches.

        Returns
        -------
        sklearn.utils.metadata_routing.MetadataRouter
            The routing.
        """
        router = MetadataRouter(owner=self).add_self_request(self)
        for name, estimator in self._kept_branches():
            mapping = MethodMapping().add(caller="fit", callee="fit")
            # The leading steps learn nothing, so that metadata are not for them.
            router.add(method_mapping=mapping, **{name: after_leading_steps(estimator)})
        return router

    def _branch_metadata(
        self, branches: list[tuple[str, Any]], **metadata: NDArray[Any] | None
    ) -> list[Metadata]:
        """Return the metadata for each branch's ``fit``."""
        given = {name: values for name, values in metadata.items() if values is not None}
        if not _routing_enabled():
            return [given for _ in branches]
        routed = process_routing(self, "fit", **given)
        return [dict(routed[name]["fit"]) for name, _ in branches]

    def _sk_visual_block_(self) -> _VisualBlock:
        names, estimators = zip(*self.estimators, strict=True)
        branches = _VisualBlock("parallel", estimators, names=names, dash_wrapped=False)
        rule = "softmax layer" if self.final_estimator is None else self.final_estimator
        join = _VisualBlock("parallel", [rule], names=["final_estimator"], dash_wrapped=False)
        return _VisualBlock("serial", (branches, join), dash_wrapped=False)

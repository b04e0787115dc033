"""The features of several modalities side by side in one structured array."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import TransformerMixin, clone
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import Bunch, get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.validation import check_is_fitted

from skavsc._parallel import Parallel, delayed
from skavsc._sklearn_compat import (
    DocLinkMixin,
    _BaseComposition,
    _fit_context,
    _num_samples,
    _raise_for_params,
    _VisualBlock,
)
from skavsc.fusion._inputs import as_rows, is_stateless, take_rows
from skavsc.fusion._structured_array import fill_rows

# Rows that are transformed at a time: large enough that the start and end of a batch do not count,
# small enough that the features in flight are few beside those of a data set that fills the memory.
CHUNK = 512


def _transform(transformer: Any, X: Any, params: dict[str, Any]) -> Any:
    return transformer.transform(X, **params)


def _fit(transformer: Any, X: Any, y: Any, params: dict[str, Any]) -> Any:
    return transformer.fit(X, y, **params)


def _fit_transform(transformer: Any, X: Any, y: Any, params: Any) -> tuple[Any, Any]:
    if hasattr(transformer, "fit_transform"):
        return transformer, transformer.fit_transform(X, y, **params["fit_transform"])
    fitted = transformer.fit(X, y, **params["fit"])
    return fitted, fitted.transform(X, **params["transform"])


class ModalityUnion(DocLinkMixin, TransformerMixin, _BaseComposition, auto_wrap_output_keys=None):  # type: ignore[call-arg]
    """Features of several modalities of the same clips, as one structured array.

    Like `sklearn.compose.ColumnTransformer`, but the outputs are not stacked into one matrix:
    each becomes a field of a NumPy structured array, in its own shape. Such an array has one
    row a clip, so scikit-learn's tools index, split and pickle it, and ``X["audio"]`` is a view.

    Parameters
    ----------
    transformers : list of (str, transformer) tuples
        The modalities: the name of the field, and the transformer (or Pipeline of transformers)
        that computes it from X, which every one gets whole. ``"passthrough"`` takes X itself (a
        numeric array), ``"drop"`` leaves the modality out.
    n_jobs : int, default=None
        The number of modalities that are computed at the same time, as in joblib; None is 1.
    verbose : int, default=0
        The verbosity of joblib: above 0 it reports its progress over the modalities.

    Attributes
    ----------
    transformers_ : list of (str, transformer) tuples
        The fitted transformers, without those that are dropped.
    named_transformers_ : sklearn.utils.Bunch
        The same, by name.
    n_features_in_ : int
        The number of features of X. Only if the first transformer has it.

    See Also
    --------
    LateFusionClassifier : One classifier for each field, and a fusion of their predictions.

    Notes
    -----
    Fields are float32, except where a transformer gives lazy frames, as
    `skavsc.visual.VideoFrameSampler` does: then the field holds these objects, None for a missing
    clip, and nothing is decoded.

    A union whose transformers are all stateless (``requires_fit`` is False in their tags) is
    stateless too: its ``transform`` works without ``fit``.

    Rows are computed 512 at a time (each clip once), so that beside the result only a few
    of the features exist a second time; a transformer that has something to learn is an
    exception in ``fit_transform``, where it sees all rows at once.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.preprocessing import FunctionTransformer
    >>> from skavsc import ModalityUnion
    >>> union = ModalityUnion([
    ...     ("audio", FunctionTransformer(np.abs)),
    ...     ("visual", FunctionTransformer(np.sign)),
    ... ])
    >>> features = union.fit_transform(np.array([[-2.0, 3.0], [4.0, -5.0]]))
    >>> features.shape, features.dtype.names
    ((2,), ('audio', 'visual'))
    >>> features["audio"]
    array([[2., 3.],
           [4., 5.]], dtype=float32)
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "transformers": [list],
        "n_jobs": [None, int],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        transformers: list[tuple[str, Any]],
        *,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.transformers = transformers
        self.n_jobs = n_jobs
        self.verbose = verbose

    @property
    def named_transformers(self) -> Bunch:
        """The transformers as given, by name."""
        return Bunch(**dict(self.transformers))

    def __getitem__(self, name: str) -> Any:
        """Return the transformer of a modality: the fitted one, if there is one."""
        return dict(getattr(self, "transformers_", self.transformers))[name]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters of the union and of its transformers.

        Parameters
        ----------
        deep : bool, default=True
            Whether to include the transformers' own, as ``name__parameter``.

        Returns
        -------
        dict of str to any
            The parameters by name.
        """
        return self._get_params("transformers", deep=deep)

    def set_params(self, **params: Any) -> Self:
        """Set parameters of the union and of its transformers.

        Parameters
        ----------
        **params : dict of str to any
            ``name=transformer`` replaces a transformer, ``name__parameter=value`` sets one of its
            parameters.

        Returns
        -------
        ModalityUnion
            The union itself.
        """
        self._set_params("transformers", **params)
        return self

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None, **params: Any) -> Self:
        """Fit every transformer on X.

        Parameters
        ----------
        X : pandas.DataFrame or sequence of n_clips sources
            The clip table, or whatever the transformers take.
        y : array-like of shape (n_clips,), optional
            The labels, for transformers that use them.
        **params : dict of str to any
            Metadata that the transformers request (scikit-learn's metadata routing).

        Returns
        -------
        ModalityUnion
            The fitted union.
        """
        X = as_rows(X)
        parts = self._fresh_transformers()
        _raise_for_params(params, self, "fit")
        routed = process_routing(self, "fit", **params)
        fitted = self._parallel()(
            delayed(_fit)(part, X, y, routed[name]["fit"]) for name, part in parts
        )
        self._set_fitted([(name, part) for (name, _), part in zip(parts, fitted, strict=True)])
        return self

    @_fit_context(prefer_skip_nested_validation=False)
    def fit_transform(self, X: Any, y: Any = None, **params: Any) -> NDArray[np.void]:
        """Fit every transformer on X and compute the features.

        Parameters
        ----------
        X : pandas.DataFrame or sequence of n_clips sources
            The clip table, or whatever the transformers take.
        y : array-like of shape (n_clips,), optional
            The labels, for transformers that use them.
        **params : dict of str to any
            Metadata that the transformers request (scikit-learn's metadata routing).

        Returns
        -------
        ndarray of shape (n_clips,), structured
            One field per modality, as from ``transform``.
        """
        X = as_rows(X)
        parts = self._fresh_transformers()
        if is_stateless(self):
            self.fit(X, y, **params)
            return self.transform(X)
        _raise_for_params(params, self, "fit_transform")
        routed = process_routing(self, "fit_transform", **params)
        done = self._parallel()(
            delayed(_fit_transform)(part, X, y, routed[name]) for name, part in parts
        )
        self._set_fitted([(name, part) for (name, _), (part, _) in zip(parts, done, strict=True)])
        outputs = {name: done.pop(0)[1] for name, _ in parts}
        return fill_rows(None, X, 0, _num_samples(X), outputs)

    def transform(self, X: Any, **params: Any) -> NDArray[np.void]:
        """Compute the features of every modality.

        Parameters
        ----------
        X : pandas.DataFrame or sequence of n_clips sources
            The clip table, or whatever the transformers take.
        **params : dict of str to any
            Metadata that the transformers request (scikit-learn's metadata routing).

        Returns
        -------
        ndarray of shape (n_clips,), structured
            One field per modality: float32 with the shape of its transformer's output, or object
            where that is lazy. Rows are in the order of X.

        Raises
        ------
        ValueError
            If a transformer returns another number of rows than it was given.
        TypeError
            If a transformer returns anything but a dense array of numbers or of lazy frames.
        """
        if hasattr(self, "transformers_") or not is_stateless(self):
            check_is_fitted(self, "transformers_")
            parts = self.transformers_
        else:
            parts = self._fresh_transformers()
        X = as_rows(X)
        _raise_for_params(params, self, "transform")
        routed = process_routing(self, "transform", **params)
        n_clips = _num_samples(X)
        result: NDArray[np.void] | None = None
        for start in range(0, max(n_clips, 1), CHUNK):
            rows = np.arange(start, min(start + CHUNK, n_clips))
            chunk = take_rows(X, rows, n_clips)
            outputs = self._parallel()(
                delayed(_transform)(part, chunk, routed[name]["transform"]) for name, part in parts
            )
            named = {name: outputs.pop(0) for name, _ in parts}
            result = fill_rows(result, chunk, start, n_clips, named)
        assert result is not None
        return result

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the names of the fields.

        Parameters
        ----------
        input_features : array-like of str, optional
            Not used, present for API consistency.

        Returns
        -------
        ndarray of str, object
            One name per modality.
        """
        return np.array([name for name, _ in self._kept()], dtype=object)

    @property
    def n_features_in_(self) -> int:
        """The number of features of X, as the first transformer saw it."""
        if not hasattr(self, "transformers_"):
            raise AttributeError(f"{type(self).__name__} has no n_features_in_ before fit")
        return self.transformers_[0][1].n_features_in_

    def get_metadata_routing(self) -> MetadataRouter:
        """Return the routing of metadata to the transformers.

        Returns
        -------
        sklearn.utils.metadata_routing.MetadataRouter
            The routing.
        """
        router = MetadataRouter(owner=self)
        for name, part in self._kept():
            mapping = MethodMapping()
            for caller, callee in [
                ("fit", "fit"),
                ("fit_transform", "fit_transform"),
                ("fit_transform", "fit"),
                ("fit_transform", "transform"),
                ("transform", "transform"),
            ]:
                mapping.add(caller=caller, callee=callee)
            router.add(method_mapping=mapping, **{name: part})
        return router

    def _kept(self) -> list[tuple[str, Any]]:
        """Return the transformers that are not dropped."""
        return [
            (name, FunctionTransformer() if isinstance(part, str) else part)
            for name, part in self.transformers
            if not (isinstance(part, str) and part == "drop")
        ]

    def _fresh_transformers(self) -> list[tuple[str, Any]]:
        """Check the transformers and return unfitted copies."""
        if not self.transformers or not all(
            isinstance(item, list | tuple) and len(item) == 2 and isinstance(item[0], str)
            for item in self.transformers
        ):
            raise ValueError(
                f"transformers={self.transformers!r} must be a list of (name, transformer) tuples "
                f"with at least one entry"
            )
        self._validate_names([name for name, _ in self.transformers])
        for name, part in self.transformers:
            if isinstance(part, type):
                raise TypeError(
                    f"transformer {name!r} is the class {part.__name__}; it must be an instance, "
                    f"{part.__name__}()"
                )
            if isinstance(part, str) and part in ("drop", "passthrough"):
                continue
            if not (hasattr(part, "fit") and hasattr(part, "transform")):
                raise TypeError(
                    f"transformer {name!r} is {part!r}; it must have fit and transform, "
                    f"or be 'drop' or 'passthrough'"
                )
        kept = self._kept()
        if not kept:
            raise ValueError("all transformers are 'drop'; at least one must be kept")
        return [(name, clone(part)) for name, part in kept]

    def _set_fitted(self, fitted: list[tuple[str, Any]]) -> None:
        self.transformers_ = fitted
        self.named_transformers_ = Bunch(**dict(fitted))

    def _parallel(self) -> Parallel:
        return Parallel(n_jobs=self.n_jobs, verbose=self.verbose)

    def _sk_visual_block_(self) -> _VisualBlock:
        names, parts = zip(*self.transformers, strict=True)
        return _VisualBlock("parallel", parts, names=names)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "transformers_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = all(
            isinstance(part, str) or get_tags(part).input_tags.sparse
            for _, part in self.transformers
        )
        tags.no_validation = True
        # The type of the fields does not follow that of the input.
        tags.transformer_tags.preserves_dtype = []
        tags.requires_fit = not all(is_stateless(part) for _, part in self.transformers)
        return tags

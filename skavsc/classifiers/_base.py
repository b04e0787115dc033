"""The base of all scene classifiers: fitting, probabilities of segments and of clips."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from dataclasses import replace
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin, clone
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted

from skavsc._clips import check_groups, check_labels, training_record
from skavsc._sklearn_compat import Interval, StrOptions, _fit_context
from skavsc.classifiers._augmented import AugmentedEstimator
from skavsc.classifiers._checks import (
    check_weights,
    hold_out,
    require_known,
    require_present,
    usable_rows,
)
from skavsc.classifiers._runtimes import RUNTIMES, NetworkRunner
from skavsc.pretrained import choose_precision
from skavsc.training import ClipFeatures, LabelledClips, TrainingSet, require_onnxruntime
from skavsc.training.augmentation import Augmentation

if TYPE_CHECKING:
    import keras

    from skavsc.training import FineTuning


class SceneClassifier(ClassifierMixin, NetworkRunner, AugmentedEstimator, metaclass=ABCMeta):
    """Base of the classifiers that train a Keras network on random segments of clips."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "epochs": [Interval(Integral, 1, None, closed="left")],
        "patience": [Interval(Integral, 1, None, closed="left")],
        "rate_patience": [Interval(Integral, 1, None, closed="left")],
        "rate_schedule": [StrOptions({"halving", "cosine"})],
        "augmentation": [list, tuple, StrOptions({"published"})],
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "validation_fraction": [Interval(Real, 0, 0.5, closed="both")],
        "starts_per_second": [Interval(Integral, 1, None, closed="left")],
        "clip_average": [StrOptions({"arithmetic", "geometric"})],
        "runtime": [StrOptions(set(RUNTIMES))],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    #: The modality of X that the classifier takes, "audio" or "visual"; None for all of X.
    modality: str | None
    # What the network is called in messages.
    _label: ClassVar[str]
    # The parameters that are built into a network, besides those of all classifiers.
    _built_in: ClassVar[tuple[str, ...]]

    @abstractmethod
    def _features(self, X: Any, *, reset: bool) -> ClipFeatures:
        """Check the features and find their usable segments."""

    @abstractmethod
    def _build_network(self, training_set: TrainingSet) -> keras.Model:
        """Build the network for these clips, not compiled."""

    def _fine_tuning(self) -> FineTuning | None:
        """Return the last stage of training, where there is one."""
        return None

    def _keep_fine_tuned(self, fine_tuning: FineTuning | None, training_set: TrainingSet) -> None:
        """Keep what the last stage has trained, other than the network."""

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        groups: Any = None,
        validation_data: tuple[Any, Any] | None = None,
    ) -> Self:
        """Train the network on clips.

        Parameters
        ----------
        X : array-like, or structured array with one field per modality
            The features of n_clips clips. Frames that hold a NaN are not used; clips without a
            whole second are left out, with a warning.
        y : array-like of shape (n_clips,)
            The labels: strings, integers or booleans of at least two classes.
        sample_weight : array-like of shape (n_clips,), optional
            The weights of the clips, at least 0. A clip of weight 0 is treated as absent.
        groups : array-like of shape (n_clips,), optional
            The recording locations. Clips of one location are never split between training and
            validation; without them each clip counts as a location of its own.
        validation_data : tuple of (X, y), optional
            Clips to stop training by, in place of ``validation_fraction`` of the given ones.

        Returns
        -------
        object
            The fitted classifier.

        Raises
        ------
        ValueError
            If X or y cannot be used, there is one class only, or nothing can be held out; or,
            with ``warm_start``, a parameter is not what the network was built with.
        """
        seed = self._seed()
        features = self._features(X, reset=not (self.warm_start and self._has_network()))
        # Before the training, which may take hours.
        features.starts_between(self.starts_per_second)
        y = check_labels(y, features.n_clips)
        groups = check_groups(groups, features.n_clips)
        present, weights = check_weights(sample_weight, self.class_weight, y)
        rows = usable_rows(features, present, self._label)
        classes = np.unique(y[rows])
        if weights is not None:
            # A class of weight 0 keeps its place among the probabilities.
            rows = rows[weights[rows] > 0]
        train, validation = LabelledClips(features, y, weights, rows), None
        if validation_data is not None:
            validation = self._validation_clips(validation_data, classes)
        elif self.validation_fraction > 0:
            locations = None if groups is None else groups[rows]
            inside, outside = hold_out(y[rows], locations, self.validation_fraction, seed)
            validation = replace(train, rows=rows[outside])
            train = replace(train, rows=rows[inside])
        training_set = TrainingSet(train, validation, classes, seed)
        self._check_augmentation(features)
        self._train(training_set, going_on=self.warm_start)
        self._trained_on = training_record(len(rows), None if groups is None else groups[rows])
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Train for one more epoch, without validation.

        Parameters
        ----------
        X : array-like, or structured array with one field per modality
            The features of n_clips clips.
        y : array-like of shape (n_clips,)
            The labels.
        classes : array-like of shape (n_classes,), optional
            All labels that will ever occur. For the first call, by default those of its ``y``;
            later calls may only repeat them.
        sample_weight : array-like of shape (n_clips,), optional
            The weights of the clips, at least 0. A clip of weight 0 is treated as absent.

        Returns
        -------
        object
            The fitted classifier.

        Raises
        ------
        ValueError
            If y holds a label that is not among the classes of the first call, which must be
            two at least; a parameter of the network is not what the network was built with; or
            ``class_weight="balanced"``, which the clips of one call cannot tell.
        """
        self._validate_params()
        if self.class_weight == "balanced":
            raise ValueError(
                'class_weight="balanced" is not supported by partial_fit, which does not know how '
                "often each class will occur; pass the weights as a dict, computed from all labels "
                'with sklearn.utils.class_weight.compute_class_weight("balanced", ...)'
            )
        going_on = self._has_network()
        features = self._features(X, reset=not going_on)
        y = check_labels(y, features.n_clips, least=1)
        given = None if classes is None else np.unique(classes)
        if going_on and given is not None and not np.array_equal(given, self.classes_):
            raise ValueError(
                f"classes={given.tolist()}, but the network was built for those of the first call, "
                f"{self.classes_.tolist()}; leave classes out, or begin with a clone"
            )
        present, weights = check_weights(sample_weight, self.class_weight, y)
        classes = self.classes_ if going_on else np.unique(y[present]) if given is None else given
        if len(classes) < 2:
            raise ValueError(
                f"the first call of partial_fit knows one class only ({classes.tolist()}); name "
                "all that will ever occur with classes="
            )
        remedy = "; name all with classes= in the first call of partial_fit"
        require_known(y[present], classes, "y", remedy)
        rows = usable_rows(features, present, self._label)
        train = LabelledClips(features, y, weights, rows)
        self._check_augmentation(features)
        self._train(TrainingSet(train, None, classes, self._seed()), going_on=True, epochs=1)
        # Clips of several calls may be the same, so that their number is not known.
        self.__dict__.pop("_trained_on", None)
        return self

    def usable_clips(self, X: Any) -> NDArray[np.bool_]:
        """Find the clips that have a whole second to predict from, before fit or after it.

        Parameters
        ----------
        X : array-like, or structured array with one field per modality
            The features of n_clips clips.

        Returns
        -------
        ndarray of shape (n_clips,), bool
            Whether `predict` can predict the clip.
        """
        fitted = hasattr(self, "classes_")
        classifier = self if fitted else clone(self)
        classifier._validate_params()
        usable: NDArray[np.bool_] = np.any(
            classifier._features(X, reset=not fitted).usable_segments, axis=1
        )
        return usable

    def predict_proba_segments(self, X: Any) -> NDArray[np.float32]:
        """Predict the class probabilities of every segment, one per second.

        Parameters
        ----------
        X : array-like, or structured array with one field per modality
            The features of n_clips clips, of at least one second; the duration need not be
            that of the clips at fit.

        Returns
        -------
        ndarray of shape (n_clips, n_segments, n_classes), float32
            NaN for segments that are missing. What is less than a second at the end of a clip is
            not used.
        """
        check_is_fitted(self)
        return self._runner().predict_segments(self._features(X, reset=False))

    def predict_proba(self, X: Any) -> NDArray[np.float32]:
        """Predict the class probabilities of clips: the mean over their segments.

        ``clip_average`` says which mean, ``starts_per_second`` over which segments.

        Parameters
        ----------
        X : array-like, or structured array with one field per modality
            The features of n_clips clips.

        Returns
        -------
        ndarray of shape (n_clips, n_classes), float32
            The probabilities in the order of ``classes_``.

        Raises
        ------
        MissingModalityError
            If a clip has no whole second to predict from.
        """
        check_is_fitted(self)
        from skavsc.training import average_segments

        features = self._features(X, reset=False)
        segments = self._runner().predict_segments(features, self.starts_per_second)
        present: NDArray[np.bool_] = np.any(~np.isnan(segments[..., 0]), axis=1)
        require_present(present, self._label)
        return average_segments(segments, self.clip_average)

    def predict(self, X: Any) -> NDArray[Any]:
        """Predict the most probable label of each clip.

        Parameters
        ----------
        X : array-like, or structured array with one field per modality
            The features of n_clips clips.

        Returns
        -------
        ndarray of shape (n_clips,)
            The labels.

        Raises
        ------
        MissingModalityError
            If a clip has no whole second to predict from.
        """
        probabilities = self.predict_proba(X)
        return self.classes_[np.argmax(probabilities, axis=1)]

    def _validation_clips(self, given: Any, classes: NDArray[Any]) -> LabelledClips:
        if not isinstance(given, tuple | list) or len(given) != 2:
            raise ValueError(
                "validation_data must be a pair (X, y) of features, made as those of the "
                f"training, and labels; it is a {type(given).__name__}"
            )
        try:
            features = self._features(given[0], reset=False)
        except ValueError as error:
            error.add_note(
                "This is about validation_data, which no Pipeline transforms: pass features, "
                "as pipeline[:-1].transform gives them."
            )
            raise
        labels = check_labels(given[1], features.n_clips, least=1)
        require_known(labels, classes, "validation_data")
        rows = usable_rows(features, np.ones(features.n_clips, dtype=bool), self._label)
        return LabelledClips(features, labels, None, rows)

    def _train(
        self,
        training_set: TrainingSet,
        *,
        going_on: bool,
        epochs: int | None = None,
        further_augmentation: tuple[Augmentation, ...] = (),
        keep_interrupted: bool = True,
    ) -> None:
        """Train the network, by default for ``self.epochs``; build it first if there is none."""
        from skavsc.training import TrainingOptions

        if self.runtime == "onnxruntime":
            # Before the training, which may take hours.
            require_onnxruntime()
        self._forget_onnx()
        if going_on and self._has_network():
            self._check_as_built(training_set.classes)
            if self.learning_rate != self._built_with["learning_rate"]:
                self.keras_classifier_.model_.optimizer.learning_rate = self.learning_rate
                self._built_with["learning_rate"] = self.learning_rate
        else:
            self._start_network(training_set)
        options = TrainingOptions(
            label=self._label,
            epochs=epochs or self.epochs,
            batch_size=self.batch_size,
            patience=self.patience,
            rate_patience=self.rate_patience,
            rate_schedule=self.rate_schedule,
            augmentation=(*self._augmentation_steps(), *further_augmentation),
            clean_statistics=getattr(self, "clean_statistics", False),
            verbose=self.verbose,
            precision=choose_precision(getattr(self, "precision", "float32")),
            keep_interrupted=keep_interrupted,
        )
        fine_tuning = self._fine_tuning()
        self.keras_classifier_.train(training_set, options, fine_tuning)
        self._keep_fine_tuned(fine_tuning, training_set)

    def _start_network(self, training_set: TrainingSet) -> None:
        """Build and compile a new network."""
        import keras

        from skavsc.training import SegmentKerasClassifier, compile_for_training

        def build() -> keras.Model:
            network = self._build_network(training_set)
            loss = keras.losses.CategoricalCrossentropy(label_smoothing=self.label_smoothing)
            compile_for_training(network, self.learning_rate, loss)
            return network

        self.keras_classifier_ = SegmentKerasClassifier.build(
            build, training_set.classes, training_set.seed
        )
        self.classes_ = training_set.classes
        self._built_with = self._network_params()

    def _network_params(self) -> dict[str, Any]:
        names = (*self._built_in, "label_smoothing", "learning_rate")
        return {name: getattr(self, name) for name in names}

    def _check_as_built(self, classes: NDArray[Any]) -> None:
        """Raise if the network was built for other labels or parameters."""
        if not np.array_equal(classes, self.classes_):
            raise ValueError(
                f"the labels {classes.tolist()} are not those of the first fit, "
                f"{self.classes_.tolist()}; set warm_start=False to begin anew"
            )
        for name, value in self._network_params().items():
            built = self._built_with[name]
            # Not by ==: filters may be a list, a tuple or an array.
            if name != "learning_rate" and not np.array_equal(value, built):
                raise ValueError(
                    f"{name}={value!r}, but the {self._label} network, which is to go on, was "
                    f"built with {built!r}; set it back, or fit with warm_start=False to begin anew"
                )

    def _seed(self) -> int:
        # One seed for each fit, from which everything random in it is drawn.
        return int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = True
        return tags

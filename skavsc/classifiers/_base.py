"""What all scene classifiers share: one training step, probabilities by second and by clip."""

from __future__ import annotations

import functools
from abc import ABCMeta, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted

from skavsc._clips import check_groups, check_labels
from skavsc._sklearn_compat import Interval, StrOptions, _fit_context
from skavsc.classifiers._augmentation import Augmentation
from skavsc.classifiers._data import (
    LabelledClips,
    TrainingSet,
    check_weights,
    require_known,
    require_present,
    usable_rows,
)
from skavsc.classifiers._split import hold_out
from skavsc.classifiers._streams import ClipStreams

if TYPE_CHECKING:
    from skavsc.classifiers._training import Plan


class SceneClassifier(ClassifierMixin, BaseEstimator, metaclass=ABCMeta):
    """Base of the classifiers that train a Keras network on random seconds of clips."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "epochs": [Interval(Integral, 1, None, closed="left")],
        "patience": [Interval(Integral, 1, None, closed="left")],
        "rate_patience": [Interval(Integral, 1, None, closed="left")],
        "rate_schedule": [StrOptions({"halving", "cosine"})],
        "mixup_alpha": [Interval(Real, 0, None, closed="left")],
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "validation_fraction": [Interval(Real, 0, 0.5, closed="both")],
        "starts_per_second": [Interval(Integral, 1, None, closed="left")],
        "clip_average": [StrOptions({"arithmetic", "geometric"})],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    # What each subclass says of itself: its name in messages, the streams that mixup mixes.
    _modality: ClassVar[str]
    _mixed: ClassVar[tuple[str, ...]]
    # The parameters that are built into a network, besides those that all have.
    _built_in: ClassVar[tuple[str, ...]]

    @abstractmethod
    def _streams(self, X: Any, *, reset: bool) -> ClipStreams:
        """Check the features and find their usable frames."""

    @abstractmethod
    def _builder(self, training: TrainingSet) -> Callable[[], Any]:
        """Give a picklable function that builds the network for these clips."""

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
        X : array-like, or structured array with one field a modality
            The features of n_clips clips. Frames that hold a NaN are not used; clips without a
            whole second are left out, with a warning.
        y : array-like of shape (n_clips,)
            The labels: strings, integers or booleans of at least two classes.
        sample_weight : array-like of shape (n_clips,), optional
            The weights of the clips, at least 0.
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
        clips = self._streams(X, reset=not (self.warm_start and self._has_network()))
        clips.hop(self.starts_per_second)  # now, and not after the training
        y = check_labels(y, clips.n_clips)
        groups = check_groups(groups, clips.n_clips)
        weights = check_weights(sample_weight, self.class_weight, clips.usable_seconds, y)
        train = LabelledClips(clips, y, weights, usable_rows(clips, self._modality))
        held = None
        if validation_data is not None:
            if not isinstance(validation_data, tuple | list) or len(validation_data) != 2:
                raise ValueError(
                    "validation_data must be a pair (X, y) of features, made as those of the "
                    f"training, and labels; it is a {type(validation_data).__name__}"
                )
            try:
                others = self._streams(validation_data[0], reset=False)
            except ValueError as error:
                error.add_note(
                    "This is about validation_data, which no Pipeline transforms: pass features, "
                    "as pipeline[:-1].transform gives them."
                )
                raise
            labels = check_labels(validation_data[1], others.n_clips, least=1)
            require_known(labels, np.unique(y[train.rows]), "validation_data")
            held = LabelledClips(others, labels, None, usable_rows(others, self._modality))
        elif self.validation_fraction > 0:
            places = None if groups is None else groups[train.rows]
            inside, outside = hold_out(y[train.rows], places, self.validation_fraction, seed)
            held = replace(train, rows=train.rows[outside])
            train = replace(train, rows=train.rows[inside])
        training = TrainingSet(train, held, np.unique(y[train.rows]), seed)
        return self._fit_set(training, going_on=self.warm_start)

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Train for one more epoch, without validation.

        Parameters
        ----------
        X : array-like, or structured array with one field a modality
            The features of n_clips clips.
        y : array-like of shape (n_clips,)
            The labels.
        classes : array-like of shape (n_classes,), optional
            All labels that will ever come. For the first call, by default those of its ``y``;
            later calls may only repeat them.
        sample_weight : array-like of shape (n_clips,), optional
            The weights of the clips, at least 0.

        Returns
        -------
        object
            The fitted classifier.

        Raises
        ------
        ValueError
            If y holds a label that is not among the classes of the first call, which must be
            two at least; or a parameter of the network is not what the network was built with.
        """
        self._validate_params()
        going_on = self._has_network()
        clips = self._streams(X, reset=not going_on)
        y = check_labels(y, clips.n_clips, least=1)
        given = None if classes is None else np.unique(classes)
        if going_on and given is not None and not np.array_equal(given, self.classes_):
            raise ValueError(
                f"classes={given.tolist()}, but the network was built for those of the first call, "
                f"{self.classes_.tolist()}; leave classes out, or begin with a clone"
            )
        classes = self.classes_ if going_on else np.unique(y) if given is None else given
        if len(classes) < 2:
            raise ValueError(
                f"the first call of partial_fit knows one class only ({classes.tolist()}); name "
                "all that will ever come with classes="
            )
        remedy = "; name all with classes= in the first call of partial_fit"
        require_known(y, classes, "y", remedy)
        weights = check_weights(sample_weight, self.class_weight, clips.usable_seconds, y)
        train = LabelledClips(clips, y, weights, usable_rows(clips, self._modality))
        training = TrainingSet(train, None, classes, self._seed())
        return self._fit_set(training, going_on=True, epochs=1)

    def _has_network(self) -> bool:
        """Tell whether there is a network to go on with."""
        return hasattr(getattr(self, "keras_classifier_", None), "model_")

    @property
    def modality(self) -> str | None:
        """The modality of the features: "audio" or "visual"; None for both."""
        return self._modality if self._modality in ("audio", "visual") else None

    def usable_clips(self, X: Any) -> NDArray[np.bool_]:
        """Return which clips have at least one whole segment, before fit or after it.

        Parameters
        ----------
        X : array-like, or structured array with one field a modality
            The features of n_clips clips.

        Returns
        -------
        ndarray of shape (n_clips,), bool
            True for clips that can be predicted.
        """
        fitted = hasattr(self, "classes_")
        classifier = self if fitted else clone(self)
        classifier._validate_params()
        clips = classifier._streams(X, reset=not fitted)
        usable: NDArray[np.bool_] = np.any(clips.usable_seconds, axis=1)
        return usable

    def predict_proba_segments(self, X: Any) -> NDArray[np.float32]:
        """Give the class probabilities of every second.

        Parameters
        ----------
        X : array-like, or structured array with one field a modality
            The features of n_clips clips, of at least one second; the duration need not be
            that of the clips at fit.

        Returns
        -------
        ndarray of shape (n_clips, n_seconds, n_classes), float32
            NaN in seconds that are missing. A broken second at the end is not judged.
        """
        return self._judge(X, per_second=1)

    def _judge(self, X: Any, *, per_second: int) -> NDArray[np.float32]:
        """Give the class probabilities of seconds of which so many begin in each second."""
        check_is_fitted(self)
        from skavsc.classifiers._batches import SecondBatches

        clips = self._streams(X, reset=False)
        usable = clips.usable_starts[:, :: clips.hop(per_second)]
        probabilities = np.full((*usable.shape, len(self.classes_)), np.nan, dtype=np.float32)
        if usable.any():
            seconds = SecondBatches(clips, np.arange(clips.n_clips), per_second=per_second)
            probabilities[usable] = self.keras_classifier_.predict_proba(seconds)
            seconds.release()
        return probabilities

    def predict_proba(self, X: Any) -> NDArray[np.float32]:
        """Give the class probabilities of clips: the mean over their seconds.

        ``clip_average`` says which mean, ``starts_per_second`` over which seconds.

        Parameters
        ----------
        X : array-like, or structured array with one field a modality
            The features of n_clips clips.

        Returns
        -------
        ndarray of shape (n_clips, n_classes), float32
            The probabilities in the order of ``classes_``.

        Raises
        ------
        MissingModalityError
            If a clip has no whole second to judge by.
        """
        seconds = self._judge(X, per_second=self.starts_per_second)
        judged: NDArray[np.bool_] = np.any(~np.isnan(seconds[..., 0]), axis=1)
        require_present(judged, self._modality)
        if self.clip_average == "arithmetic":
            return np.nanmean(seconds, axis=1)
        # A class that one second rules out stays possible, and logarithms finite.
        logarithms = np.log(np.maximum(seconds, np.finfo(np.float32).tiny))
        return softmax(np.nanmean(logarithms, axis=1), axis=1)

    def predict(self, X: Any) -> NDArray[Any]:
        """Give the most probable label of each clip.

        Parameters
        ----------
        X : array-like, or structured array with one field a modality
            The features of n_clips clips.

        Returns
        -------
        ndarray of shape (n_clips,)
            The labels.

        Raises
        ------
        MissingModalityError
            If a clip has no whole second to judge by.
        """
        probabilities = self.predict_proba(X)
        return self.classes_[np.argmax(probabilities, axis=1)]

    @property
    def history_(self) -> dict[str, list[float]]:
        """The loss and accuracy after each epoch, in training and validation."""
        check_is_fitted(self)
        return self.keras_classifier_.history_

    def _fit_set(self, training: TrainingSet, *, going_on: bool, epochs: int | None = None) -> Self:
        """Train the network by one step of the procedure, by default for ``self.epochs``."""
        from skavsc.classifiers._adapter import SceneKerasClassifier
        from skavsc.classifiers._training import compiled

        if not (going_on and self._has_network()):
            build = functools.partial(
                compiled,
                self._builder(training),
                learning_rate=self.learning_rate,
                label_smoothing=self.label_smoothing,
            )
            self.keras_classifier_ = SceneKerasClassifier(
                build, random_state=training.seed, verbose=0
            )
            self.classes_ = training.classes
            self._built_with = self._network_params()
        else:
            self._check_as_built(training.classes)
            rate = self.learning_rate
            if rate != self._built_with["learning_rate"]:
                self.keras_classifier_.model_.optimizer.learning_rate = rate
                self._built_with["learning_rate"] = rate
        self.keras_classifier_.train(
            training.train.clips,
            training.train.labels,
            classes=self.classes_,
            sample_weight=training.train.weights,
            epochs=epochs or self.epochs,
            procedure=self._procedure(training),
        )
        return self

    def _network_params(self) -> dict[str, Any]:
        names = (*self._built_in, "label_smoothing", "learning_rate")
        return {name: getattr(self, name) for name in names}

    def _check_as_built(self, classes: NDArray[Any]) -> None:
        """Raise if the network is not what labels and parameters ask for."""
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
                    f"{name}={value!r}, but the {self._modality} network, which is to go on, was "
                    f"built with {built!r}; set it back, or fit with warm_start=False to begin anew"
                )

    def _procedure(self, training: TrainingSet) -> Callable[..., dict[str, list[float]]]:
        """Give what the adapter calls to train the network that it has built."""
        from skavsc.classifiers._training import train_on_crops

        return functools.partial(train_on_crops, plan=self._plan(training), training=training)

    def _plan(self, training: TrainingSet) -> Plan:
        from skavsc.classifiers._training import Plan

        return Plan(
            label=self._modality,
            batch_size=self.batch_size,
            patience=self.patience,
            rate_patience=self.rate_patience,
            rate_schedule=self.rate_schedule,
            mixup_alpha=self.mixup_alpha,
            mixed=self._mixed,
            augmentations=(*self._augmentations(), *training.augmentations),
            seed=training.seed,
            verbose=self.verbose,
        )

    def _augmentations(self) -> tuple[Augmentation, ...]:
        """Give what crops go through in training, besides mixup."""
        return ()

    def _seed(self) -> int:
        # One seed a fit, which everything random in it follows from.
        return int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = True
        return tags

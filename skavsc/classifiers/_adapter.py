"""The one place that touches scikeras, and the cures for what it gets wrong.

scikeras 0.13 predates scikit-learn 1.6 and is no longer maintained. Each override below names
the defect that it cures; ``tests/classifiers/test_adapter.py`` holds a test for each.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import keras
import numpy as np
from scikeras.utils.random_state import (
    tensorflow_random_state,
    tf_disable_op_determinism,
    tf_enable_op_determinism,
)
from scikeras.wrappers import KerasClassifier
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import ClassifierTags, Tags

# Loaded so that a pickled network finds its layers in a fresh process.
import skavsc.classifiers._optimizer
import skavsc.networks._backbones
import skavsc.networks._layers  # noqa: F401
from skavsc._sklearn_compat import _num_samples
from skavsc.classifiers._data import one_hot

# scikeras seeds the global generators of Python, NumPy and TensorFlow for the time of a fit:
# fits in two threads would draw from each other's seeds.
_ONE_AT_A_TIME = threading.RLock()

# Its seeds come with deterministic kernels. It asks TensorFlow whether these were on only after
# it has set the environment variable that turns them on, is told that they were, and leaves them
# on: then every random operation of the user's without a seed fails. TensorFlow answers by what
# it found when it was first asked, which is here.
if not tf_enable_op_determinism():
    tf_disable_op_determinism()

Procedure = Callable[..., dict[str, list[float]]]


class OneHotLabels(TransformerMixin, BaseEstimator):
    """One-hot targets for labels of any type, with the columns in the order of ``classes``."""

    def __init__(self, classes: Any = None) -> None:
        self.classes = classes

    def fit(self, y: Any) -> OneHotLabels:
        """Learn the labels, unless they were given."""
        self.classes_ = np.unique(y if self.classes is None else self.classes)
        return self

    def transform(self, y: Any) -> np.ndarray:
        """Give targets of shape (n_clips, n_classes)."""
        return one_hot(np.asarray(y), self.classes_)

    def inverse_transform(self, y: Any, return_proba: bool = False) -> np.ndarray:
        """Give the labels of the largest probabilities, or the probabilities."""
        return y if return_proba else self.classes_[np.argmax(y, axis=1)]

    def get_metadata(self) -> dict[str, Any]:
        """Give what scikeras keeps on the classifier."""
        return {
            "classes_": self.classes_,
            "n_classes_": len(self.classes_),
            "n_outputs_": 1,
            "n_outputs_expected_": 1,
        }


class AsItIs(TransformerMixin, BaseEstimator):
    """Features handed on untouched; scikit-learn's FunctionTransformer counts their columns."""

    def fit(self, X: Any) -> AsItIs:
        """Learn nothing."""
        return self

    def transform(self, X: Any) -> Any:
        """Give X."""
        return X


class SceneKerasClassifier(KerasClassifier):
    """A scikeras classifier that works with today's scikit-learn and with clips.

    X is a float array of any number of axes, a structured array or a dict of arrays (one a
    modality), or any object that the training procedure understands. The parameters are those
    of scikeras.wrappers.KerasClassifier.
    """

    def __sklearn_tags__(self) -> Tags:
        # scikeras lists its bases in an order in which ClassifierMixin is never asked:
        # is_classifier() is False, and cross-validation does not stratify.
        tags = BaseEstimator.__sklearn_tags__(self)
        tags.estimator_type = "classifier"
        tags.classifier_tags = ClassifierTags()
        tags.target_tags.required = True
        tags.input_tags.three_d_array = True
        return tags

    @property
    def target_encoder(self) -> OneHotLabels:
        # scikeras's own encoder gives one column for two classes and refuses a y of another
        # integer or string width than the first.
        return OneHotLabels(getattr(self, "classes_", None))

    @property
    def feature_encoder(self) -> AsItIs:
        # The default one looks into X for columns, and fails on a dict.
        return AsItIs()

    def _type_of_target(self, y: Any) -> str:
        return "multiclass"

    def _validate_data(
        self, X: Any = None, y: Any = None, reset: bool = False, y_numeric: bool = False
    ) -> tuple[Any, Any]:
        # scikeras hands X to check_array, which refuses dicts, structured arrays and datasets,
        # and raises when float64 follows float32.
        if isinstance(X, np.ndarray) and X.dtype.names is not None:
            X = {name: X[name] for name in X.dtype.names}
        if isinstance(X, Mapping):
            X = {name: np.asarray(part, dtype=np.float32) for name, part in X.items()}
        elif isinstance(X, np.ndarray | list):
            X = np.asarray(X, dtype=np.float32)
        if isinstance(X, np.ndarray) and y is not None and len(X) != _num_samples(y):
            raise ValueError(f"X has {len(X)} clips and y has {_num_samples(y)} labels")
        return X, None if y is None else np.asarray(y)

    @staticmethod
    def _validate_sample_weight(X: Any, y: Any, sample_weight: Any) -> tuple[Any, Any, Any]:
        # scikeras drops rows of weight 0 by indexing X, which a dict or a dataset does not allow;
        # they train nothing where they are.
        weight = np.asarray(sample_weight, dtype=np.float32)
        if weight.shape != (_num_samples(y),):
            raise ValueError(f"sample_weight has shape {weight.shape}, y {_num_samples(y)} labels")
        if not weight.any():
            raise ValueError("sample_weight is zero for every clip; there is nothing to train on")
        return X, y, weight

    def fit(self, X: Any, y: Any, sample_weight: Any = None, **kwargs: Any) -> Any:
        """Build and train the network; one fit at a time in a process."""
        with _ONE_AT_A_TIME:
            return super().fit(X, y, sample_weight=_own_weight(sample_weight), **kwargs)

    def partial_fit(
        self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None, **kwargs: Any
    ) -> Any:
        """Train for one more epoch."""
        with _ONE_AT_A_TIME:
            return super().partial_fit(
                X, y, classes=classes, sample_weight=_own_weight(sample_weight), **kwargs
            )

    def train(
        self,
        X: Any,
        y: Any,
        *,
        classes: Any,
        sample_weight: Any,
        epochs: int,
        procedure: Procedure,
    ) -> None:
        """Train by a procedure of ours: a new network, or on from where the last call ended.

        Parameters
        ----------
        X, y : objects
            Handed to the procedure, y as one-hot targets.
        classes : ndarray
            The labels, in the order of the targets.
        sample_weight : ndarray or None
            Handed to the procedure.
        epochs : int
            How many epochs to train.
        procedure : callable
            ``procedure(network, X, targets, sample_weight, epochs=, initial_epoch=)`` trains
            the network and gives its history. It runs under scikeras's seeds.
        """
        with _ONE_AT_A_TIME:
            self.classes_ = classes
            self._fit(
                X,
                y,
                sample_weight=_own_weight(sample_weight),
                warm_start=True,
                epochs=epochs,
                initial_epoch=self.current_epoch,
                procedure=procedure,
            )

    def predict_proba(self, X: Any, **kwargs: Any) -> np.ndarray:
        """Give the class probabilities, shape (n_samples, n_classes)."""
        with _ONE_AT_A_TIME, _without_retracing_warning():
            return super().predict_proba(X, **kwargs)

    def _fit_keras_model(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        warm_start: bool,
        epochs: int,
        initial_epoch: int,
        *,
        procedure: Procedure | None = None,
        **kwargs: Any,
    ) -> None:
        """Train by a procedure of ours, where one is given, under scikeras's seeds."""
        if procedure is None:
            with _torch_seeded(self._random_state):
                super()._fit_keras_model(
                    X, y, sample_weight, warm_start, epochs, initial_epoch, **kwargs
                )
            return
        seeded = (
            nullcontext()
            if self._random_state is None
            else tensorflow_random_state(self._random_state)
        )
        with seeded, _torch_seeded(self._random_state), _without_retracing_warning():
            history = procedure(
                self.model_, X, y, sample_weight, epochs=epochs, initial_epoch=initial_epoch
            )
        known = getattr(self, "history_", {})
        longer = {name: [*known.get(name, []), *values] for name, values in history.items()}
        self.history_ = {**known, **longer}


@contextmanager
def _torch_seeded(seed: int | None) -> Iterator[None]:
    # Where the backend is torch, Keras shuffles and drops out by torch's own generator, which
    # scikeras does not seed.
    if seed is None or keras.backend.backend() != "torch":
        yield
        return
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


@contextmanager
def _without_retracing_warning() -> Iterator[None]:
    # Each fitted network traces its prediction once; TensorFlow, which counts by the place in
    # the code, takes the fifth network of a cross-validation for a loop that retraces one.
    logger = logging.getLogger("tensorflow")

    def is_other(record: logging.LogRecord) -> bool:
        return "tf.function retracing" not in record.getMessage()

    logger.addFilter(is_other)
    try:
        yield
    finally:
        logger.removeFilter(is_other)


def _own_weight(sample_weight: Any) -> np.ndarray | None:
    # With class_weight, scikeras multiplies the caller's array in place, and fails on integers.
    return None if sample_weight is None else np.array(sample_weight, dtype=np.float32)

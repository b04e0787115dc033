"""The only module that imports scikeras, with corrections of its errors.

scikeras 0.13 predates scikit-learn 1.6 and is no longer maintained. Each override below names
the defect that it cures; ``tests/training/test_keras_classifier.py`` holds a test for each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from scikeras.utils.random_state import (
    tensorflow_random_state,
    tf_disable_op_determinism,
    tf_enable_op_determinism,
)
from scikeras.wrappers import KerasClassifier
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import ClassifierTags, Tags

from skavsc._sklearn_compat import DocLinkMixin
from skavsc.training._backend import (
    ONE_AT_A_TIME,
    check_process,
    default_settings,
    without_retracing_warning,
)
from skavsc.training._fine_tuning import FineTuning, fine_tune
from skavsc.training._network_state import network_from_state, network_state
from skavsc.training._prediction import predict_segments
from skavsc.training._segments import ClipFeatures, TrainingSet
from skavsc.training._trainer import TrainingOptions, joined_history, train_network

# scikeras's seeds come with deterministic kernels. It asks TensorFlow whether these were on only
# after it has set the environment variable that turns them on, is told that they were, and leaves
# them on: then every random operation of the user's without a seed fails. TensorFlow answers by
# what it found when it was first asked, which is here.
if not tf_enable_op_determinism():
    tf_disable_op_determinism()


class OneHotLabels(TransformerMixin, BaseEstimator):
    """One-hot targets for labels of any type.

    scikeras's own encoder gives one column for two classes and refuses a y of another integer or
    string width than the first.
    """

    def fit(self, y: Any) -> OneHotLabels:
        """Learn the labels."""
        self.classes_ = np.unique(y)
        return self

    def transform(self, y: Any) -> NDArray[np.float32]:
        """Return targets of shape (n_clips, n_classes)."""
        return (np.asarray(y)[:, None] == self.classes_).astype(np.float32)

    def inverse_transform(self, y: Any, return_proba: bool = False) -> NDArray[Any]:
        """Return the labels of the largest probabilities, or the probabilities."""
        return y if return_proba else self.classes_[np.argmax(y, axis=1)]

    def get_metadata(self) -> dict[str, Any]:
        """Return what scikeras keeps on the classifier."""
        return {
            "classes_": self.classes_,
            "n_classes_": len(self.classes_),
            "n_outputs_": 1,
            "n_outputs_expected_": 1,
        }


class SegmentKerasClassifier(DocLinkMixin, KerasClassifier):
    """A scikeras classifier around a network that is trained on segments of clips.

    The parameters are those of scikeras.wrappers.KerasClassifier.

    Examples
    --------
    >>> import keras, numpy as np
    >>> from skavsc.training import SegmentKerasClassifier, compile_for_training
    >>> def build():
    ...     network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, "softmax")])
    ...     compile_for_training(network, 1e-3, keras.losses.CategoricalCrossentropy())
    ...     return network
    >>> classifier = SegmentKerasClassifier.build(build, np.array(["park", "tram"]), seed=0)
    >>> classifier.model_.output_shape
    (None, 2)
    """

    @classmethod
    def build(
        cls, build: Callable[[], keras.Model], classes: NDArray[Any], seed: int
    ) -> SegmentKerasClassifier:
        """Build a network under a seed and wrap it, compiled and untrained.

        Parameters
        ----------
        build : callable
            Builds and compiles the network.
        classes : ndarray of shape (n_classes,)
            The labels.
        seed : int
            The seed of the weights, and of all trainings.

        Returns
        -------
        SegmentKerasClassifier
            The classifier, ready to be trained.
        """
        check_process()
        with default_settings(), _seeded(seed):
            network = build()
        return cls(network, random_state=seed, verbose=0).initialize(None, classes)

    def train(
        self,
        training_set: TrainingSet,
        options: TrainingOptions,
        fine_tuning: FineTuning | None = None,
    ) -> None:
        """Train the network, continuing where the last call ended.

        Parameters
        ----------
        training_set : TrainingSet
            The clips.
        options : TrainingOptions
            How it is trained.
        fine_tuning : FineTuning or None, default=None
            The last stage, in which the network is trained as a whole.
        """
        check_process()
        with default_settings(), _seeded(self._random_state), without_retracing_warning():
            epoch = self.current_epoch
            history = train_network(self.model_, training_set, options, initial_epoch=epoch)
            if fine_tuning is not None:
                epoch += len(history["loss"])
                more = fine_tune(
                    self.model_, training_set, options, fine_tuning, initial_epoch=epoch
                )
                history = joined_history(history, more)
        self.history_ = joined_history(getattr(self, "history_", {}), history)

    def predict_segments(
        self, features: ClipFeatures, starts_per_second: int = 1
    ) -> NDArray[np.float32]:
        """Predict the class probabilities of every segment of clips.

        Parameters
        ----------
        features : ClipFeatures
            The clips.
        starts_per_second : int, default=1
            Number of segments that begin in each second.

        Returns
        -------
        ndarray of shape (n_clips, n_starts, n_classes), float32
            NaN for segments that are not usable.
        """
        return predict_segments(self.model_, features, starts_per_second)

    def __sklearn_tags__(self) -> Tags:
        # scikeras lists its bases in an order in which ClassifierMixin is never asked:
        # is_classifier() is False.
        tags = BaseEstimator.__sklearn_tags__(self)
        tags.estimator_type = "classifier"
        tags.classifier_tags = ClassifierTags()
        tags.target_tags.required = True
        tags.input_tags.three_d_array = True
        return tags

    @property
    def target_encoder(self) -> OneHotLabels:
        return OneHotLabels()

    def _type_of_target(self, y: Any) -> str:
        return "multiclass"

    def _validate_data(
        self, X: Any = None, y: Any = None, reset: bool = False, y_numeric: bool = False
    ) -> tuple[Any, Any]:
        # scikeras hands X to check_array, which refuses tuples of arrays.
        return X, y

    def __reduce__(self) -> tuple[Any, ...]:
        # Called before its network is loaded, which in a fork would not return.
        return _unpickled, (type(self),), super().__getstate__()

    def __getstate__(self) -> dict[str, Any]:
        # For model files, which know JSON and arrays; pickle takes what __reduce__ returns.
        state = dict(super().__getstate__())
        model = state.pop("model")
        network = state.pop("model_", model)
        for callbacks in ("_fit_callbacks", "_predict_callbacks"):
            state.pop(callbacks, None)
        return {**state, "network": network_state(network)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "network" in state:
            check_process()
            state = dict(state)
            network = network_from_state(state.pop("network"))
            state |= {"model": network, "model_": network}
            state |= {"_fit_callbacks": [], "_predict_callbacks": []}
        super().__setstate__(state)


def _unpickled(cls: type[SegmentKerasClassifier]) -> SegmentKerasClassifier:
    check_process()
    return cls.__new__(cls)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the global generators of Python, NumPy and the backend for a while."""
    with ONE_AT_A_TIME, tensorflow_random_state(seed), _torch_seeded(seed):
        yield


@contextmanager
def _torch_seeded(seed: int) -> Iterator[None]:
    # Where the backend is torch, Keras shuffles and drops out by torch's own generator, which
    # scikeras does not seed.
    if keras.backend.backend() != "torch":
        yield
        return
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield

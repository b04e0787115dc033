"""scikit-learn's own checks of estimators, twice.

The classifiers take clips, arrays of three or four axes, and say so in their tags; scikit-learn
then runs of its checks only the one that needs no data. So that the others hold too, each
classifier of one modality has a twin here that turns every row of the checks' tables into a clip
and trains a network of one layer. All else of fit, partial_fit and prediction is its own.
"""

import keras
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import validate_data

from skavsc.classifiers import (
    AudioSceneClassifier,
    EmbeddingSceneClassifier,
    SECRNNClassifier,
    VisualSceneClassifier,
)

# Of the checks that train on one class.
pytestmark = [
    pytest.mark.filterwarnings("ignore:You are using a softmax over axis -1:UserWarning"),
    pytest.mark.filterwarnings("ignore:In loss categorical_crossentropy:SyntaxWarning"),
]


@parametrize_with_checks(
    [
        AudioSceneClassifier(),
        VisualSceneClassifier(),
        SECRNNClassifier(),
        EmbeddingSceneClassifier(),
        EmbeddingSceneClassifier("transformer", modality=None),
    ]
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_checks_without_data(estimator, check):
    check(estimator)


def one_layer(n_classes, *, input_shape):
    inputs = keras.Input(input_shape)
    outputs = keras.layers.Dense(n_classes, activation="softmax")(keras.layers.Flatten()(inputs))
    return keras.Model(inputs, outputs)


class TableTwin:
    """Rows of a table as clips of one second; one layer, as the checks train some 200 networks."""

    def _features(self, X, *, reset):
        X = validate_data(self, X, reset=reset, dtype="float32")
        return super()._features(self._as_clips(X), reset=reset)

    def _build_network(self, training_set):
        (part,) = training_set.train.features.modalities.values()
        return one_layer(len(training_set.classes), input_shape=part.segment_shape)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        tags.input_tags.three_d_array = False
        tags.input_tags.allow_nan = False
        return tags


class AudioTwin(TableTwin, AudioSceneClassifier):
    """Each column is a band with the same level in all four frames of its one channel."""

    def _as_clips(self, X):
        return np.repeat(X[:, :, None, None], 4, axis=2)


class VisualTwin(TableTwin, VisualSceneClassifier):
    """Each column is a feature of the one frame."""

    def _as_clips(self, X):
        return X[:, None, :]


WEIGHTS = (
    "a clip of weight 2 is drawn once an epoch with twice the loss, two equal clips are drawn as "
    "two random crops in two places of the batches: the same in expectation only"
)

EXPECTED_FAILURES = {
    "check_sample_weight_equivalence_on_dense_data": WEIGHTS,
}
if keras.backend.backend() != "tensorflow":
    # TensorFlow goes back to the scores before the softmax; the other backends clip
    # probabilities at 1e-7, and the twin, which sees two different clips only, is stuck there.
    EXPECTED_FAILURES["check_class_weight_classifiers"] = "a saturated softmax has no gradient"

# The checks that ask for good predictions; the others train as well a network that knows little.
TRAINED = {
    "check_class_weight_classifiers",
    "check_classifiers_classes",
    "check_classifiers_train",
}

SMALL = {
    "epochs": 1,
    "learning_rate": 0.3,
    "batch_size": 256,
    "augmentation": [],
    "validation_fraction": 0,
    "random_state": 0,
}


def expected_failures(estimator):
    return EXPECTED_FAILURES


@pytest.fixture
def check_trained(eager):
    """A function that runs a check on an estimator, trained for as long as the check needs."""

    def run(estimator, check):
        long = check.func.__name__ in TRAINED
        if long:
            # The next check gets the same estimator.
            estimator = clone(estimator).set_params(epochs=30, batch_size=64)
        with eager(not long):
            check(estimator)

    return run


@parametrize_with_checks(
    [VisualTwin(segment_frames=1, **SMALL)], expected_failed_checks=expected_failures
)
def test_checks_on_rows_as_clips(estimator, check, check_trained):
    check_trained(estimator, check)


@pytest.mark.slow
@parametrize_with_checks(
    [
        AudioTwin(segment_frames=4, **SMALL),
        VisualTwin(segment_frames=1, runtime="onnxruntime", **SMALL),
    ],
    expected_failed_checks=expected_failures,
)
def test_checks_on_rows_as_clips_of_sound_and_by_onnxruntime(estimator, check, check_trained):
    check_trained(estimator, check)


@pytest.mark.usefixtures("eagerly")
def test_weights_count_as_repetitions_in_expectation(features, small_visual):
    """The twin of the check of sample weights: the losses of the first epoch agree."""
    X, y, _ = features
    still = X.copy()
    still["visual"][:] = still["visual"][:, :1]
    options = {"validation_fraction": 0, "epochs": 1, "dropout": 0, "l2": 0, "batch_size": 200}
    weight = np.arange(36) // 3 % 3
    weighted = small_visual(**options).fit(still, y, weight)
    repeated = small_visual(**options).fit(np.repeat(still, weight), np.repeat(y, weight))
    np.testing.assert_allclose(
        weighted.history_["loss"][0] * (weight > 0).sum() / weight.sum(),
        repeated.history_["loss"][0],
        rtol=1e-4,
    )


@pytest.mark.parametrize("name", ["audio", "visual", "both"])
def test_order_and_company_of_clips_do_not_matter_beyond_rounding(fitted, new_clips, name):
    """The twin of the checks of sample order and subsets."""
    X = new_clips[0]
    whole = fitted[name].predict_proba(X)
    np.testing.assert_allclose(fitted[name].predict_proba(X[::-1])[::-1], whole, atol=1e-6)
    np.testing.assert_allclose(fitted[name].predict_proba(X[3:5]), whole[3:5], atol=1e-6)

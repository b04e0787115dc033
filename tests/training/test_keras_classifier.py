"""One contract test for each defect of scikeras that its subclass cures."""

import pickle

import keras
import numpy as np
import pytest
from sklearn.base import is_classifier

from skavsc.training import SegmentKerasClassifier
from skavsc.training._segments import ClipFeatures, LabelledClips, ModalityFeatures, TrainingSet
from skavsc.training._trainer import TrainingOptions, compile_for_training

OPTIONS = TrainingOptions(
    label="small",
    epochs=2,
    batch_size=6,
    patience=9,
    rate_patience=9,
    rate_schedule="halving",
    augmentation=(),
    clean_statistics=False,
    verbose=0,
)


def small_network():
    inputs = keras.Input((5, 3))
    x = keras.layers.Dropout(0.5)(keras.layers.Flatten()(inputs))
    network = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))
    compile_for_training(network, 0.01, keras.losses.CategoricalCrossentropy())
    return network


@pytest.fixture(scope="module")
def training_set():
    data = np.random.default_rng(0).normal(size=(12, 10, 3))
    features = ClipFeatures({"visual": ModalityFeatures(data, 5)})
    labels = np.array(["park", "tram"] * 6)
    train = LabelledClips(features, labels, None, np.arange(12))
    return TrainingSet(train, None, np.unique(labels), 0)


def trained(training_set, seed=0):
    classifier = SegmentKerasClassifier.build(small_network, training_set.classes, seed)
    classifier.train(training_set, OPTIONS)
    return classifier


@pytest.fixture(scope="module")
def classifier(training_set):
    return trained(training_set)


def test_is_a_classifier_of_the_users_labels(classifier, training_set):
    assert is_classifier(classifier)
    segments = training_set.train.features.crops(np.arange(12), np.zeros(12, dtype=int))["visual"]
    probabilities = classifier.predict_proba(segments)
    assert probabilities.shape == (12, 2)
    expected = np.array(["park", "tram"])[probabilities.argmax(axis=1)]
    np.testing.assert_array_equal(classifier.predict(segments), expected)


def test_the_seed_decides_and_leaves_the_callers_generators_alone(classifier, training_set):
    np.random.seed(5)  # noqa: NPY002
    expected = np.random.rand()  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    again = trained(training_set)
    assert np.random.rand() == expected  # noqa: NPY002
    features = training_set.train.features
    np.testing.assert_array_equal(
        again.predict_segments(features), classifier.predict_segments(features)
    )
    other = trained(training_set, seed=1)
    assert not np.allclose(other.predict_segments(features), classifier.predict_segments(features))


def test_histories_follow_on_each_other(training_set):
    classifier = trained(training_set)
    classifier.train(training_set, OPTIONS)
    assert {len(values) for values in classifier.history_.values()} == {4}


def test_seeds_end_with_the_training_in_a_fresh_process(run_fresh):
    code = (
        "import keras, numpy as np\n"
        "from skavsc.training import SegmentKerasClassifier\n"
        "def build():\n"
        "    network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])\n"
        "    network.compile('sgd', 'mse')\n"
        "    return network\n"
        "SegmentKerasClassifier.build(build, np.arange(2), 0)\n"
        # Shuffles by an operation of the backend, without a seed.
        "build().fit(np.ones((4, 4)), np.ones((4, 2)), verbose=0)\n"
    )
    run_fresh(code)


def test_pickle_loads_in_a_fresh_process(classifier, training_set, tmp_path, run_fresh):
    X = training_set.train.features.modalities["visual"].data[:, :5].astype("float32")
    (tmp_path / "model.pickle").write_bytes(pickle.dumps(classifier))
    np.save(tmp_path / "X.npy", X)
    code = (
        "import pickle, numpy\n"
        f"model = pickle.load(open(r'{tmp_path / 'model.pickle'}', 'rb'))\n"
        f"X = numpy.load(r'{tmp_path / 'X.npy'}')\n"
        f"numpy.save(r'{tmp_path / 'p.npy'}', model.predict_proba(X))\n"
    )
    run_fresh(code)
    np.testing.assert_allclose(np.load(tmp_path / "p.npy"), classifier.predict_proba(X), rtol=1e-6)

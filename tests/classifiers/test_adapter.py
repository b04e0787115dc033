"""One contract test for each defect of scikeras that the adapter cures."""

import pickle
import subprocess
import sys
import threading

import keras
import numpy as np
import pytest
import sklearn
from sklearn.base import clone, is_classifier
from sklearn.ensemble import StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import check_cv

from skavsc.classifiers._adapter import SceneKerasClassifier


def small_network(n_classes=2, n_features=4):
    network = keras.Sequential(
        [
            keras.Input((n_features,)),
            keras.layers.Dense(8, activation="tanh"),
            keras.layers.Dense(n_classes, activation="softmax"),
        ]
    )
    network.compile(keras.optimizers.Adam(0.05), "categorical_crossentropy")
    return network


def two_branch_network():
    sound = keras.Input((4,), name="audio")
    picture = keras.Input((2, 3), name="visual")
    joined = keras.layers.Concatenate()([sound, keras.layers.Flatten()(picture)])
    network = keras.Model(
        {"audio": sound, "visual": picture}, keras.layers.Dense(2, activation="softmax")(joined)
    )
    network.compile(keras.optimizers.Adam(0.05), "categorical_crossentropy")
    return network


def classifier(**options):
    return SceneKerasClassifier(
        small_network, **{"epochs": 5, "random_state": 0, "verbose": 0, **options}
    )


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4)).astype("float32")
    y = np.where(X[:, 0] + X[:, 1] > 0, "tram", "park")
    return X, y


def test_scikit_learn_is_new_enough():
    assert tuple(map(int, sklearn.__version__.split(".")[:2])) >= (1, 7)


def test_is_a_classifier_so_that_folds_are_stratified(data):
    assert is_classifier(classifier())
    _, y = data
    fold = check_cv(3, y, classifier=is_classifier(classifier()))
    assert type(fold).__name__ == "StratifiedKFold"


def test_labels_are_the_users(data):
    X, y = data
    fitted = classifier(epochs=30).fit(X, y)
    assert fitted.classes_.tolist() == ["park", "tram"]
    assert fitted.predict_proba(X).shape == (60, 2)
    assert (fitted.predict(X) == y).mean() > 0.9


@pytest.mark.parametrize(
    "convert", [np.asarray, lambda y: y == "tram", lambda y: (y == "tram") + 7]
)
def test_labels_of_any_type(data, convert):
    X, y = data
    labels = convert(y)
    fitted = classifier().fit(X, labels)
    np.testing.assert_array_equal(fitted.classes_, np.unique(labels))
    assert fitted.predict(X).dtype == labels.dtype


def test_wider_types_after_narrower(data):
    X, y = data
    codes = (y == "tram").astype("int32")
    fitted = classifier(warm_start=True).fit(X, codes)
    fitted.fit(X.astype("float64"), codes.astype("int64"))
    np.testing.assert_allclose(
        fitted.predict_proba(X.astype("float64")), fitted.predict_proba(X), rtol=1e-6
    )


def test_sample_weight_is_not_changed(data):
    X, y = data
    weight = np.ones(60)
    classifier(class_weight={"tram": 5.0, "park": 1.0}).fit(X, y, sample_weight=weight)
    np.testing.assert_array_equal(weight, 1)


def test_integer_weights_are_taken(data):
    X, y = data
    weight = np.arange(1, 61)
    first = classifier(class_weight="balanced").fit(X, y, sample_weight=weight)
    second = classifier(class_weight="balanced").fit(X, y, sample_weight=weight.astype("float64"))
    np.testing.assert_array_equal(first.predict_proba(X), second.predict_proba(X))


def test_structured_and_dict_input(data):
    X, y = data
    both = np.zeros(60, dtype=[("audio", "f8", (4,)), ("visual", "f4", (2, 3))])
    both["audio"] = X
    fitted = SceneKerasClassifier(two_branch_network, epochs=2, random_state=0, verbose=0)
    fitted.fit(both, y)
    as_dict = {"audio": both["audio"], "visual": both["visual"]}
    np.testing.assert_array_equal(fitted.predict_proba(both), fitted.predict_proba(as_dict))


def test_clone_keeps_parameters_and_routes_others(data):
    original = classifier(optimizer__learning_rate=0.1)
    copy = clone(original)
    assert copy.get_params()["optimizer__learning_rate"] == 0.1
    assert copy is not original


def test_threads_do_not_share_seeds(data):
    X, y = data
    alone = classifier().fit(X, y).predict_proba(X)
    results = [None] * 2

    def work(index):
        results[index] = classifier().fit(X, y).predict_proba(X)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        np.testing.assert_array_equal(result, alone)


def test_stacking_in_threads_honours_the_random_state(data):
    import joblib

    X, y = data

    def stack(n_jobs):
        model = StackingClassifier(
            [("a", classifier()), ("b", classifier(random_state=1))],
            LogisticRegression(),
            cv=2,
            n_jobs=n_jobs,
        )
        with joblib.parallel_config("threading"):
            return model.fit(X, y).predict_proba(X)

    np.testing.assert_allclose(stack(2), stack(None), rtol=1e-6)


def test_seeds_leave_the_callers_generators_alone(data):
    X, y = data
    np.random.seed(5)  # noqa: NPY002
    expected = np.random.rand()  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    classifier().fit(X, y)
    assert np.random.rand() == expected  # noqa: NPY002


def test_seeds_end_with_the_fit_in_a_fresh_process():
    code = (
        "import keras, numpy as np\n"
        "from skavsc.classifiers._adapter import SceneKerasClassifier\n"
        "def build():\n"
        "    network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])\n"
        "    network.compile('sgd', 'mse')\n"
        "    return network\n"
        "X, y = np.ones((4, 4)), np.array([0, 1, 0, 1])\n"
        "SceneKerasClassifier(build, random_state=0, verbose=0).fit(X, y)\n"
        # Shuffles by an operation of the backend, without a seed.
        "build().fit(X, np.ones((4, 2)), verbose=0)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_pickle_loads_in_a_fresh_process(data, tmp_path):
    X, y = data
    fitted = classifier().fit(X, y)
    (tmp_path / "model.pickle").write_bytes(pickle.dumps(fitted.model_))
    np.save(tmp_path / "X.npy", X)
    code = (
        "import pickle, numpy, skavsc.classifiers._adapter\n"
        f"model = pickle.load(open(r'{tmp_path / 'model.pickle'}', 'rb'))\n"
        f"X = numpy.load(r'{tmp_path / 'X.npy'}')\n"
        f"numpy.save(r'{tmp_path / 'p.npy'}', model.predict(X, verbose=0))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    np.testing.assert_allclose(np.load(tmp_path / "p.npy"), fitted.predict_proba(X), rtol=1e-6)


@pytest.mark.parametrize(
    ("weight", "message"),
    [(np.zeros(60), "zero for every clip"), (np.ones(59), "shape")],
)
def test_weights_that_train_nothing(data, weight, message):
    X, y = data
    with pytest.raises(ValueError, match=message):
        classifier().fit(X, y, sample_weight=weight)


def test_lengths_must_agree(data):
    X, y = data
    with pytest.raises(ValueError, match="60 clips and y has 59"):
        classifier().fit(X, y[:-1])

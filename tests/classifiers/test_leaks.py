"""Nothing of a fit stays in memory but what the classifier holds."""

import gc
import weakref
from collections import Counter

import numpy as np


def live(*names):
    """Count the objects of these types, and of what derives from them."""
    gc.collect()
    kinds = Counter(map(type, gc.get_objects()))
    bases = {kind: {base.__name__ for base in kind.__mro__} for kind in kinds}
    return [sum(n for kind, n in kinds.items() if name in bases[kind]) for name in names]


class Features(np.ndarray):
    """An array that can be referred to weakly."""


def test_graphs_and_features_go_with_the_classifier(features, small_visual, light_visual):
    X, y, _ = features
    options = {"epochs": 1, "validation_fraction": 0.3}
    # The first fit of any network leaves what later ones use.
    light_visual(**options).fit(X, y).predict(X)
    # TensorFlow's graphs; on other backends there are none.
    before = live("FuncGraph", "Model")
    given = X["visual"].view(Features).copy()
    classifier = small_visual(**options).fit(given, y)
    classifier.predict(given)
    seen, network = weakref.ref(given), weakref.ref(classifier.keras_classifier_.model_)
    del given
    gc.collect()
    assert seen() is None
    del classifier
    assert live("FuncGraph", "Model") == before
    assert network() is None


def test_a_network_of_the_user_survives_other_fits(features, light_visual, eager):
    import keras

    X, y, _ = features
    theirs = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, activation="softmax")])
    theirs.compile("adam", "categorical_crossentropy")
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(8, 4)).astype("float32")
    targets = np.eye(2, dtype="float32")[np.arange(8) % 2]
    theirs.fit(inputs, targets, verbose=0)
    expected = theirs.predict(inputs, verbose=0)
    with eager():
        light_visual(epochs=1).fit(X, y).predict(X)
    np.testing.assert_array_equal(theirs.predict(inputs, verbose=0), expected)
    theirs.fit(inputs, targets, verbose=0)
    assert not np.array_equal(theirs.predict(inputs, verbose=0), expected)

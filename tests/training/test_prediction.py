"""Probabilities of segments: in their places, without more work than needed or anything left."""

import gc
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest

from skavsc.training._prediction import predict_segments
from skavsc.training._segments import ClipFeatures, ModalityFeatures


def clips(n_clips, n_frames=20, segment_frames=5):
    data = np.arange(float(n_clips * n_frames)).reshape(n_clips, n_frames, 1)
    return data, lambda: ClipFeatures({"visual": ModalityFeatures(data, segment_frames)})


class FirstValue:
    """In place of a network: its score is the first value of a segment; notes batch sizes."""

    output_shape = (None, 1)

    def __init__(self):
        self.sizes = []

    def predict_on_batch(self, inputs):
        self.sizes.append(len(inputs))
        return inputs[:, 0, :1]


@pytest.mark.parametrize("n_clips", [1, 3, 40])
def test_each_segment_gets_its_own_probabilities(n_clips):
    data, features = clips(n_clips)
    data[0, 7] = np.nan
    network = FirstValue()
    found = predict_segments(network, features())[..., 0]
    expected = data[:, ::5, 0].astype("float32")
    expected[0, 1] = np.nan
    np.testing.assert_array_equal(found, expected)
    if keras.backend.backend() == "jax":
        assert set(network.sizes) <= {1, 2, 4, 8, 16, 32, 64}
        assert sum(network.sizes) < 2 * n_clips * 4
    else:
        assert sum(network.sizes) == n_clips * 4 - 1


def test_overlapping_segments():
    data, features = clips(2)
    found = predict_segments(FirstValue(), features(), starts_per_second=5)[..., 0]
    np.testing.assert_array_equal(found, data[:, :16, 0])


@pytest.fixture(scope="module")
def network():
    inputs = keras.Input((5, 1))
    scores = keras.layers.Dense(3, activation="softmax")(keras.layers.Flatten()(inputs))
    return keras.Model(inputs, scores)


def test_nothing_is_left_of_a_prediction(network):
    features = clips(1)[1]()
    predict_segments(network, features)
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(50):
        predict_segments(network, features)
    gc.collect()
    assert len(gc.get_objects()) - before < 50


def test_threads_predict_at_once(network):
    features = [clips(n)[1]() for n in (1, 2, 3, 5, 8, 13)] * 4
    expected = [predict_segments(network, each) for each in features]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda each: predict_segments(network, each), features))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)

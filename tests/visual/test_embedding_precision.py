"""Embeddings in bfloat16: how far they are from those in float32, and what is never mixed up."""

import keras
import numpy as np
import pytest
from sklearn.base import clone

from skavsc.exceptions import ModelError
from skavsc.pretrained import _precision
from skavsc.visual import ImageEmbedder

pytestmark = pytest.mark.filterwarnings("ignore::skavsc.exceptions.UntrainedWeightsWarning")


@pytest.fixture(scope="module")
def X():
    return np.random.default_rng(0).integers(0, 256, (2, 3, 64, 64, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def exact(X):
    return ImageEmbedder("squeezenet11").fit_transform(X)


@pytest.fixture
def units(request, monkeypatch):
    """Take the processor for one with or without units for bfloat16."""
    monkeypatch.setattr(_precision, "has_bfloat16_units", lambda: request.param)


def test_features_are_close_and_float32(X, exact):
    embedder = ImageEmbedder("squeezenet11", precision="bfloat16").fit(X)
    features = embedder.transform(X)
    assert embedder.precision_ == "bfloat16"
    assert features.dtype == np.float32
    # Three significant digits in each layer: not the same, and not far.
    assert 1e-4 < np.abs(features - exact).max() / np.abs(exact).max() < 2e-2
    a, b = features.reshape(6, -1), exact.reshape(6, -1)
    cosines = (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert cosines.min() > 0.9999


def test_a_model_of_ones_own_stays_as_it_is(X):
    model = keras.Sequential(
        [
            keras.Input((None, None, 3)),
            keras.layers.Rescaling(1 / 127.5, offset=-1),
            keras.layers.Conv2D(8, 3, strides=2, activation="relu"),
            keras.layers.Conv2D(8, 3, strides=2),
            keras.layers.GlobalMaxPooling2D(),
        ]
    )
    exact = ImageEmbedder(model).fit_transform(X)
    lower = ImageEmbedder(model, precision="bfloat16").fit_transform(X)
    assert 0 < np.abs(lower - exact).max() / np.abs(exact).max() < 2e-2
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}
    np.testing.assert_array_equal(ImageEmbedder(model).fit_transform(X), exact)


def test_the_cache_keeps_precisions_apart(X, exact, tmp_path):
    embedder = ImageEmbedder("squeezenet11", memory=tmp_path)
    lower = clone(embedder).set_params(precision="bfloat16")
    first = lower.fit_transform(X)
    np.testing.assert_array_equal(embedder.fit_transform(X), exact)
    np.testing.assert_array_equal(lower.transform(X), first)
    assert not np.array_equal(first, exact)


@pytest.mark.parametrize(
    ("units", "expected"), [(False, "float32"), (True, "bfloat16")], indirect=["units"]
)
def test_auto_follows_the_processor(X, exact, units, expected):
    embedder = ImageEmbedder("squeezenet11", precision="auto").fit(X)
    assert embedder.precision_ == expected
    assert np.array_equal(embedder.transform(X), exact) == (expected == "float32")


@pytest.mark.parametrize("units", [False], indirect=True)
def test_auto_without_units_never_times_bfloat16(X, units):
    embedder = ImageEmbedder("squeezenet11", precision="auto", runtime="auto").fit(X)
    assert embedder.precision_ == "float32"


def test_auto_takes_what_the_runtime_can_do(X, exact):
    pytest.importorskip("onnxruntime")
    embedder = ImageEmbedder("squeezenet11", precision="auto", runtime="onnxruntime").fit(X)
    assert (embedder.runtime_, embedder.precision_) == ("onnxruntime", "float32")
    np.testing.assert_allclose(embedder.transform(X), exact, rtol=1e-4, atol=1e-4)


def test_any_runtime_of_a_given_precision(X):
    embedder = ImageEmbedder("squeezenet11", precision="bfloat16", runtime="auto").fit(X)
    assert (embedder.runtime_, embedder.precision_) == ("keras", "bfloat16")


def test_runtime_without_bfloat16_is_refused(X):
    pytest.importorskip("onnxruntime")
    embedder = ImageEmbedder("squeezenet11", precision="bfloat16", runtime="onnxruntime")
    with pytest.raises(ModelError, match=r"precision='bfloat16', but runtime='onnxruntime'"):
        embedder.fit(X)


class Multiplied(keras.layers.Layer):
    """A layer that does not say how it is made again."""

    def __init__(self, factor, **options):
        super().__init__(**options)
        self.factor = factor

    def get_config(self):
        return super().get_config()

    def call(self, images):
        return images * self.factor


def test_network_that_cannot_be_copied_is_named(X):
    images = keras.Input((None, None, 3))
    model = keras.Model(images, Multiplied(2.0)(images), name="doubled")
    np.testing.assert_allclose(
        ImageEmbedder(model).fit_transform(X), 2 * X.mean(axis=(2, 3)), rtol=1e-5
    )
    with pytest.raises(ModelError, match=r"needs a copy of doubled, which cannot be copied"):
        ImageEmbedder(model, precision="bfloat16").fit(X)

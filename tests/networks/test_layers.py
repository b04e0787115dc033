"""Block scaling and the squeeze-excitation block, against their definitions."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from keras.ops import convert_to_numpy

from skavsc.networks import (
    BlockScaling,
    ELUInFloat32,
    FusedBatchNormalization,
    Recalibration,
    audio_network,
)
from skavsc.networks._layers import standard_post_block

# Hundredths of a decibel: the backends take a difference below 1e-38 for none.
decibels = st.integers(-12_000, 2_000).map(lambda value: np.float32(value / 100))
blocks = arrays("float32", (2, 4, 5, 3), elements=decibels)


@settings(max_examples=50, deadline=None)
@given(blocks)
def test_scaled_blocks_span_minus_one_to_one(block):
    scaled = convert_to_numpy(BlockScaling()(block))
    for before, after in zip(block, scaled, strict=True):
        if before.min() == before.max():
            assert (after == 0).all()
        else:
            assert after.min() == -1
            np.testing.assert_allclose(after.max(), 1, rtol=1e-5)


def test_scaling_does_not_depend_on_gain():
    block = np.random.default_rng(0).normal(-40, 10, size=(2, 64, 50, 3)).astype("float32")
    np.testing.assert_allclose(BlockScaling()(block), BlockScaling()(block - 12), atol=2e-5)


def train_normalisation(layer, maps):
    """Train one step on the sum of squares; return output, moving statistics and both weights."""
    inputs = keras.Input(maps.shape[1:])
    network = keras.Model(inputs, layer(inputs))
    layer.set_weights(np.array([[1.5, 0.5], [0.1, -0.2], [0.0, 1.0], [1.0, 2.0]]))
    network.compile(keras.optimizers.SGD(1e-3), "mse")
    before = convert_to_numpy(network(maps, training=True)).astype("float32")
    network.train_on_batch(maps, np.zeros_like(maps))
    after = convert_to_numpy(network(maps)).astype("float32")
    return [before, after, *layer.get_weights()]


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_fused_normalisation_is_that_of_keras(dtype):
    maps = np.random.default_rng(0).normal([3, -5], [1, 4], (4, 6, 5, 2)).astype("float32")
    reference = train_normalisation(keras.layers.BatchNormalization(momentum=0.8), maps)
    values = train_normalisation(FusedBatchNormalization(momentum=0.8, dtype=dtype), maps)
    for value, expected in zip(values, reference, strict=True):
        if dtype == "float32":
            np.testing.assert_array_equal(value, expected)
        else:
            np.testing.assert_allclose(value, expected, atol=0.02, rtol=0.01)


@pytest.mark.parametrize(
    "settings", [{"scale": False}, {"center": False}, {"axis": 1}, {"epsilon": 1e-6}]
)
def test_normalisation_that_no_kernel_does_is_left_to_keras(settings):
    maps = np.random.default_rng(0).normal(3, 2, (2, 3, 4, 5)).astype("float32")
    values = [
        convert_to_numpy(layer(dtype="mixed_bfloat16", **settings)(maps, training=True))
        for layer in (keras.layers.BatchNormalization, FusedBatchNormalization)
    ]
    np.testing.assert_array_equal(*values)


def recalibrated_by_keras(maps, by_channel, by_position):
    layers = keras.layers
    products = [layers.Multiply()([maps, weights]) for weights in (by_channel, by_position)]
    return layers.Add()(products)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_elu_and_recalibration_are_those_of_keras(dtype):
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(4, 6, 5, 8)).astype("float32")
    weights = rng.uniform(size=(4, 1, 1, 8)), rng.uniform(size=(4, 6, 5, 1))
    values = [
        ELUInFloat32(alpha=0.7, dtype=dtype)(maps),
        Recalibration(dtype=dtype)([maps, *weights]),
    ]
    expected = [keras.layers.ELU(alpha=0.7)(maps), recalibrated_by_keras(maps, *weights)]
    for value, reference in zip(values, expected, strict=True):
        assert keras.backend.standardize_dtype(value.dtype) == dtype.removeprefix("mixed_")
        value, reference = (convert_to_numpy(v).astype("float32") for v in (value, reference))
        tolerance = 0 if dtype == "float32" else 0.01
        np.testing.assert_allclose(value, reference, rtol=tolerance, atol=tolerance)


@pytest.mark.usefixtures("eagerly")
def test_constant_block_gives_no_nan_in_the_gradient():
    network = audio_network(2, filters=(4, 4, 4))
    network.compile("sgd", "categorical_crossentropy")
    network.train_on_batch(np.full((2, 64, 50, 3), -100.0), np.eye(2))
    assert all(np.isfinite(weight).all() for weight in network.get_weights())


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def elu(x):
    return np.where(x > 0, x, np.expm1(x))


def test_block_follows_its_formula():
    inputs = keras.Input((6, 7, 3))
    block = keras.Model(inputs, standard_post_block(inputs, 8, reduction=2, momentum=0.9, name="b"))
    rng = np.random.default_rng(0)
    block.set_weights([rng.uniform(0.1, 0.6, size=w.shape) for w in block.get_weights()])
    x = rng.normal(size=(2, 6, 7, 3)).astype("float32")

    def layer(name, value):
        return convert_to_numpy(block.get_layer(f"b_{name}")(value))

    shortcut = layer("shortcut_norm", layer("shortcut", x))
    main = layer("conv2_norm", layer("conv2", elu(layer("conv1_norm", layer("conv1", x)))))
    y = elu(main + shortcut)
    (reduce,) = block.get_layer("b_channel_reduce").get_weights()
    (excite,) = block.get_layer("b_channel_excite").get_weights()
    (position,) = block.get_layer("b_position_excite").get_weights()
    by_channel = sigmoid(np.maximum(y.mean(axis=(1, 2)) @ reduce, 0) @ excite)
    by_position = sigmoid(y @ position[0, 0])
    expected = y * by_channel[:, None, None, :] + y * by_position + shortcut
    np.testing.assert_allclose(convert_to_numpy(block(x)), expected, rtol=1e-4, atol=1e-4)

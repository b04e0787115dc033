"""Block scaling and the squeeze-excitation block, against their definitions."""

import keras
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from keras.ops import convert_to_numpy

from skavsc.networks import BlockScaling, audio_network
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


def test_saved_network_loads_in_a_fresh_process(tmp_path, run_fresh):
    network = audio_network(3, filters=(4, 4, 4))
    network.save(tmp_path / "audio.keras")
    block = np.random.default_rng(0).normal(size=(2, 64, 50, 3)).astype("float32")
    np.save(tmp_path / "block.npy", block)
    code = (
        "import keras, numpy, skavsc.networks._layers\n"
        f"network = keras.saving.load_model(r'{tmp_path / 'audio.keras'}')\n"
        f"block = numpy.load(r'{tmp_path / 'block.npy'}')\n"
        f"numpy.save(r'{tmp_path / 'scores.npy'}', keras.ops.convert_to_numpy(network(block)))\n"
    )
    run_fresh(code)
    np.testing.assert_allclose(
        np.load(tmp_path / "scores.npy"), convert_to_numpy(network(block)), rtol=1e-6
    )

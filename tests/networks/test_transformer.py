"""The transformer encoder: counts, missing steps and modalities, saving."""

import keras
import numpy as np
import pytest
from keras.ops import convert_to_numpy

from skavsc.networks import transformer_network
from skavsc.networks._transformer import ModalityMaskDropout

SMALL = {"audio_shape": (3, 6), "visual_shape": (4, 5), "units": 8, "n_heads": 2}


def embeddings(n=4):
    rng = np.random.default_rng(0)
    return [
        rng.normal(size=(n, *SMALL[f"{m}_shape"])).astype("float32") for m in ("audio", "visual")
    ]


def probabilities(network, inputs):
    return convert_to_numpy(network(inputs))


@pytest.mark.parametrize("units", [8, 16])
@pytest.mark.parametrize("n_blocks", [1, 3])
def test_parameter_counts(units, n_blocks):
    network = transformer_network(7, **{**SMALL, "units": units}, n_blocks=n_blocks)
    attention = 4 * (units * units + units)
    feed_forward = units * 4 * units + 4 * units + 4 * units * units + units
    block = attention + feed_forward + 2 * 2 * units
    front = (6 + 1 + 3) * units + (5 + 1 + 4) * units
    assert network.count_params() == front + n_blocks * block + 2 * units + (units + 1) * 7


@pytest.mark.parametrize("missing", [0, 1])
def test_a_missing_modality_has_no_influence(missing):
    network = transformer_network(3, **SMALL)
    inputs = embeddings()
    inputs[missing][:] = np.nan
    result = probabilities(network, inputs)
    assert np.isfinite(result).all()
    np.testing.assert_allclose(result.sum(axis=1), 1, rtol=1e-5)
    # Its projection and positions may be anything.
    name = ("audio", "visual")[missing]
    for layer in ("projection", "position"):
        layer = network.get_layer(f"{name}_{layer}")
        layer.set_weights([weight + 5 for weight in layer.get_weights()])
    np.testing.assert_allclose(probabilities(network, inputs), result, atol=1e-6)
    assert np.abs(probabilities(network, embeddings()) - result).max() > 1e-3


def test_missing_steps_have_no_influence():
    network = transformer_network(3, **SMALL)
    inputs = embeddings()
    inputs[1][:, 2:] = np.nan
    result = probabilities(network, inputs)
    position = network.get_layer("visual_position")
    weights = position.get_weights()[0].copy()
    weights[2:] += 5
    position.set_weights([weights])
    np.testing.assert_allclose(probabilities(network, inputs), result, atol=1e-6)


def test_nothing_present_is_finite():
    inputs = [np.full_like(part, np.nan) for part in embeddings(1)]
    assert np.isfinite(probabilities(transformer_network(3, **SMALL), inputs)).all()


@pytest.mark.parametrize("only", ["audio", "visual"])
def test_one_modality(only):
    other = {"audio": "visual", "visual": "audio"}[only]
    network = transformer_network(3, **{**SMALL, f"{other}_shape": None})
    [given] = network.inputs
    assert given.name == only
    part = embeddings()[only == "visual"]
    assert probabilities(network, part).shape == (4, 3)


def test_modality_dropout_hides_one_of_two_in_training():
    layer = ModalityMaskDropout(0.5, seed=0)
    first, second = np.ones((2000, 3), bool), np.ones((2000, 4), bool)
    second[1000:] = False
    masks = [convert_to_numpy(mask) for mask in layer([first, second], training=True)]
    for mask in masks:
        assert (mask.all(axis=1) | ~mask.any(axis=1)).all()
    hidden = [~mask.any(axis=1)[:1000] for mask in masks]
    assert not (hidden[0] & hidden[1]).any()
    for rows in hidden:
        assert 0.2 < rows.mean() < 0.3
    # The other half has one modality only, and keeps it.
    assert masks[0][1000:].all()
    same = layer([first, second], training=False)
    np.testing.assert_array_equal(convert_to_numpy(same[0]), first)


@pytest.mark.usefixtures("eagerly")
def test_learns_with_modality_dropout_and_missing_modalities():
    keras.utils.set_random_seed(0)
    network = transformer_network(2, **SMALL, n_blocks=1, modality_dropout=0.5, seed=0)
    inputs = embeddings(64)
    y = np.arange(64) % 2
    inputs[0] += 2.0 * y[:, None, None] * np.arange(6)
    inputs[1] += 2.0 * y[:, None, None] * np.arange(5)
    inputs[1][:16] = np.nan
    network.compile(keras.optimizers.Adam(3e-2), "sparse_categorical_crossentropy")
    network.fit(inputs, y, batch_size=64, epochs=12, verbose=0)
    for missing in (None, 0, 1):
        parts = embeddings(64)
        parts[0] += 2.0 * y[:, None, None] * np.arange(6)
        parts[1] += 2.0 * y[:, None, None] * np.arange(5)
        if missing is not None:
            parts[missing][:] = np.nan
        assert (probabilities(network, parts).argmax(axis=1) == y).mean() > 0.9
    assert all(np.isfinite(weight).all() for weight in network.get_weights())


def test_saved_network_is_the_same(tmp_path):
    network = transformer_network(3, **SMALL, modality_dropout=0.3, seed=4)
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    assert loaded.get_layer("modality_dropout").rate == 0.3
    inputs = embeddings()
    np.testing.assert_allclose(
        probabilities(loaded, inputs), probabilities(network, inputs), rtol=1e-6
    )


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"audio_shape": None, "visual_shape": None}, "audio_shape and visual_shape"),
        ({"units": 10, "n_heads": 4}, "units=10"),
        ({"modality_dropout": 1.5}, r"rate=1\.5"),
    ],
)
def test_unusable_parameters_are_named(parameters, message):
    with pytest.raises(ValueError, match=message):
        transformer_network(**{**SMALL, **parameters})

"""Networks as ONNX models give what Keras gives."""

import json

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skavsc
from skavsc.networks import (
    audio_network,
    fusion_network,
    onnx_model,
    squeezenet11_base,
    transformer_network,
    vgg16_base,
    visual_network,
    with_backbone,
)
from skavsc.training._onnx_classifier import check_graph

pytestmark = pytest.mark.usefixtures("all_eagerly")


def small_audio():
    return audio_network(3, input_shape=(16, 50, 2), filters=(4, 6, 8))


def small_visual(**options):
    return visual_network(3, backbone=None, n_features=512, units=4, **options)


def small_fusion(readout):
    return fusion_network(3, readout=readout, audio=small_audio(), visual=small_visual(), units=4)


def pictures(kind):
    return keras.Sequential(
        [keras.Input((None, None, 3)), kind, keras.layers.ZeroPadding2D(((1, 0), (0, 2)))]
    )


NETWORKS = {
    "audio": small_audio,
    "visual": small_visual,
    "visual, scaled": lambda: small_visual(scale_frames=True),
    "late fusion": lambda: small_fusion("late"),
    "early fusion": lambda: small_fusion("early"),
    "with SqueezeNet": lambda: with_backbone(
        small_fusion("late"),
        squeezenet11_base((32, 32, 3)),
        image_size=32,
        preprocessing="squeezenet-places365",
    ),
    "with maximum": lambda: with_backbone(
        visual_network(3, backbone=None, n_features=6, units=2),
        pictures(keras.layers.DepthwiseConv2D(3, depth_multiplier=2, strides=2, padding="same")),
        image_size=32,
        pooling="max",
        preprocessing="imagenet",
    ),
    "transformer": lambda: transformer_network(
        3, audio_shape=(2, 6), visual_shape=(5, 4), units=8, n_heads=2
    ),
    "transformer of sound": lambda: transformer_network(
        3, audio_shape=(2, 6), visual_shape=None, units=8, n_heads=4, n_blocks=1
    ),
    "recurrent, forward": lambda: keras.Sequential(
        [
            keras.Input((5, 6)),
            keras.layers.GRU(3, return_sequences=True, reset_after=False, use_bias=True),
            keras.layers.GRU(3, return_sequences=True, use_bias=False),
            keras.layers.Flatten(),
            keras.layers.Dense(3, activation="tanh"),
        ]
    ),
}


def drawn(network):
    """The network with weights, offsets and statistics that are not those of the start."""
    rng = np.random.default_rng(0)
    for weight in network.weights:
        value = np.asarray(weight)
        if value.dtype.kind == "f":
            weight.assign(value + 0.05 * rng.random(value.shape).astype("f4"))
    return network


def examples(network, n):
    rng = np.random.default_rng(n)
    return [
        rng.integers(0, 256, (n, *given.shape[1:])).astype("f4")
        if given.shape[-1] == 3
        else rng.normal(size=(n, *given.shape[1:])).astype("f4")
        for given in network.inputs
    ]


def run(graph, inputs):
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]
    return session.run(["probabilities"], dict(zip(names, inputs, strict=True)))[0]


def check_equal(network, graph, inputs):
    expected = np.asarray(network.predict_on_batch(inputs if len(inputs) > 1 else inputs[0]))
    found = run(graph, inputs)
    assert expected.std() > 1e-3
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", NETWORKS)
def test_equal_to_keras(kind):
    network = drawn(NETWORKS[kind]())
    graph = skavsc.to_onnx(network)
    check_graph(graph)
    onnx.checker.check_model(onnx.load_from_string(graph), full_check=True)
    for n in (1, 3):
        check_equal(network, graph, examples(network, n))


@pytest.mark.slow
def test_published_networks_are_equal_to_keras():
    whole = with_backbone(fusion_network(visual=visual_network(backbone=None)), vgg16_base())
    for network in (whole, transformer_network()):
        drawn(network)
        check_equal(network, onnx_model(network), examples(network, 2))
    # Around the weights that Keras draws: others drive all maps to the limit of its activation.
    mobile = keras.applications.MobileNetV2((64, 64, 3), include_top=False, weights=None)
    rng = np.random.default_rng(0)
    for weight in mobile.weights:
        spread = 0.3 if len(weight.shape) == 1 else 0.05
        weight.assign(np.asarray(weight) + spread * rng.uniform(-1, 1, weight.shape))
    images = [pictures / 127.5 - 1 for pictures in examples(mobile, 2)]
    check_equal(mobile, onnx_model(mobile), images)


def test_constant_sound_and_missing_frames():
    network = drawn(NETWORKS["with SqueezeNet"]())
    sound, frames = examples(network, 2)
    sound[0], frames[0] = 0.0, -1.0
    check_equal(network, onnx_model(network), [sound, frames])


def test_missing_steps_of_the_transformer():
    network = drawn(NETWORKS["transformer"]())
    sound, picture = examples(network, 3)
    sound[0], picture[1, 2], sound[2], picture[2] = np.nan, np.nan, np.nan, np.nan
    check_equal(network, onnx_model(network), [sound, picture])


def test_layers_that_cannot_be_written():
    inputs = keras.Input((4,))
    for layer, reason in [
        (keras.layers.UnitNormalization(), "UnitNormalization"),
        (keras.layers.Dense(2, activation="silu"), "activation='silu'"),
    ]:
        network = keras.Model(inputs, layer(inputs))
        with pytest.raises(ValueError, match=reason):
            onnx_model(network)
    with pytest.raises(ValueError, match="2 outputs"):
        onnx_model(keras.Model(inputs, [inputs + 1, inputs + 2]))


def test_layer_that_is_used_twice():
    inputs = keras.Input((4,))
    layer = keras.layers.Dense(4)
    with pytest.raises(ValueError, match="used 2 times"):
        onnx_model(keras.Model(inputs, layer(layer(inputs))))


@pytest.fixture(scope="module")
def fitted():
    X = np.random.default_rng(0).normal(size=(4, 10, 6)).astype("f4")
    classifier = skavsc.VisualSceneClassifier(
        units=2, epochs=2, learning_rate=0.1, validation_fraction=0, random_state=0
    )
    return classifier.fit(X, [10, 2, 10, 2]), X


def test_classifier_in_a_file(fitted, tmp_path):
    classifier, X = fitted
    graph = skavsc.to_onnx(classifier, tmp_path / "scenes.onnx")
    assert (tmp_path / "scenes.onnx").read_bytes() == graph
    segments = np.concatenate([X[:, :5], X[:, 5:]])
    expected = classifier.predict_proba_segments(X).swapaxes(0, 1).reshape(-1, 2)
    np.testing.assert_allclose(run(graph, [segments]), expected, rtol=0, atol=1e-5)
    session = onnxruntime.InferenceSession(graph)
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["classes"]) == [2, 10]
    assert session.get_inputs()[0].shape == ["n", 5, 6]


def test_other_estimators_are_refused(fitted):
    classifier, _ = fitted
    with pytest.raises(TypeError, match=r"is a Pipeline.*last step, VisualSceneClassifier"):
        skavsc.to_onnx(make_pipeline(StandardScaler(), classifier))
    with pytest.raises(TypeError, match="StandardScaler"):
        skavsc.to_onnx(StandardScaler())

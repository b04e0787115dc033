"""The image backbones: layer names, counts, and golden values of published networks."""

from pathlib import Path

import keras
import numpy as np
import pytest
from keras.ops import convert_to_numpy

from skavsc.networks import ImagePreprocessing, squeezenet11_base, vgg16_base

SHARED = Path(__file__).parents[3] / "shared" / "data"


def test_vgg16_has_the_layers_and_counts_of_keras_vgg16():
    ours = vgg16_base()
    reference = keras.applications.VGG16(weights=None, include_top=False)
    named = [(layer.name, [w.shape for w in layer.weights]) for layer in ours.layers[1:]]
    assert named == [
        (layer.name, [w.shape for w in layer.weights]) for layer in reference.layers[1:]
    ]
    assert ours.count_params() == 14_714_688
    assert ours.output_shape == (None, 7, 7, 512)


@pytest.mark.parametrize("build", [vgg16_base, squeezenet11_base])
def test_channels_are_last_whatever_keras_is_set_to(build):
    expected = build((32, 32, 3)).output_shape
    keras.config.set_image_data_format("channels_first")
    try:
        network = build((32, 32, 3))
        assert keras.config.image_data_format() == "channels_first"
    finally:
        keras.config.set_image_data_format("channels_last")
    assert network.output_shape == expected


@pytest.mark.parametrize("build", [vgg16_base, squeezenet11_base])
def test_any_image_size(build):
    network = build((None, None, 3))
    for height, width in ((32, 32), (64, 96)):
        maps = network(np.zeros((1, height, width, 3), "float32"))
        assert maps.shape[-1] == 512
        assert maps.shape[1] <= maps.shape[2]


def test_squeezenet_counts():
    network = squeezenet11_base()
    assert network.count_params() == 722_496
    assert sum(isinstance(layer, keras.layers.Conv2D) for layer in network.layers) == 25


@pytest.mark.skipif(
    not (SHARED / "squeezenet_places365.npz").exists(), reason="needs the Places365 SqueezeNet"
)
def test_squeezenet_golden_embedding():
    network = squeezenet11_base()
    with np.load(SHARED / "squeezenet_places365.npz") as weights:
        for layer in network.layers:
            if layer.weights:
                prefix = layer.name.replace("_", "/")
                layer.set_weights([weights[f"{prefix}/kernel"], weights[f"{prefix}/bias"]])
    with np.load(SHARED / "squeezenet_places365_golden.npz") as golden:
        image, expected = golden["image"], golden["embedding"]
    maps = convert_to_numpy(network(ImagePreprocessing("squeezenet-places365")(image)))
    np.testing.assert_allclose(np.mean(maps, axis=(1, 2)), expected, atol=1e-4)


def test_preprocessing_swaps_colours_and_takes_the_means():
    image = np.array([[[10, 20, 30]]], dtype="uint8")
    places = convert_to_numpy(ImagePreprocessing("places365")(image))
    np.testing.assert_allclose(
        places[0, 0], np.array([30, 20, 10]) - [104.006, 116.669, 122.679], rtol=1e-6
    )
    squeeze = convert_to_numpy(ImagePreprocessing("squeezenet-places365")(image))
    np.testing.assert_allclose(
        squeeze[0, 0], (np.array([30, 20, 10]) - [105.448, 112.969, 116.674]) / 255, rtol=1e-5
    )
    np.testing.assert_array_equal(convert_to_numpy(ImagePreprocessing("none")(image)), image)


def test_preprocessing_rejects_an_unknown_mode():
    with pytest.raises(ValueError, match=r"mode='resnet' is unknown.*'places365'"):
        ImagePreprocessing("resnet")


def test_preprocessing_is_time_distributed_serialisable_and_parameter_free(tmp_path):
    inputs = keras.Input((2, 32, 32, 3), dtype="uint8")
    x = ImagePreprocessing()(inputs)
    outputs = keras.layers.TimeDistributed(vgg16_base((32, 32, 3)))(x)
    model = keras.Model(inputs, outputs)
    assert model.count_params() == 14_714_688
    again = keras.models.clone_model(model)
    assert again.layers[1].mode == "places365"
    small = keras.Sequential([keras.Input((4, 4, 3)), ImagePreprocessing("squeezenet-places365")])
    small.save(tmp_path / "small.keras")
    loaded = keras.saving.load_model(tmp_path / "small.keras")
    image = np.full((1, 4, 4, 3), 7, "float32")
    np.testing.assert_array_equal(convert_to_numpy(loaded(image)), convert_to_numpy(small(image)))

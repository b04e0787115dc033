"""Frames through networks in files: layout, type, batch and size are those of the file."""

import pickle
import zipfile
from pathlib import Path

import keras
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from skavsc.exceptions import ModelError, WeightsError, WeightsNotFoundError
from skavsc.visual import ImageEmbedder, VideoFrameSampler

MODELS = Path(__file__).parents[3] / "shared" / "models"
real = pytest.mark.skipif(not MODELS.is_dir(), reason=f"needs {MODELS}")

KERNEL = np.arange(12, dtype=np.float32).reshape(4, 3, 1, 1) / 10
KINDS = ["nhwc uint8 batch 1", "nchw float32 any batch"]


def write_image_network(path, kind, size=(8, 6), divide_by=1.0):
    """Write a 1 x 1 convolution to 4 maps; ``features`` is their mean over positions."""
    last = kind.startswith("nhwc")
    batch = 1 if kind.endswith("batch 1") else "n"
    shape = (batch, *size, 3) if last else (batch, 3, *size)
    nodes, images = [], "images"
    if last:
        nodes += [
            helper.make_node("Cast", ["images"], ["numbers"], to=TensorProto.FLOAT),
            helper.make_node("Transpose", ["numbers"], ["turned"], perm=(0, 3, 1, 2)),
        ]
        images = "turned"
    nodes += [
        helper.make_node("Conv", [images, "kernel"], ["convolved"]),
        helper.make_node("Div", ["convolved", "divisor"], ["maps"]),
        helper.make_node("GlobalAveragePool", ["maps"], ["features"]),
    ]
    kernel = numpy_helper.from_array(KERNEL, "kernel")
    divisor = numpy_helper.from_array(np.float32(divide_by), "divisor")
    graph = helper.make_graph(
        nodes,
        "image_network",
        [
            helper.make_tensor_value_info(
                "images", TensorProto.UINT8 if "uint8" in kind else TensorProto.FLOAT, shape
            )
        ],
        [
            helper.make_tensor_value_info("features", TensorProto.FLOAT, (batch, 4, 1, 1)),
            helper.make_tensor_value_info("maps", TensorProto.FLOAT, (batch, 4, *size)),
        ],
        [kernel, divisor],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path
    )
    return path


def pictures(n_clips=3, steps=3, size=(8, 6)):
    return np.random.default_rng(0).integers(0, 256, (n_clips, steps, *size, 3), dtype=np.uint8)


def mean_features(images):
    return images.mean(axis=(-3, -2)) @ KERNEL[:, :, 0, 0].T


@pytest.fixture(scope="module", params=KINDS)
def embedder(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "images.onnx"
    write_image_network(path, request.param)
    return ImageEmbedder(path, output="features", preprocessing="none", batch_size=2)


def test_layouts(embedder):
    X = pictures()
    features = embedder.fit_transform(X)
    assert features.shape == (3, 3, 4)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, mean_features(X), rtol=1e-5)
    assert embedder.runtime_ == "onnxruntime"
    assert embedder.labels_ is None
    assert list(embedder.get_feature_names_out()[:2]) == ["imageembedder0", "imageembedder1"]


def test_equal_from_pickle_cache_alone_and_with_any_n_jobs(embedder, tmp_path):
    X = pictures()
    expected = embedder.fit_transform(X)
    for params in ({"n_jobs": 2}, {"memory": tmp_path}, {"memory": tmp_path}):
        other = ImageEmbedder(**{**embedder.get_params(), **params}).fit(X)
        np.testing.assert_array_equal(other.transform(X), expected)
    assert len(list(tmp_path.rglob("*.npy"))) == 3
    np.testing.assert_array_equal(embedder.transform(X[1:2]), expected[1:2])
    np.testing.assert_array_equal(embedder.transform(X.astype(np.float64)), expected)
    copy = pickle.loads(pickle.dumps(embedder))
    np.testing.assert_array_equal(copy.transform(X), expected)


def test_missing_clips_and_frames(embedder):
    X = pictures().astype(np.float32)
    expected = embedder.fit_transform(X)
    X[0, 1, 2, 2, 0] = np.nan
    features = embedder.transform([X[0], None])
    assert np.isnan(features[1]).all()
    assert np.isnan(features[0, 1]).all()
    np.testing.assert_array_equal(features[0, [0, 2]], expected[0, [0, 2]])


@pytest.mark.parametrize("pooling", ["avg", "max"])
@pytest.mark.parametrize("size", [(8, 6), (8, 8)])
def test_maps_are_pooled_over_positions(tmp_path, pooling, size):
    path = write_image_network(tmp_path / "a.onnx", KINDS[1], size)
    X = pictures(size=size)
    features = ImageEmbedder(
        path, output="maps", pooling=pooling, preprocessing="none"
    ).fit_transform(X)
    maps = X @ KERNEL[:, :, 0, 0].T
    expected = maps.mean(axis=(2, 3)) if pooling == "avg" else maps.max(axis=(2, 3))
    np.testing.assert_allclose(features, expected, rtol=1e-5)


def test_maps_of_another_layout_than_the_images(tmp_path):
    path = write_image_network(tmp_path / "a.onnx", KINDS[0], (8, 8))
    X = pictures(size=(8, 8))
    features = ImageEmbedder(path, output="maps").fit_transform(X)
    np.testing.assert_allclose(features, mean_features(X), rtol=1e-5)


@pytest.mark.parametrize(
    ("mode", "prepared"),
    [
        ("none", (255.0, 0.0, 51.0)),
        ("imagenet", ((1 - 0.485) / 0.229, -0.456 / 0.224, (0.2 - 0.406) / 0.225)),
        (
            "clip",
            (
                (1 - 0.48145466) / 0.26862954,
                -0.4578275 / 0.26130258,
                (0.2 - 0.40821073) / 0.27577711,
            ),
        ),
        ("places365", (51 - 104.006, -116.669, 255 - 122.679)),
        (([127.5, 127.5, 127.5], [127.5, 127.5, 127.5]), (1.0, -1.0, -0.6)),
        (((0, 0, 0), (255, 255, 255)), (1.0, 0.0, 0.2)),
    ],
)
def test_preprocessing(tmp_path, mode, prepared):
    path = write_image_network(tmp_path / "a.onnx", KINDS[1])
    X = np.full((1, 1, 8, 6, 3), (255, 0, 51), np.uint8)
    features = ImageEmbedder(path, output="features", preprocessing=mode).fit_transform(X)
    expected = KERNEL[:, :, 0, 0] @ np.array(prepared)
    np.testing.assert_allclose(features[0, 0], expected, atol=1e-4 * np.abs(expected).max())


def test_settings_that_do_not_go_with_the_file(tmp_path):
    whole = write_image_network(tmp_path / "whole.onnx", KINDS[0])
    numbers = write_image_network(tmp_path / "numbers.onnx", KINDS[1])
    for path, params, message in (
        (whole, {}, r"whole\.onnx has the outputs 'features' .*name one"),
        (whole, {"output": "scores"}, "'scores' is no output"),
        (whole, {"output": "maps", "preprocessing": "clip"}, "takes whole numbers"),
        (numbers, {"output": "maps"}, "how images for numbers.onnx are prepared is not known"),
        (numbers, {"output": "maps", "weights": "a.npz"}, "holds its weights"),
        (
            numbers,
            {"output": "maps", "preprocessing": "none", "runtime": "keras"},
            "run by onnxruntime",
        ),
    ):
        with pytest.raises(ModelError, match=message):
            ImageEmbedder(path, **params).fit(pictures())
    with pytest.raises(ValueError, match="a pair of means and scales"):
        ImageEmbedder(numbers, output="maps", preprocessing=(1, 2)).fit(pictures())


def test_images_of_another_size(embedder, make_frames):
    message = r"images\.onnx takes 'images' .*8 pixels high and 6 wide.*size=\(8, 6\)"
    with pytest.raises(ModelError, match=message):
        embedder.fit(pictures(size=(8, 8)))
    embedder.fit([None])
    with pytest.raises(ModelError, match=message):
        embedder.transform(pictures(size=(6, 8)))
    X = VideoFrameSampler(5, (8, 6), 1.0).transform([make_frames(duration=1.0, fps=5)])
    assert np.isfinite(embedder.transform(X)).all()


def test_size_of_a_keras_model():
    inputs = keras.Input((32, 32, 3))
    model = keras.Model(inputs, keras.layers.Conv2D(2, 1)(inputs), name="own")
    with pytest.raises(ModelError, match=r"own takes .*size=\(32, 32\)"):
        ImageEmbedder(model).fit(pictures())


def test_output_of_a_keras_model():
    inputs = keras.Input((8, 6, 3))
    outputs = {
        "twice": keras.layers.Rescaling(2.0, name="twice")(inputs),
        "thrice": keras.layers.Rescaling(3.0, name="thrice")(inputs),
    }
    model = keras.Model(inputs, outputs)
    X = pictures()
    features = ImageEmbedder(model, output="thrice").fit_transform(X)
    np.testing.assert_allclose(features, 3 * X.mean(axis=(2, 3)), rtol=1e-5)
    with pytest.raises(ModelError, match="name one"):
        ImageEmbedder(model).fit(X)


def test_nan_names_the_model(tmp_path):
    path = write_image_network(tmp_path / "broken.onnx", KINDS[1], divide_by=0.0)
    embedder = ImageEmbedder(path, output="features", preprocessing="none").fit(pictures())
    with pytest.raises(ModelError, match=r"broken\.onnx gives NaN or infinity for frame 0"):
        embedder.transform(pictures())


def test_file_that_changed_since_fit(tmp_path):
    path = write_image_network(tmp_path / "a.onnx", KINDS[0])
    embedder = ImageEmbedder(path, output="features").fit(pictures())
    write_image_network(path, KINDS[0], divide_by=2.0)
    with pytest.raises(WeightsError, match="not those of fit"):
        embedder.transform(pictures())


def test_names_that_are_no_image_networks(tmp_path):
    with pytest.raises(ModelError, match="model='yamnet' takes sound"):
        ImageEmbedder("yamnet").fit(pictures())
    with pytest.raises(WeightsNotFoundError, match="is no file"):
        ImageEmbedder(tmp_path / "gone.onnx").fit(pictures())
    with pytest.raises(WeightsNotFoundError, match=r"openl3-image .*github\.com/marl/openl3"):
        ImageEmbedder("openl3-image").fit(pictures())


def test_published_network_from_a_file_at_hand(tmp_path):
    path = write_image_network(tmp_path / "own.onnx", KINDS[1])
    X = np.full((1, 1, 8, 6, 3), (127, 127, 255), np.uint8)
    features = ImageEmbedder("efficientnet-lite0", weights=path, output="features").fit_transform(X)
    np.testing.assert_allclose(features[0, 0], KERNEL[:, 2, 0, 0], rtol=1e-5)


@pytest.fixture(scope="module")
def tflite_file(tmp_path_factory):
    """The same convolution in a TFLite file, with the names of its classes behind it."""
    tensorflow = pytest.importorskip("tensorflow")
    pytest.importorskip("ai_edge_litert")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("only TensorFlow writes TFLite files")
    inputs = keras.Input((8, 6, 3), batch_size=1)
    maps = keras.layers.Conv2D(4, 1, use_bias=False, name="maps")
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(maps(inputs)))
    maps.set_weights([KERNEL[:, :, 0, 0].T[None, None]])
    path = tmp_path_factory.mktemp("tflite") / "images.tflite"
    path.write_bytes(tensorflow.lite.TFLiteConverter.from_keras_model(model).convert())
    with zipfile.ZipFile(path, "a") as packed:
        packed.writestr("labels.txt", "bus\npark\ntram\nplane\n")
    return path


def test_tflite_file(tflite_file, tmp_path):
    X = pictures()
    embedder = ImageEmbedder(tflite_file, preprocessing="none").fit(X)
    expected = embedder.transform(X)
    np.testing.assert_allclose(expected, mean_features(X), rtol=1e-4)
    assert embedder.runtime_ == "litert"
    assert embedder.labels_.tolist() == ["bus", "park", "tram", "plane"]
    np.testing.assert_array_equal(embedder.transform(X[1:2]), expected[1:2])
    for params in ({"n_jobs": 2}, {"memory": tmp_path}, {"memory": tmp_path}):
        other = ImageEmbedder(**{**embedder.get_params(), **params}).fit(X)
        np.testing.assert_array_equal(other.transform(X), expected)
    copy = pickle.loads(pickle.dumps(embedder))
    np.testing.assert_array_equal(copy.transform(X), expected)
    with pytest.raises(
        ModelError, match=r"how images for images\.tflite are prepared is not known"
    ):
        ImageEmbedder(tflite_file).fit(X)


@real
def test_real_network():
    with np.load(MODELS / "golden.npz") as golden:
        images, expected = golden["images"], golden["image_embedding"]
    X = np.stack([images.reshape(1, 224, 224, 3)] * 2)
    X[1] = 255 - X[1]
    embedder = ImageEmbedder(MODELS / "mobilenet_v2.onnx").fit(X)
    features = embedder.transform(X)
    assert features.shape == (2, 1, 1280)
    np.testing.assert_allclose(features[0, 0], expected.ravel(), atol=1e-2 * np.abs(expected).max())
    np.testing.assert_array_equal(embedder.transform(X[1:]), features[1:])
    np.testing.assert_array_equal(embedder.set_params(n_jobs=2).transform(X), features)


@real
def test_sound_network_is_refused():
    with pytest.raises(ModelError, match=r"yamnet.* takes 'waveform"):
        ImageEmbedder(MODELS / "yamnet.onnx").fit(pictures())

"""Networks in files: what they take and give, their numbers, pickles, and files that are none."""

import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from skavsc.exceptions import ModelError, WeightsError, WeightsNotFoundError
from skavsc.pretrained import REGISTRY, KerasNetwork, find_model, labels_of, open_file
from skavsc.pretrained._registry import class_names

MODELS = Path(__file__).parents[3] / "shared" / "models"
real = pytest.mark.skipif(not MODELS.is_dir(), reason=f"needs {MODELS}")


def write_onnx(path, takes=("n", 4), gives=("n", 3), opset=13, n_inputs=1, external=False):
    """Write a network of a matrix product; ``double`` is its second output."""
    kernel = np.arange(12, dtype=np.float32).reshape(4, 3)
    nodes = [
        helper.make_node("MatMul", ["x0", "kernel"], ["product"]),
        helper.make_node("Add", ["product", "product"], ["double"]),
    ]
    inputs = [
        helper.make_tensor_value_info(f"x{i}", TensorProto.FLOAT, takes) for i in range(n_inputs)
    ]
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, gives)
        for name in ("product", "double")
    ]
    graph = helper.make_graph(
        nodes, "products", inputs, outputs, [numpy_helper.from_array(kernel, "kernel")]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.save(model, path, save_as_external_data=external, size_threshold=0, location="w.bin")
    return str(path)


@pytest.mark.parametrize("takes", [("n", 4), (1, 4), (3, 4), (4,)])
def test_any_number_of_examples(tmp_path, takes):
    network = open_file(write_onnx(tmp_path / "a.onnx", takes, (*takes[:-1], 3)))
    examples = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    expected = examples @ np.arange(12, dtype=np.float32).reshape(4, 3)
    np.testing.assert_allclose(network(examples, "product"), expected, rtol=1e-5)
    np.testing.assert_array_equal(
        network(examples[:2], "double"), 2 * network(examples, "product")[:2]
    )
    with ThreadPoolExecutor(4) as pool:
        for result in pool.map(lambda _: network(examples, "product"), range(8)):
            np.testing.assert_array_equal(result, network(examples, "product"))
    copy = pickle.loads(pickle.dumps(network))
    assert copy.digest == network.digest
    np.testing.assert_array_equal(copy(examples, "product"), network(examples, "product"))
    assert len(pickle.dumps(network)) < 500


def test_outputs_are_named(tmp_path):
    network = open_file(write_onnx(tmp_path / "a.onnx"))
    with pytest.raises(ModelError, match=r"a\.onnx has the outputs 'product' \(float32, shape "):
        network.output_named(None)
    with pytest.raises(ModelError, match="'scores' is no output of"):
        network.output_named("scores")


def test_wrong_examples(tmp_path):
    network = open_file(write_onnx(tmp_path / "a.onnx"))
    with pytest.raises(ModelError, match=r"takes 'x0' \(float32, shape \(any, 4\)\), and not .*5"):
        network(np.zeros((2, 5), np.float32), "product")


def test_files_that_are_no_networks(tmp_path):
    whole = Path(write_onnx(tmp_path / "whole.onnx")).read_bytes()
    (tmp_path / "cut.onnx").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.onnx").write_text("no network")
    (tmp_path / "text.tflite").write_text("no network")
    (tmp_path / "cut.tflite").write_bytes(b"\x1c\x00\x00\x00TFL3" + b"\x00" * 40)
    write_onnx(tmp_path / "new.onnx", opset=99)
    write_onnx(tmp_path / "two.onnx", n_inputs=2)
    write_onnx(tmp_path / "outside.onnx", external=True)
    for name, message in {
        "cut.onnx": "damaged|cannot run",
        "text.onnx": "damaged|cannot run",
        "text.tflite": "no TFLite file",
        "cut.tflite": "LiteRT cannot run",
        "new.onnx": "onnxruntime .* cannot run",
        "two.onnx": "has 2 inputs",
        "outside.onnx": "weights in other files",
    }.items():
        with pytest.raises(ModelError, match=message):
            open_file(str(tmp_path / name))
    with pytest.raises(WeightsNotFoundError, match="there is no file"):
        open_file(str(tmp_path / "gone.onnx"))


def test_file_that_changed(tmp_path):
    network = open_file(write_onnx(tmp_path / "a.onnx"))
    pickled = pickle.dumps(network)
    write_onnx(tmp_path / "a.onnx", takes=("n", 1, 4), gives=("n", 1, 3))
    with pytest.raises(WeightsError, match="has changed since fit"):
        pickle.loads(pickled)


@real
@pytest.mark.parametrize(
    ("name", "given", "wanted", "output"),
    [
        ("yamnet.onnx", "waveform", "embedding", "embedding"),
        ("yamnet.onnx", "waveform", "scores", "scores"),
        ("yamnet.tflite", "waveform", "embedding", "embedding"),
        ("yamnet.tflite", "waveform", "scores", "scores"),
        ("mobilenet_v2.onnx", "images", "image_embedding", None),
    ],
)
def test_golden_values(name, given, wanted, output):
    with np.load(MODELS / "golden.npz") as golden:
        examples, expected = golden[given], golden[wanted]
    meant = find_model(MODELS / name)
    network = open_file(meant.model)
    output = network.output_named(meant.output_alias(output))
    found = network(examples.reshape(1, *examples.shape[-len(network.example_shape(3)) :]), output)
    # Between runtimes the 8-bit logits differ by a step, which is 0.08 as a score.
    tolerance = 0.09 if (name, wanted) == ("yamnet.tflite", "scores") else 1e-2 * expected.max()
    np.testing.assert_allclose(found.reshape(expected.shape), expected, atol=tolerance)


def test_class_names_of_audioset():
    names = class_names(REGISTRY["yamnet"].labels)
    assert len(names) == len(set(names)) == 521
    assert (names[0], names[294], names[494]) == ("Speech", "Vehicle", "Silence")


@real
@pytest.mark.parametrize("name", ["yamnet.onnx", "yamnet.tflite"])
def test_known_files_are_recognised(name):
    meant = find_model(MODELS / name)
    assert meant.published is REGISTRY["yamnet"]
    network = open_file(meant.model)
    scores = network.output_named(meant.output_alias("scores"))
    labels = labels_of(meant, network, scores, 521)
    assert len(labels) == len(set(labels)) == 521
    assert labels[0] == "Speech"
    if name.endswith(".tflite"):
        # The file holds the same list, in the same order.
        assert network.class_names() == labels
    assert labels_of(meant, network, meant.output_alias(None), 1024) is None


FRESH = """
import sys
import numpy as np
from skavsc.pretrained import find_model, open_file
network = open_file(find_model(sys.argv[1]).model)
network(np.zeros((2, 4), np.float32), "product")
print([name for name in ("keras", "tensorflow") if name in sys.modules])
"""


def test_no_keras_is_loaded(tmp_path):
    path = write_onnx(tmp_path / "a.onnx")
    done = subprocess.run(
        [sys.executable, "-c", FRESH, path], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "[]", done.stderr


def small_network(scale=1 / 255, epsilon=1e-3, max_value=None, inner="relu", skip=False):
    """Build a network with a nested one; all weights are equal from call to call."""
    nested = keras.Sequential(
        [keras.Input((4, 4, 2)), keras.layers.ReLU(max_value), keras.layers.Activation(inner)]
    )
    images = keras.Input((4, 4, 3))
    scaled = keras.layers.Rescaling(scale)(images)
    maps = keras.layers.Conv2D(2, 1, kernel_initializer="ones")(scaled)
    normal = keras.layers.BatchNormalization(epsilon=epsilon)(maps)
    outputs = nested(maps if skip else normal)
    return KerasNetwork(keras.Model(images, [keras.layers.Add()([outputs, normal])]))


def test_digest_tells_all_that_a_keras_network_computes():
    digest = small_network().digest
    assert small_network().digest == digest, "names of layers must not count"
    others = [
        small_network(scale=1),
        small_network(epsilon=10),
        small_network(max_value=6),
        small_network(inner="sigmoid"),
        small_network(skip=True),
    ]
    assert len({digest, *(other.digest for other in others)}) == 6

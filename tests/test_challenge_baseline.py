"""The example with the challenge's baseline, on rendered clips and networks of a few numbers."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from skavsc import make_scenes

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "challenge_baseline.py"
WINDOW = 800  # samples: a tenth of a second at 8 kHz


def write_network(path, name, takes, nodes, arrays=()):
    """Write a network from one example to 16 numbers."""
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        name,
        [info("x", TensorProto.FLOAT, takes)],
        [info("y", TensorProto.FLOAT, ["n", 16])],
        [numpy_helper.from_array(values.astype(np.float32), key) for key, values in arrays],
    )
    opset = [helper.make_opsetid("", 13)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return str(path)


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """The level of 16 bands of sound, and 4 x 4 grey levels of an image."""
    folder = tmp_path_factory.mktemp("networks")
    time = np.arange(WINDOW) / 8000
    waves = np.exp(2j * np.pi * time[:, None] * np.linspace(100, 3800, 16)) / WINDOW
    node = helper.make_node
    sound = [
        node("MatMul", ["x", "cosines"], ["c"]),
        node("MatMul", ["x", "sines"], ["s"]),
        node("Mul", ["c", "c"], ["cc"]),
        node("Mul", ["s", "s"], ["ss"]),
        node("Add", ["cc", "ss"], ["power"]),
        node("Add", ["power", "floor"], ["above"]),
        node("Log", ["above"], ["y"]),
    ]
    arrays = [("cosines", waves.real), ("sines", waves.imag), ("floor", np.array([1e-9]))]
    image = [
        node("ReduceMean", ["x"], ["grey"], axes=[1], keepdims=1),
        node("AveragePool", ["grey"], ["p"], kernel_shape=[56, 56], strides=[56, 56]),
        node("Flatten", ["p"], ["y"]),
    ]
    return (
        write_network(folder / "sound.onnx", "sound", ["n", WINDOW], sound, arrays),
        write_network(folder / "image.onnx", "image", ["n", 3, 224, 224], image),
    )


def test_the_baseline_learns_scenes(networks, tmp_path, capsys):
    spec = importlib.util.spec_from_file_location("challenge_baseline", EXAMPLE)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    make_scenes(
        tmp_path / "scenes",
        n_scenes=2,
        n_locations=4,
        clips_per_location=2,
        duration=1.0,
        size=(64, 64),
    )
    sound, image = networks
    report = example.main(
        [
            str(tmp_path / "scenes"),
            f"--audio-model={sound}",
            f"--audio={json.dumps({'sample_rate': 8000, 'hop': 0.1})}",
            f"--image-model={image}",
            f"--image={json.dumps({'preprocessing': 'none'})}",
            "--duration=1",
            "--folds=2",
            f"--cache={tmp_path / 'cache'}",
        ]
    )
    assert report.summary().loc["clips", "accuracy"] >= 0.75
    assert set(report.without) == {"audio", "video"}
    assert "accuracy" in capsys.readouterr().out

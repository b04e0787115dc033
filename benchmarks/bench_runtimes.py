"""Frames a second of image networks by runtime, precision and threads, against Keras ``predict``.

``python benchmarks/bench_runtimes.py [--threads 1] [--rounds 5] [--networks vgg16 ...]`` runs every
runtime that is installed: Keras, onnxruntime, MNN, LiteRT and OpenVINO. The weights are random, the
maps averaged over positions. All take turns in one process; a ratio is the median over the rounds.
Networks go to other runtimes by Keras's ONNX export, which needs ``pip install tf2onnx``; OpenVINO
is no dependency of this package either.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Run = Callable[[np.ndarray], np.ndarray]
SIZE = 224


def networks(names: list[str]) -> dict[str, Any]:
    """Build the networks, with average pooling."""
    import keras

    from skavsc.networks import squeezenet11_base, vgg16_base

    shape = (SIZE, SIZE, 3)
    builders: dict[str, Callable[[], Any]] = {
        "vgg16": lambda: vgg16_base(shape),
        "squeezenet11": lambda: squeezenet11_base(shape),
        "mobilenet": lambda: keras.applications.MobileNetV2(shape, include_top=False, weights=None),
    }
    found = {}
    for name in names:
        base = builders[name]()
        pooled = keras.layers.GlobalAveragePooling2D()(base.output)
        found[name] = keras.Model(base.inputs, pooled, name=name)
    return found


def on_keras(network: Any, precision: str) -> Run:
    """Run as the embedder does."""
    from skavsc.pretrained._runtimes import _compile_keras

    return _compile_keras(network, None, precision)


def on_onnxruntime(path: Path, n_threads: int) -> Run:
    """Run an ONNX file by onnxruntime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda images: session.run(None, {name: images})[0]


def on_openvino(path: Path, n_threads: int, precision: str) -> Run:
    """Run an ONNX file by OpenVINO."""
    import openvino

    hint = {"float32": "f32", "bfloat16": "bf16"}[precision]
    options = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": n_threads}
    compiled = openvino.Core().compile_model(path, "CPU", options)
    return lambda images: compiled(images)[0]


def on_mnn(path: Path, n_threads: int, shape: tuple[int, ...]) -> Run:
    """Run an ONNX file by MNN, as the embedder does."""
    import MNN
    import onnx

    from skavsc.pretrained._runtimes import _MNN_TILES, _mnn_file

    os.environ["SKAVSC_CACHE_DIR"] = str(path.parent)
    model = onnx.load(path)
    names = [model.graph.input[0].name], [model.graph.output[0].name]
    how = {"precision": "high", "backend": 0, "numThread": n_threads}
    manager = MNN.nn.create_runtime_manager((how,))
    manager.set_hint(_MNN_TILES, 3)
    converted = _mnn_file(model.SerializeToString(), path.stem)
    module = MNN.nn.load_module_from_file(
        str(converted), *names, runtime_manager=manager, shape_mutable=False
    )

    def run(images: np.ndarray) -> np.ndarray:
        placed = MNN.expr.const(images, list(shape), MNN.expr.NHWC, MNN.expr.float)
        return np.array(module.forward([placed])[0].read())

    return run


def on_litert(network: Any, n_threads: int) -> Run:
    """Convert to TFLite, and run it by LiteRT."""
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    content = tf.lite.TFLiteConverter.from_keras_model(network).convert()
    interpreter = Interpreter(model_content=content, num_threads=n_threads)
    [given], [result] = interpreter.get_input_details(), interpreter.get_output_details()

    def run(images: np.ndarray) -> np.ndarray:
        if tuple(given["shape"]) != images.shape:
            interpreter.resize_tensor_input(given["index"], images.shape)
            interpreter.allocate_tensors()
            given["shape"] = images.shape
        interpreter.set_tensor(given["index"], images)
        interpreter.invoke()
        return interpreter.get_tensor(result["index"])

    return run


def candidates(network: Any, folder: Path, n_threads: int, shape: tuple[int, ...]) -> dict:
    """Compile a network for what is installed."""
    import keras

    there = {
        name: importlib.util.find_spec(name) is not None
        for name in ("tf2onnx", "onnxruntime", "MNN", "openvino", "ai_edge_litert")
    }
    runs: dict[tuple[str, str], Run] = {
        ("keras", "float32"): on_keras(network, "float32"),
        ("keras", "bfloat16"): on_keras(network, "bfloat16"),
    }
    if there["ai_edge_litert"]:
        runs["litert", "float32"] = on_litert(network, n_threads)
    if not there["tf2onnx"]:
        return runs
    path = folder / f"{network.name}.onnx"
    signature = [keras.InputSpec("float32", shape)]
    network.export(path, format="onnx", input_signature=signature, verbose=False)
    if there["onnxruntime"]:
        runs["onnxruntime", "float32"] = on_onnxruntime(path, n_threads)
    if there["openvino"]:
        for precision in ("float32", "bfloat16"):
            runs["openvino", precision] = on_openvino(path, n_threads, precision)
    if there["MNN"]:
        runs["mnn", "float32"] = on_mnn(path, n_threads, shape)
    return runs


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=10)
    names = ["vgg16", "squeezenet11", "mobilenet"]
    parser.add_argument("--networks", nargs="+", choices=names, default=names)
    options = parser.parse_args()
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    shape = (options.batch_size, SIZE, SIZE, 3)
    images = np.random.default_rng(0).uniform(-100, 100, shape).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        for name, network in networks(options.networks).items():
            runs = candidates(network, Path(folder), options.threads, shape)
            runs["Keras predict", "float32"] = lambda images, network=network: network.predict(
                images, batch_size=options.batch_size, verbose=0
            )
            expected = runs["keras", "float32"](images)
            seconds: dict[tuple[str, str], list[float]] = {key: [] for key in runs}
            errors = {}
            for key, run in runs.items():
                errors[key] = np.abs(run(images) - expected).max() / np.abs(expected).max()
            for _ in range(options.rounds):
                for key, run in runs.items():
                    begin = time.perf_counter()
                    run(images)
                    seconds[key].append(time.perf_counter() - begin)
            against = np.array(seconds["Keras predict", "float32"])
            print(f"{name}, batch {options.batch_size}, {options.threads} threads")
            for key, own in seconds.items():
                rate = options.batch_size / np.median(own)
                ratio = np.median(against / own)
                print(f"  {' '.join(key):22s} {rate:7.1f} frames/s, {ratio:5.2f} x Keras predict, "
                      f"largest deviation {errors[key]:.0e}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()

"""Networks in ONNX files, run by onnxruntime, and in TFLite files, run by LiteRT."""

from __future__ import annotations

import threading
import warnings
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skavsc.exceptions import ModelError
from skavsc.pretrained._network import FileNetwork, Tensor, only_input

_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
}


class OnnxNetwork(FileNetwork):
    """A network in an ``.onnx`` file; the parameters are those of ``FileNetwork``."""

    def open(self) -> None:
        """Open the file, and note what the network takes and gives."""
        try:
            import onnx
            import onnxruntime
        except ImportError as error:
            raise ImportError(
                f'{self.name} needs onnxruntime and onnx; install with pip install "skavsc[onnx]"'
            ) from error
        # From the bytes of the digest, so that both belong to the same content.
        with open(self.path, "rb") as file:
            content = file.read()
        try:
            graph = onnx.load_from_string(content).graph
        except Exception as error:
            raise ModelError(f"{self.path} is no ONNX file, or a damaged one: {error}") from error
        # onnxruntime would read other files for them, by names that stand in this one.
        if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in _arrays(graph)):
            raise ModelError(
                f"{self.path} keeps its weights in other files; save it as one: "
                f"onnx.save(onnx.load(path), path)"
            )
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = self.n_threads
        try:
            self._session = onnxruntime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            # onnxruntime's errors share no class but this.
            raise ModelError(
                f"onnxruntime {onnxruntime.__version__} cannot run {self.path}: {error}"
            ) from error
        self.input = only_input(
            self.name, [_onnx_tensor(node) for node in self._session.get_inputs()]
        )
        self.outputs = tuple(_onnx_tensor(node) for node in self._session.get_outputs())

    def run(self, inputs: NDArray[Any], output: str) -> NDArray[Any]:
        """Run the network once on a batch of the size that it takes."""
        try:
            (result,) = self._session.run([output], {self.input.name: inputs})
        except Exception as error:
            raise ModelError(
                f"{self.name} cannot be run on an input of shape {inputs.shape}: {error}"
            ) from error
        return np.asarray(result)


def _onnx_tensor(node: Any) -> Tensor:
    if node.type not in _DTYPES:
        raise ModelError(
            f"{node.name!r} is a {node.type}; inputs and outputs of a frozen network must be "
            f"numbers, one of {list(_DTYPES)}"
        )
    shape = tuple(size if isinstance(size, int) else None for size in node.shape)
    return Tensor(node.name, shape, np.dtype(_DTYPES[node.type]))


def _arrays(graph: Any) -> Iterator[Any]:
    """Yield all arrays of a graph and of the graphs inside it."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            yield attribute.t
            yield from attribute.tensors
            for inner in (attribute.g, *attribute.graphs):
                if inner.node or inner.initializer:
                    yield from _arrays(inner)


class TFLiteNetwork(FileNetwork):
    """A network in a ``.tflite`` file; the parameters are those of ``FileNetwork``.

    Any tensor inside the network can be read as an output, by its name. Quantised ones are given
    as the numbers that they represent.
    """

    def open(self) -> None:
        """Open the file, and note what the network takes and gives."""
        try:
            import ai_edge_litert.interpreter  # noqa: F401
        except ImportError as error:
            raise ImportError(
                f'{self.name} needs ai-edge-litert; install with pip install "skavsc[tflite]"'
            ) from error
        with open(self.path, "rb") as file:
            self._content = file.read()
        if self._content[4:8] != b"TFL3":
            raise ModelError(f"{self.path} is no TFLite file")
        # An interpreter has one set of buffers, so that each thread needs its own.
        self._local = threading.local()
        plain = self._interpreter(inner=False)
        self.input = only_input(self.name, [_tflite_tensor(d) for d in plain.get_input_details()])
        self.outputs = tuple(_tflite_tensor(details) for details in plain.get_output_details())
        self._inside = {details["name"] for details in plain.get_tensor_details()}

    def output_named(self, output: str | None) -> str:
        """Return the name of the output to use; it may be a tensor inside the network."""
        if output is not None and output in self._inside:
            return output
        return super().output_named(output)

    def class_names(self) -> tuple[str, ...] | None:
        """Return the class names in the file: a list of labels is packed behind the network."""
        try:
            with zipfile.ZipFile(self.path) as packed:
                lists = [name for name in packed.namelist() if name.endswith(".txt")]
                names = packed.read(lists[0]).decode() if len(lists) == 1 else ""
        except (zipfile.BadZipFile, UnicodeDecodeError):
            return None
        return tuple(names.splitlines()) or None

    def run(self, inputs: NDArray[Any], output: str) -> NDArray[Any]:
        """Run the network once on a batch of the size that it takes."""
        inner = output not in [tensor.name for tensor in self.outputs]
        interpreter = self._interpreter(inner)
        (taken,) = interpreter.get_input_details()
        if tuple(taken["shape"]) != inputs.shape:
            interpreter.resize_tensor_input(taken["index"], inputs.shape)
            interpreter.allocate_tensors()
        interpreter.set_tensor(taken["index"], inputs)
        interpreter.invoke()
        tensors = interpreter.get_tensor_details() if inner else interpreter.get_output_details()
        given = next(details for details in tensors if details["name"] == output)
        return _plain(interpreter.get_tensor(given["index"]), given)

    def _interpreter(self, inner: bool) -> Any:
        """Return this thread's interpreter, with or without what is inside the network."""
        from ai_edge_litert.interpreter import Interpreter

        found = getattr(self._local, f"inner_{inner}", None)
        if found is None:
            try:
                with warnings.catch_warnings():
                    # It warns that tensors inside the network take memory.
                    warnings.simplefilter("ignore", UserWarning)
                    found = Interpreter(
                        model_content=self._content,
                        num_threads=self.n_threads,
                        experimental_preserve_all_tensors=inner,
                    )
                found.allocate_tensors()
            except (ValueError, RuntimeError) as error:
                raise ModelError(f"LiteRT cannot run {self.path}: {error}") from error
            setattr(self._local, f"inner_{inner}", found)
        return found


def _tflite_tensor(details: dict[str, Any]) -> Tensor:
    shape = tuple(None if size < 0 else int(size) for size in details["shape_signature"])
    return Tensor(details["name"], shape, np.dtype(details["dtype"]))


def _plain(values: NDArray[Any], details: dict[str, Any]) -> NDArray[Any]:
    """Return the numbers that quantised values represent."""
    scale, zero = details["quantization"]
    if values.dtype.kind not in "iu" or not scale:
        return values
    return ((values.astype(np.float32) - zero) * scale).astype(np.float32)

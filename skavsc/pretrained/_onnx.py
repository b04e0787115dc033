"""Networks in ONNX files, run by onnxruntime."""

from __future__ import annotations

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
        if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in _tensors(graph)):
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
        self.input = only_input(self.name, [_tensor(node) for node in self._session.get_inputs()])
        self.outputs = tuple(_tensor(node) for node in self._session.get_outputs())

    def run(self, inputs: NDArray[Any], output: str) -> NDArray[Any]:
        """Run the network once on a batch of the size that it takes."""
        try:
            (result,) = self._session.run([output], {self.input.name: inputs})
        except Exception as error:
            raise ModelError(
                f"{self.name} cannot be run on an input of shape {inputs.shape}: {error}"
            ) from error
        return np.asarray(result)


def _tensor(node: Any) -> Tensor:
    if node.type not in _DTYPES:
        raise ModelError(
            f"{node.name!r} is a {node.type}; inputs and outputs of a frozen network must be "
            f"numbers, one of {list(_DTYPES)}"
        )
    shape = tuple(size if isinstance(size, int) else None for size in node.shape)
    return Tensor(node.name, shape, np.dtype(_DTYPES[node.type]))


def _tensors(graph: Any) -> Iterator[Any]:
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
                    yield from _tensors(inner)

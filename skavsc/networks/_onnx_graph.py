"""An ONNX graph under construction, and what the functions that write layers to it share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

#: Kind of layer or operation -> function(graph, layer, its configuration, *args, **kwargs).
WRITERS: dict[str, Callable[..., Any]] = {}

# Activations, each alike in both layouts.
_ACTIVATIONS = {"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh", "elu": "Elu"}


class Tensor(NamedTuple):
    """A tensor of the graph.

    Parameters
    ----------
    name : str
        Its name.
    rank : int
        Number of its axes.
    channels_first : bool, default=False
        Whether it is stored with the channels, which Keras has last, as its second axis.
    shape : tuple of (int or None), default=()
        Its shape in Keras; known of what goes into a layer.
    """

    name: str
    rank: int
    channels_first: bool = False
    shape: tuple[int | None, ...] = ()


class Graph:
    """Nodes and arrays of a graph.

    ONNX convolves and pools channels first, all else here is channels last as in Keras. A tensor
    stays in the layout that it was made in until an operation needs the other one.
    """

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.arrays: list[Any] = []
        self._turned: dict[str, str] = {}

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add an operation of one output, and return the name of that."""
        return self.several(kind, inputs, 1, **attributes)[0]

    def several(self, kind: str, inputs: Any, n_outputs: int, **attributes: Any) -> list[str]:
        """Add an operation, and return the names of its outputs."""
        from onnx import helper

        # Inputs of a network are named by their modality, so none is called so.
        outputs = [f"{kind}_{len(self.nodes)}_{number}" for number in range(n_outputs)]
        self.nodes.append(helper.make_node(kind, inputs, outputs, **attributes))
        return outputs

    def array(self, values: Any, dtype: Any = np.float32) -> str:
        """Add an array, and return its name."""
        from onnx import numpy_helper

        name = f"array_{len(self.arrays)}"
        values = np.ascontiguousarray(values, dtype) if np.ndim(values) else np.array(values, dtype)
        self.arrays.append(numpy_helper.from_array(values, name))
        return name

    def integers(self, *values: int) -> str:
        """Add a vector of integers, as shapes and axes are, and return its name."""
        return self.array(values, np.int64)

    def last(self, tensor: Tensor) -> str:
        """Return the name of a tensor with its channels last."""
        if not tensor.channels_first:
            return tensor.name
        return self._turn(tensor.name, (0, *range(2, tensor.rank), 1))

    def first(self, tensor: Tensor) -> str:
        """Return the name of a tensor with its channels first."""
        if tensor.channels_first:
            return tensor.name
        return self._turn(tensor.name, (0, tensor.rank - 1, *range(1, tensor.rank - 1)))

    def _turn(self, name: str, axes: tuple[int, ...]) -> str:
        if name not in self._turned:
            self._turned[name] = self.node("Transpose", name, perm=list(axes))
        return self._turned[name]


def weights_of(layer: Any) -> list[NDArray[np.float32]]:
    """Return the weights of a layer as arrays."""
    return [np.asarray(weight, dtype=np.float32) for weight in layer.get_weights()]


def writes(*kinds: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def register(writer: Callable[..., Any]) -> Callable[..., Any]:
        WRITERS.update(dict.fromkeys(kinds, writer))
        return writer

    return register


def refuse(config: dict[str, Any], name: str) -> None:
    raise ValueError(
        f"layer {config['name']!r} with {name}={config.get(name)!r} cannot be written as ONNX"
    )


def require(config: dict[str, Any], **expected: Any) -> None:
    for name, value in expected.items():
        if config.get(name, value) != value:
            refuse(config, name)


def activate(graph: Graph, config: dict[str, Any], tensor: Tensor) -> Tensor:
    kind = config["activation"]
    if kind == "linear":
        return tensor
    if kind == "softmax":
        return Tensor(graph.node("Softmax", graph.last(tensor), axis=-1), tensor.rank)
    if kind == "gelu":
        # x / 2 * (1 + erf(x / sqrt(2)))
        root = graph.node("Div", tensor.name, graph.array(np.sqrt(2)))
        share = graph.node("Add", graph.node("Erf", root), graph.array(1))
        half = graph.node("Mul", tensor.name, graph.array(0.5))
        return tensor._replace(name=graph.node("Mul", half, share))
    if kind not in _ACTIVATIONS:
        refuse(config, "activation")
    return tensor._replace(name=graph.node(_ACTIVATIONS[kind], tensor.name))

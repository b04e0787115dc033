"""Keras image networks as ONNX graphs, for other runtimes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skavsc.exceptions import ModelError

# The newest that MNN's converter and onnxruntime have both understood for years.
_OPSET = 13


class _Graph:
    """Nodes and arrays of a graph under construction; tensors are channels-first."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.arrays: list[Any] = []

    def add(self, kind: str, inputs: list[str], name: str, **attributes: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def array(self, name: str, values: NDArray[Any]) -> str:
        from onnx import numpy_helper

        self.arrays.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name


def _window(layer: Any, size: tuple[int, ...]) -> dict[str, Any]:
    window: dict[str, Any] = {"kernel_shape": list(size), "strides": list(layer.strides)}
    if layer.padding == "same":
        window["auto_pad"] = "SAME_UPPER"
        if all(
            stride == 1 and length % 2 for stride, length in zip(layer.strides, size, strict=True)
        ):
            window["pads"] = [length // 2 for length in size] * 2
            del window["auto_pad"]
    return window


def _add_convolution(graph: _Graph, layer: Any, source: str) -> str:
    name = layer.name
    weights = layer.get_weights()
    inputs = [source, graph.array(f"{name}/kernel", weights[0].transpose(3, 2, 0, 1))]
    inputs += [graph.array(f"{name}/bias", bias) for bias in weights[1:]]
    activation = layer.activation.__name__
    if activation not in ("linear", "relu"):
        raise ModelError(_unknown(layer, f"with activation {activation!r}"))
    output = graph.add(
        "Conv",
        inputs,
        f"{name}/convolution" if activation == "relu" else name,
        dilations=list(layer.dilation_rate),
        group=layer.groups,
        **_window(layer, layer.kernel_size),
    )
    return graph.add("Relu", [output], name) if activation == "relu" else output


def _add_padding(graph: _Graph, layer: Any, source: str) -> str:
    (top, bottom), (left, right) = layer.padding
    pads = np.array([0, 0, top, left, 0, 0, bottom, right], dtype=np.int64)
    return graph.add("Pad", [source, graph.array(f"{layer.name}/pads", pads)], layer.name)


def _unknown(layer: Any, detail: str = "") -> str:
    return (
        f"layer {layer.name!r} ({type(layer).__name__}{' ' if detail else ''}{detail}) cannot be "
        f"converted for another runtime; use runtime='keras'"
    )


def _add_layer(graph: _Graph, layer: Any, sources: list[str]) -> str:
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        raise ModelError(_unknown(layer, "with channels first"))
    match type(layer).__name__:
        case "Conv2D":
            return _add_convolution(graph, layer, sources[0])
        case "MaxPooling2D":
            return graph.add("MaxPool", sources, layer.name, **_window(layer, layer.pool_size))
        case "ZeroPadding2D":
            return _add_padding(graph, layer, sources[0])
        case "LeakyReLU":
            slope = float(layer.negative_slope)
            return graph.add("LeakyRelu", sources, layer.name, alpha=slope)
        case "Concatenate" if layer.axis in (-1, 3):
            return graph.add("Concat", sources, layer.name, axis=1)
    raise ModelError(_unknown(layer))


def onnx_graph(
    network: Any, pooling: str | None, batch_size: int, image_size: tuple[int, int]
) -> bytes:
    """Write a network as an ONNX model with input ``images`` and output ``features``.

    Parameters
    ----------
    network : keras.Model
        A functional or sequential model of convolutions, max-pooling, zero padding, leaky ReLU and
        concatenation, channels last.
    pooling : {"avg", "max"} or None
        The pooling over positions that follows.
    batch_size : int
        Number of images.
    image_size : tuple of (int, int)
        Height and width in pixels.

    Returns
    -------
    bytes
        The serialised model, from (batch_size, 3, height, width) to (batch_size, n_features).

    Raises
    ------
    ValueError
        If the network has another kind of layer.
    """
    from onnx import TensorProto, helper

    graph = _Graph()
    top = "images"
    # The layers of a sequential model are connected by their order alone.
    in_order = type(network).__name__ == "Sequential"
    names: dict[int, str] = {id(network.inputs[0]): top}
    for layer in network.layers:
        if type(layer).__name__ == "InputLayer":
            continue
        tensors = layer.input if isinstance(layer.input, list) else [layer.input]
        inputs = [top] if in_order else [names[id(tensor)] for tensor in tensors]
        top = names[id(layer.output)] = _add_layer(graph, layer, inputs)
    top = top if in_order else names[id(network.outputs[0])]
    n_colours, n_features = network.input_shape[-1], network.output_shape[-1]
    if pooling is not None:
        kind = {"avg": "GlobalAveragePool", "max": "GlobalMaxPool"}[pooling]
        top = graph.add(kind, [top], "pooled")
    graph.add("Flatten", [top], "features")
    shape = (batch_size, n_colours, *image_size)
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            network.name,
            [helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)],
            [
                helper.make_tensor_value_info(
                    "features", TensorProto.FLOAT, (batch_size, n_features)
                )
            ],
            graph.arrays,
        ),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        # onnxruntime refuses a newer format than its own; this one goes with the opset.
        ir_version=8,
    )
    return model.SerializeToString()

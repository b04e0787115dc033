"""How each kind of layer is written to an ONNX graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from skavsc.networks._colours import colours
from skavsc.networks._onnx_graph import (
    WRITERS,
    Graph,
    Tensor,
    activate,
    refuse,
    require,
    weights_of,
    writes,
)


@writes("Activation")
def _activation(graph: Graph, layer: Any, config: Any, x: Tensor) -> Tensor:
    return activate(graph, config, x)


@writes("Dropout", "SpatialDropout1D", "SpatialDropout2D", "Identity", "ModalityMaskDropout")
def _nothing(graph: Graph, layer: Any, config: Any, x: Any) -> Any:
    return x


def _elementwise(kind: str, **attributes: Any) -> Callable[..., Tensor]:
    def write(graph: Graph, layer: Any, config: Any, x: Tensor) -> Tensor:
        given = {theirs: float(config[own]) for theirs, own in attributes.items()}
        return x._replace(name=graph.node(kind, x.name, **given))

    return write


WRITERS["ELU"] = WRITERS["ELUInFloat32"] = _elementwise("Elu", alpha="alpha")
WRITERS["LeakyReLU"] = _elementwise("LeakyRelu", alpha="negative_slope")


@writes("ReLU")
def _relu(graph: Graph, layer: Any, config: Any, x: Tensor) -> Tensor:
    require(config, negative_slope=0, threshold=0)
    name = graph.node("Relu", x.name)
    if config["max_value"] is not None:
        name = graph.node("Min", name, graph.array(config["max_value"]))
    return x._replace(name=name)


@writes("Add", "Multiply")
def _joined(graph: Graph, layer: Any, config: Any, tensors: Sequence[Tensor]) -> Tensor:
    first = any(tensor.channels_first for tensor in tensors)
    names = [graph.first(tensor) if first else tensor.name for tensor in tensors]
    kind = {"Add": "Add", "Multiply": "Mul"}[type(layer).__name__]
    name = names[0]
    for other in names[1:]:
        name = graph.node(kind, name, other)
    return Tensor(name, tensors[0].rank, first)


@writes("Recalibration")
def _recalibration(graph: Graph, layer: Any, config: Any, tensors: Sequence[Tensor]) -> Tensor:
    maps, by_channel, by_position = map(graph.first, tensors)
    weights = graph.node("Add", by_channel, by_position)
    return Tensor(graph.node("Mul", maps, weights), tensors[0].rank, True)


@writes("Concatenate")
def _concatenate(graph: Graph, layer: Any, config: Any, tensors: Sequence[Tensor]) -> Tensor:
    rank, axis = tensors[0].rank, config["axis"]
    if all(tensor.channels_first for tensor in tensors) and axis in (-1, rank - 1):
        return Tensor(graph.node("Concat", *(t.name for t in tensors), axis=1), rank, True)
    return Tensor(graph.node("Concat", *map(graph.last, tensors), axis=axis), rank)


def _window(config: dict[str, Any], size: str) -> dict[str, Any]:
    require(config, data_format="channels_last")
    strides = config["strides"] or config[size]
    same = config["padding"] == "same"
    if config["padding"] not in ("same", "valid"):
        refuse(config, "padding")
    return {
        "kernel_shape": list(config[size]),
        "strides": list(strides),
        "auto_pad": "SAME_UPPER" if same else "VALID",
    }


@writes("Conv1D", "Conv2D", "DepthwiseConv2D")
def _convolution(graph: Graph, layer: Any, config: Any, x: Tensor) -> Tensor:
    kernel, *bias = weights_of(layer)
    groups = config.get("groups", 1)
    if type(layer).__name__ == "DepthwiseConv2D":
        # (height, width, channels, multiplier); the outputs of a channel stand together.
        height, width, groups, multiplier = kernel.shape
        kernel = kernel.reshape(height, width, 1, groups * multiplier)
    kernel = np.moveaxis(kernel, (-1, -2), (0, 1))
    name = graph.node(
        "Conv",
        graph.first(x),
        graph.array(kernel),
        *map(graph.array, bias),
        dilations=list(config["dilation_rate"]),
        group=groups,
        **_window(config, "kernel_size"),
    )
    return activate(graph, config, Tensor(name, x.rank, True))


@writes("MaxPooling1D", "MaxPooling2D", "AveragePooling1D", "AveragePooling2D")
def _pooling(graph: Graph, layer: Any, config: Any, x: Tensor) -> Tensor:
    kind = "MaxPool" if type(layer).__name__.startswith("Max") else "AveragePool"
    name = graph.node(kind, graph.first(x), **_window(config, "pool_size"))
    return Tensor(name, x.rank, True)


@writes(
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
)
def _global_pooling(graph: Graph, layer: Any, config: Any, x: Tensor) -> Tensor:
    require(config, data_format="channels_last")
    kind = "ReduceMean" if "Average" in type(layer).__name__ else "ReduceMax"
    positions = range(2, x.rank) if x.channels_first else range(1, x.rank - 1)
    keep = config["keepdims"]
    name = graph.node(kind, x.name, axes=list(positions), keepdims=int(keep))
    return Tensor(name, x.rank, x.channels_first) if keep else Tensor(name, 2)


@writes("ZeroPadding2D")
def _padding(graph: Graph, layer: Any, config: Any, x: Tensor) -> Tensor:
    require(config, data_format="channels_last")
    (top, bottom), (left, right) = config["padding"]
    pads = graph.integers(0, 0, top, left, 0, 0, bottom, right)
    return Tensor(graph.node("Pad", graph.first(x), pads), x.rank, True)


@writes("BatchNormalization", "FusedBatchNormalization")
def _batch_normalization(graph: Graph, layer: Any, config: Any, x: Tensor) -> Tensor:
    if list(np.atleast_1d(config["axis"])) not in ([-1], [x.rank - 1]):
        refuse(config, "axis")
    weights = weights_of(layer)
    mean, variance = weights[-2:]
    scale = weights[0] if config["scale"] else np.ones_like(mean)
    offset = weights[-3] if config["center"] else np.zeros_like(mean)
    name = graph.node(
        "BatchNormalization",
        graph.first(x),
        *map(graph.array, (scale, offset, mean, variance)),
        epsilon=config["epsilon"],
    )
    return Tensor(name, x.rank, True)


@writes("LayerNormalization")
def _layer_normalization(graph: Graph, layer: Any, config: Any, x: Tensor) -> Tensor:
    require(config, rms_scaling=False)
    if list(np.atleast_1d(config["axis"])) not in ([-1], [x.rank - 1]):
        refuse(config, "axis")
    weights = weights_of(layer)
    width: Any = x.shape[-1]
    scale = weights[0] if config["scale"] else np.ones(width)
    offset = weights[-1] if config["center"] else np.zeros(width)
    name = graph.node(
        "LayerNormalization",
        graph.last(x),
        graph.array(scale),
        graph.array(offset),
        axis=-1,
        epsilon=config["epsilon"],
    )
    return Tensor(name, x.rank)


@writes("Dense")
def _dense(graph: Graph, layer: Any, config: Any, x: Tensor) -> Tensor:
    kernel, *bias = weights_of(layer)
    name = graph.node("MatMul", graph.last(x), graph.array(kernel))
    for offset in bias:
        name = graph.node("Add", name, graph.array(offset))
    return activate(graph, config, Tensor(name, x.rank))


@writes("BlockScaling")
def _block_scaling(graph: Graph, layer: Any, config: Any, x: Tensor) -> Tensor:
    axes = list(range(1, x.rank))
    low = graph.node("ReduceMin", x.name, axes=axes)
    high = graph.node("ReduceMax", x.name, axes=axes)
    constant = graph.node("LessOrEqual", high, low)
    one, two = graph.array(1), graph.array(2)
    extent = graph.node("Where", constant, one, graph.node("Sub", high, low))
    doubled = graph.node("Mul", graph.node("Sub", x.name, low), two)
    scaled = graph.node("Sub", graph.node("Div", doubled, extent), one)
    return x._replace(name=graph.node("Where", constant, graph.array(0), scaled))


@writes("ImagePreprocessing")
def _image_preprocessing(graph: Graph, layer: Any, config: Any, x: Tensor) -> Tensor:
    if config["mode"] == "none":
        return x
    reverse, means, factors = colours(layer.mode)
    name = graph.last(x)
    if reverse:
        name = graph.node("Gather", name, graph.integers(2, 1, 0), axis=-1)
    name = graph.node("Sub", name, graph.array(means))
    return Tensor(graph.node("Mul", name, graph.array(factors)), x.rank)


@writes("Reshape")
def _reshape(graph: Graph, layer: Any, config: Any, x: Tensor) -> Tensor:
    # A layer, whose target is without the batch, or the operation, whose shape is with it.
    shape = config["newshape"] if layer is None else (-1, *config["target_shape"])
    if sum(size == -1 for size in shape) != 1:
        refuse(config, "newshape" if layer is None else "target_shape")
    return Tensor(graph.node("Reshape", graph.last(x), graph.integers(*shape)), len(shape))


@writes("Mean")
def _mean(graph: Graph, layer: Any, config: Any, x: Tensor) -> Tensor:
    axes = np.atleast_1d(config["axis"]).tolist()
    keep = config["keepdims"]
    name = graph.node("ReduceMean", graph.last(x), axes=axes, keepdims=int(keep))
    return Tensor(name, x.rank if keep else x.rank - len(axes))


@writes("Any")
def _any(graph: Graph, layer: Any, config: Any, x: Tensor) -> Tensor:
    from onnx import TensorProto

    axes = np.atleast_1d(config["axis"]).tolist()
    numbers = graph.node("Cast", graph.last(x), to=TensorProto.FLOAT)
    most = graph.node("ReduceMax", numbers, axes=axes, keepdims=int(config["keepdims"]))
    found = graph.node("Cast", most, to=TensorProto.BOOL)
    return Tensor(found, x.rank if config["keepdims"] else x.rank - len(axes))


@writes("GreaterEqual")
def _greater_equal(graph: Graph, layer: Any, config: Any, x: Tensor, bound: float) -> Tensor:
    return x._replace(name=graph.node("GreaterOrEqual", x.name, graph.array(bound)))


@writes("ExpandDims")
def _expand_dims(graph: Graph, layer: Any, config: Any, x: Tensor) -> Tensor:
    name = graph.node("Unsqueeze", graph.last(x), graph.integers(config["axis"]))
    return Tensor(name, x.rank + 1)


@writes("ZerosLike")
def _zeros_like(graph: Graph, layer: Any, config: Any, x: Tensor) -> Tensor:
    return Tensor(graph.array(0), 0)


@writes("Where")
def _where(graph: Graph, layer: Any, config: Any, *tensors: Tensor) -> Tensor:
    return Tensor(graph.node("Where", *map(graph.last, tensors)), max(t.rank for t in tensors))


@writes("Rescaling")
def _rescaling(graph: Graph, layer: Any, config: Any, x: Tensor) -> Tensor:
    name = graph.node("Mul", graph.last(x), graph.array(config["scale"]))
    return Tensor(graph.node("Add", name, graph.array(config["offset"])), x.rank)


@writes("Flatten")
def _flatten(graph: Graph, layer: Any, config: Any, x: Tensor) -> Tensor:
    return Tensor(graph.node("Flatten", graph.last(x)), 2)


@writes("Repeat")
def _repeat(graph: Graph, layer: Any, config: Any, x: Tensor) -> Tensor:
    axis = config["axis"]
    places = np.repeat(np.arange(x.shape[axis]), config["repeats"])
    return Tensor(graph.node("Gather", graph.last(x), graph.integers(*places), axis=axis), x.rank)


def _gru_arrays(config: dict[str, Any], weights: list[Any]) -> tuple[Any, Any, Any]:
    require(config, activation="tanh", recurrent_activation="sigmoid", return_sequences=True)
    kernel, recurrent = (array.T for array in weights[:2])
    bias = np.zeros(2 * len(kernel), np.float32)
    if config["use_bias"]:
        # With reset_after there are two, of the input and of the state.
        given = weights[2].ravel()
        bias[: len(given)] = given
    return kernel, recurrent, bias


def _gru_node(graph: Graph, x: Tensor, cells: list[Any], direction: str, after: bool) -> Tensor:
    kernels, recurrents, biases = (np.stack(arrays) for arrays in zip(*cells, strict=True))
    steps = graph.node("Transpose", graph.last(x), perm=[1, 0, 2])
    found = graph.node(
        "GRU",
        steps,
        *map(graph.array, (kernels, recurrents, biases)),
        hidden_size=recurrents.shape[-1],
        direction=direction,
        linear_before_reset=int(after),
    )
    # From (steps, directions, batch, units) to (batch, steps, directions * units).
    found = graph.node("Transpose", found, perm=[2, 0, 1, 3])
    return Tensor(graph.node("Reshape", found, graph.integers(0, 0, -1)), 3)


@writes("GRU")
def _gru(graph: Graph, layer: Any, config: Any, x: Tensor) -> Tensor:
    # Backwards, Keras leaves the last step first; within a Bidirectional it does not.
    require(config, go_backwards=False)
    cell = _gru_arrays(config, weights_of(layer))
    return _gru_node(graph, x, [cell], "forward", config["reset_after"])


@writes("Bidirectional")
def _bidirectional(graph: Graph, layer: Any, config: Any, x: Tensor) -> Tensor:
    require(config, merge_mode="concat")
    if config["layer"]["class_name"] != "GRU":
        refuse(config, "layer")
    inner = config["layer"]["config"]
    weights = weights_of(layer)
    half = len(weights) // 2
    cells = [_gru_arrays(inner, part) for part in (weights[:half], weights[half:])]
    return _gru_node(graph, x, cells, "bidirectional", inner["reset_after"])


@writes("StepMask")
def _step_mask(graph: Graph, layer: Any, config: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    from onnx import TensorProto

    missing = graph.node("IsNaN", x.name)
    numbers = graph.node("Cast", missing, to=TensorProto.FLOAT)
    somewhere = graph.node("ReduceMax", numbers, axes=[-1], keepdims=0)
    present = graph.node("Not", graph.node("Cast", somewhere, to=TensorProto.BOOL))
    steps = graph.node("Where", missing, graph.array(0), x.name)
    return Tensor(steps, x.rank), Tensor(present, x.rank - 1)


@writes("StepEmbedding")
def _step_embedding(graph: Graph, layer: Any, config: Any, x: Tensor) -> Tensor:
    (vectors,) = weights_of(layer)
    return Tensor(graph.node("Add", graph.last(x), graph.array(vectors)), x.rank)


@writes("MaskedAverage")
def _masked_average(graph: Graph, layer: Any, config: Any, x: Tensor, present: Tensor) -> Tensor:
    from onnx import TensorProto

    weights = graph.node("Cast", present.name, to=TensorProto.FLOAT)
    weights = graph.node("Unsqueeze", weights, graph.integers(-1))
    weighted = graph.node("Mul", graph.last(x), weights)
    total = graph.node("ReduceSum", weighted, graph.integers(1), keepdims=0)
    count = graph.node("ReduceSum", weights, graph.integers(1), keepdims=0)
    return Tensor(graph.node("Div", total, graph.node("Max", count, graph.array(1))), 2)


@writes("MultiHeadAttention")
def _attention(
    graph: Graph, layer: Any, config: Any, query: Tensor, value: Tensor, attention_mask: Tensor
) -> Tensor:
    require(config, use_bias=True, use_gate=False, sliding_window=None)
    if list(config["attention_axes"]) != [1]:
        refuse(config, "attention_axes")
    weights = iter(weights_of(layer))
    n_heads = config["num_heads"]

    def projected(x: Tensor, axes: list[int]) -> str:
        kernel, bias = next(weights), next(weights)
        name = graph.node("MatMul", graph.last(x), graph.array(kernel.reshape(len(kernel), -1)))
        name = graph.node("Add", name, graph.array(bias.ravel()))
        heads = graph.node("Reshape", name, graph.integers(0, 0, n_heads, -1))
        return graph.node("Transpose", heads, perm=axes)

    queries = projected(query, [0, 2, 1, 3])
    keys = projected(value, [0, 2, 3, 1])
    values = projected(value, [0, 2, 1, 3])
    queries = graph.node("Mul", queries, graph.array(config["key_dim"] ** -0.5))
    scores = graph.node("MatMul", queries, keys)
    # Where a clip has no step all scores are equal; MaskedAverage leaves the result out.
    mask = graph.node("Unsqueeze", attention_mask.name, graph.integers(1))
    scores = graph.node("Where", mask, scores, graph.array(-1e30))
    found = graph.node("MatMul", graph.node("Softmax", scores, axis=-1), values)
    found = graph.node("Transpose", found, perm=[0, 2, 1, 3])
    found = graph.node("Reshape", found, graph.integers(0, 0, -1))
    kernel, bias = next(weights), next(weights)
    found = graph.node("MatMul", found, graph.array(kernel.reshape(-1, kernel.shape[-1])))
    return Tensor(graph.node("Add", found, graph.array(bias)), query.rank)

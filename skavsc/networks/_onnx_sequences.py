"""How layers over the steps of sequences are written to an ONNX graph."""

from __future__ import annotations

from typing import Any

import numpy as np

from skavsc.networks._onnx_graph import Graph, Tensor, weights_of
from skavsc.networks._onnx_layers import refuse, require, writes


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

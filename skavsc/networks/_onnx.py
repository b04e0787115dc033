"""Networks as ONNX graphs, which run without Keras."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from skavsc.networks._onnx_graph import Graph, Tensor
from skavsc.networks._onnx_layers import WRITERS

#: The version of the operators. The newest that is needed: of layer normalisation.
OPSET = 17


def onnx_model(
    network: keras.Model,
    *,
    output: str = "probabilities",
    metadata: Mapping[str, str] | None = None,
) -> bytes:
    """Write a network as an ONNX model.

    The model has the inputs of the network, by their names and with the channels last as Keras has
    them, and one output. The batch axis is of any length. Layers that act in training only, such
    as dropout, are left out.

    Parameters
    ----------
    network : keras.Model
        A network of one output, with layers of the kinds that the networks and backbones of this
        package have.
    output : str, default="probabilities"
        The name of the output.
    metadata : mapping of str to str, optional
        What the model says of itself (``metadata_props``).

    Returns
    -------
    bytes
        The serialised model.

    Raises
    ------
    ValueError
        If the network has several outputs or a layer that cannot be written.

    Notes
    -----
    Keras's own exporter goes through the graph of TensorFlow and through tf2onnx: it needs both,
    takes seconds a network, and writes a file that no runtime takes where an
    operation is not known to it, as that of GELU is.

    Examples
    --------
    >>> from skavsc.networks import audio_network, onnx_model
    >>> graph = onnx_model(audio_network(filters=(4, 4, 4)))
    """
    from onnx import TensorProto, helper

    if len(network.outputs) != 1:
        raise ValueError(f"{network.name} has {len(network.outputs)} outputs; it must have one")
    if not hasattr(network, "output_names"):
        # A sequential model is described in another way than a functional one.
        network = keras.Model(network.inputs, network.outputs, name=network.name)
    graph = Graph()
    inputs = [Tensor(given.name, len(given.shape)) for given in network.inputs]
    (result,) = write_network(graph, network, inputs)
    graph.nodes.append(helper.make_node("Identity", [graph.last(result)], [output]))

    def described(tensor: Any) -> Any:
        shape = ["n", *tensor.shape[1:]]
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(tensor.dtype))
        return helper.make_tensor_value_info(tensor.name, kind, shape)

    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            network.name,
            [described(given) for given in network.inputs],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["n", *_rest(network)])],
            graph.arrays,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        # onnxruntime refuses a newer format than its own; this one goes with the operators.
        ir_version=8,
        producer_name="skavsc",
    )
    helper.set_model_props(model, dict(metadata or {}))
    return bytes(model.SerializeToString())


def write_network(graph: Graph, network: keras.Model, inputs: list[Tensor]) -> list[Tensor]:
    """Write the layers of a functional network, and return its outputs.

    Parameters
    ----------
    graph : Graph
        What is written to.
    network : keras.Model
        The network.
    inputs : list of Tensor
        What goes into it.

    Returns
    -------
    list of Tensor
        What comes out.
    """
    description = network.get_config()
    # Operations, such as a mean, are no layers and have no weights.
    layers = {layer.name: layer for layer in network.layers}
    known = {
        (name, number): tensor
        for (name, _, number), tensor in zip(
            _listed(description["input_layers"]), inputs, strict=True
        )
    }

    def resolved(value: Any) -> Any:
        if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
            name, _, number = value["config"]["keras_history"]
            return known[name, number]._replace(shape=tuple(value["config"]["shape"]))
        if isinstance(value, dict):
            return {name: resolved(part) for name, part in value.items()}
        if isinstance(value, list | tuple):
            return [resolved(part) for part in value]
        return value

    for item in description["layers"]:
        kind, name, calls = item["class_name"], item["name"], item["inbound_nodes"]
        if kind == "InputLayer":
            continue
        if len(calls) != 1:
            raise ValueError(f"layer {name!r} ({kind}) is used {len(calls)} times, and not once")
        args, kwargs = resolved(calls[0]["args"]), resolved(calls[0]["kwargs"])
        kwargs.pop("training", None)
        if any(isinstance(mask, Tensor) for mask in _listed_tensors(kwargs.pop("mask", []))):
            raise ValueError(f"layer {name!r} ({kind}) is masked, which cannot be written as ONNX")
        layer: Any = layers.get(name)
        if kind in ("Functional", "Sequential"):
            inner = keras.Model(layer.inputs, layer.outputs)
            results: Any = write_network(graph, inner, _listed_tensors(args[0]))
        elif kind in WRITERS:
            results = WRITERS[kind](graph, layer, item["config"], *args, **kwargs)
        else:
            raise ValueError(
                f"layer {name!r} ({kind}) cannot be written as ONNX; known are {sorted(WRITERS)}"
            )
        for number, result in enumerate(_listed_tensors(results)):
            known[name, number] = result
    return [known[name, number] for name, _, number in _listed(description["output_layers"])]


def _listed(places: Any) -> list[Any]:
    """Return a list of places: Keras gives the only one bare."""
    return [places] if isinstance(places[0], str) else list(places)


def _listed_tensors(tensors: Any) -> list[Tensor]:
    return [tensors] if isinstance(tensors, Tensor) else list(tensors or [])


def _rest(network: keras.Model) -> tuple[int | None, ...]:
    return tuple(network.outputs[0].shape[1:])

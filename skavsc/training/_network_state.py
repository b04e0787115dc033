"""A Keras network as JSON and arrays, which are checked before anything of them runs."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras.src.backend.common import global_state

from skavsc.exceptions import ModelFileError

# What networks of ours and usual backbones are made of. Nothing here takes a function, a path or
# serialised code as an argument, as Lambda, TFSMLayer and TorchModuleWrapper do.
_NAMES: dict[str, set[str] | None] = {
    "keras.initializers": {
        "Constant",
        "GlorotNormal",
        "GlorotUniform",
        "HeNormal",
        "HeUniform",
        "LecunNormal",
        "LecunUniform",
        "Ones",
        "Orthogonal",
        "OrthogonalInitializer",
        "RandomNormal",
        "RandomUniform",
        "TruncatedNormal",
        "VarianceScaling",
        "Zeros",
    },
    "keras.layers": {
        "Activation",
        "Add",
        "Average",
        "AveragePooling1D",
        "AveragePooling2D",
        "BatchNormalization",
        "Bidirectional",
        "Concatenate",
        "Conv1D",
        "Conv2D",
        "Dense",
        "DepthwiseConv2D",
        "Dropout",
        "ELU",
        "Flatten",
        "GRU",
        "GRUCell",
        "GlobalAveragePooling1D",
        "GlobalAveragePooling2D",
        "GlobalMaxPooling1D",
        "GlobalMaxPooling2D",
        "Identity",
        "InputLayer",
        "LSTM",
        "LSTMCell",
        "LayerNormalization",
        "LeakyReLU",
        "MaxPooling1D",
        "MaxPooling2D",
        "Maximum",
        "MultiHeadAttention",
        "Multiply",
        "Permute",
        "ReLU",
        "Rescaling",
        "Reshape",
        "SeparableConv2D",
        "Softmax",
        "SpatialDropout1D",
        "SpatialDropout2D",
        "TimeDistributed",
        "ZeroPadding2D",
    },
    "keras.losses": {"CategoricalCrossentropy"},
    "keras.optimizers": {"Adam"},
    "keras.regularizers": {"L1", "L1L2", "L2"},
    "keras": {"DTypePolicy", "Functional", "Sequential"},
    "keras.src.ops.numpy": {"Concatenate", "ExpandDims", "Mean", "Repeat"},
    "keras.src.models.functional": {"Functional"},
    "keras.src.models.sequential": {"Sequential"},
    "keras.models": {"Functional", "Sequential"},
    # Registered by this package.
    "skavsc.networks._backbones": None,
    "skavsc.networks._layers": None,
    "skavsc.networks._normalisation": None,
    "skavsc.networks._transformer": None,
    "skavsc.training._optimizer": None,
}


def network_state(network: Any) -> dict[str, Any]:
    """Return a network as JSON and arrays.

    Parameters
    ----------
    network : keras.Model
        A compiled network.

    Returns
    -------
    dict
        ``config`` and ``compiled``, JSON; ``weights`` and ``optimizer``, lists of arrays.

    Raises
    ------
    ModelFileError
        If it has layers that are not known to be safe.
    """
    described = json.loads(json.dumps(keras.saving.serialize_keras_object(network)))
    for item in _dicts(described):
        # scikeras registers the class of any network that is pickled or copied, in no package.
        if "class_name" in item and item.get("registered_name") == f">{item['class_name']}":
            item["registered_name"] = item["class_name"]
    _check_objects(described)
    config = json.dumps(described)
    compiled = json.dumps(network.get_compile_config())
    _check_objects(json.loads(compiled))
    optimizer = network.optimizer
    return {
        "config": config,
        "compiled": compiled,
        "weights": [np.asarray(weight) for weight in network.get_weights()],
        "optimizer": [np.asarray(variable.numpy()) for variable in optimizer.variables],
    }


def network_from_state(state: dict[str, Any]) -> Any:
    """Return the network that was described by `network_state`.

    Parameters
    ----------
    state : dict
        The description.

    Returns
    -------
    keras.Model
        The network, compiled.

    Raises
    ------
    ModelFileError
        If it has layers that are not known to be safe.
    """
    config, compiled = json.loads(state["config"]), json.loads(state["compiled"])
    _check_objects(config)
    _check_objects(compiled)
    # It is compiled below, once its weights are there.
    config.pop("compile_config", None)
    _check_shapes(config, [weight.shape for weight in state["weights"]])
    network = keras.saving.deserialize_keras_object(config, safe_mode=True)
    network.set_weights(state["weights"])
    network.compile_from_config(compiled)
    network.optimizer.build(network.trainable_variables)
    for variable, value in zip(network.optimizer.variables, state["optimizer"], strict=True):
        variable.assign(value)
    return network


def _dicts(config: Any) -> Iterator[dict[str, Any]]:
    waiting = [config]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            yield item
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)


def _check_objects(config: Any) -> None:
    """Raise if a description names anything but known layers, initialisers and the like."""
    for item in _dicts(config):
        if "class_name" not in item or item["class_name"] == "__keras_tensor__":
            continue
        module, name = item.get("module"), item["class_name"]
        names = _NAMES.get(module, set()) if isinstance(module, str) else set()
        registered = item.get("registered_name")
        if names is None:
            known = registered == f"skavsc>{name}"
        else:
            known = name in names and registered in (None, name)
        if not known:
            raise ModelFileError(
                f"the network holds {module}.{name}, which is not known to be safe"
            )


def _check_shapes(config: Any, shapes: list[tuple[int, ...]]) -> None:
    """Raise unless a network has weights of the stored shapes, before memory is given to any.

    Two widths of 100,000, each that of a stored array, would make a kernel of 40 GB.
    """
    # Keras adds the variables made in this scope, which have a shape and no value, to a global list
    # of variables to initialise.
    waiting = list(global_state.get_global_attribute("uninitialized_variables") or ())
    try:
        with keras.StatelessScope(initialize_variables=False):
            # A copy: Keras takes out of it what it has used.
            network = keras.saving.deserialize_keras_object(copy.deepcopy(config), safe_mode=True)
            declared = [tuple(weight.shape) for weight in network.weights]
    finally:
        global_state.set_global_attribute("uninitialized_variables", waiting)
    if declared != shapes:
        raise ModelFileError(
            f"the layers have weights of the shapes {declared}, the stored arrays {shapes}"
        )

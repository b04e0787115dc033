"""The live networks of embedders: built on first use in a process, never pickled."""

from __future__ import annotations

import functools
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skavsc.exceptions import WeightsError
from skavsc.pretrained._registry import find_weights
from skavsc.pretrained._runtimes import (
    Compiled,
    check_runtime,
    compile_network,
    fastest,
    installed_runtimes,
)
from skavsc.pretrained._weights import draw_weights, load_weights, weights_digest

#: Architecture -> the preprocessing of its published Places365 weights.
ARCHITECTURES = {"vgg16": "places365", "squeezenet11": "squeezenet-places365"}

# What a layer computes, besides its weights; names and versions of Keras do not count.
_SETTINGS = (
    "activation",
    "axis",
    "dilation_rate",
    "negative_slope",
    "padding",
    "pool_size",
    "strides",
)


@dataclass(frozen=True)
class KerasNetwork:
    """A network with its weights, and the checksum that tells it from others.

    Parameters
    ----------
    model : keras.Model
        From preprocessed images to maps or features.
    digest : str
        The checksum of weights and structure.
    """

    model: Any
    digest: str

    @property
    def has_maps(self) -> bool:
        """Whether positions are left to pool over."""
        return len(self.model.output_shape) == 4


def open_network(network: Any, weights: str | os.PathLike[str] | None, seed: int) -> KerasNetwork:
    """Build a network, or take it from those in use.

    Parameters
    ----------
    network : str, path-like or keras.Model
        An architecture, a ``.keras`` file or a model.
    weights : str, path-like or None
        A published name or a file; None draws those of an architecture, and keeps those of a
        model.
    seed : int
        For weights that are drawn.

    Returns
    -------
    KerasNetwork
        The network.

    Raises
    ------
    WeightsError
        If files are missing or do not fit, or the network is no image network.
    """
    if not isinstance(network, str | os.PathLike):
        if weights is not None:
            load_weights(network, find_weights("the model", weights))
        # It may have been trained since the last time: never taken from memory.
        return _live(network)
    architecture = os.fspath(network)
    path = None if weights is None else find_weights(architecture, weights)
    files = [Path(file) for file in (architecture, path) if file is not None]
    stamps = tuple(
        (file.stat().st_mtime_ns, file.stat().st_size) for file in files if file.is_file()
    )
    return _opened(architecture, path, seed if path is None else 0, stamps)


@functools.lru_cache(maxsize=2)
def _opened(
    architecture: str, path: Path | None, seed: int, stamps: tuple[Any, ...]
) -> KerasNetwork:
    # Any image size fits, so that one network serves all.
    shape = (None, None, 3)
    if architecture == "vgg16":
        from skavsc.networks import vgg16_base

        model = vgg16_base(shape)
    elif architecture == "squeezenet11":
        from skavsc.networks import squeezenet11_base

        model = squeezenet11_base(shape)
    else:
        model = _load_model(architecture)
    if path is not None:
        load_weights(model, path)
    elif architecture in ARCHITECTURES:
        draw_weights(model, seed)
    return _live(model)


def _load_model(architecture: str) -> Any:
    import keras

    choices = f"network={architecture!r} is neither one of {sorted(ARCHITECTURES)} nor"
    if not os.path.exists(architecture):
        raise WeightsError(f"{choices} a .keras file that exists")
    try:
        return keras.saving.load_model(architecture, compile=False)
    except Exception as error:
        # Keras raises what its unpacking meets; to the user it is the file.
        raise WeightsError(f"{choices} a .keras file that can be loaded: {error}") from error


def _live(model: Any) -> KerasNetwork:
    inputs, outputs = model.input_shape, model.output_shape
    if len(inputs) != 4 or inputs[-1] != 3 or len(outputs) not in (2, 4):
        raise WeightsError(
            f"the network {model.name} goes from {inputs} to {outputs}; it must go from images "
            f"(n, height, width, 3) to maps (n, rows, columns, n_features) or to (n, n_features)"
        )
    structure = hashlib.blake2b(digest_size=8)
    for layer in model.layers:
        config = layer.get_config()
        structure.update(type(layer).__name__.encode())
        structure.update(repr([config[key] for key in _SETTINGS if key in config]).encode())
    return KerasNetwork(model, f"{weights_digest(model)}-{structure.hexdigest()}")


@functools.lru_cache(maxsize=4)
def compiled(
    live: KerasNetwork,
    pooling: str | None,
    runtime: str,
    batch_size: int,
    image_size: tuple[int, int],
) -> Compiled:
    """Compile a network for a runtime and a size of batches, or take it from those in use.

    Parameters
    ----------
    live : KerasNetwork
        The network.
    pooling : {"avg", "max"} or None
        The pooling over positions.
    runtime : {"keras", "onnxruntime", "mnn"}
        The runtime.
    batch_size : int
        Number of images a call.
    image_size : tuple of (int, int)
        Height and width in pixels.

    Returns
    -------
    callable
        From preprocessed images to features.
    """
    check_runtime(runtime)
    return compile_network(live.model, live.digest, pooling, runtime, batch_size, image_size)


def choose_runtime(
    live: KerasNetwork,
    pooling: str | None,
    runtime: str,
    batch_size: int,
    image_size: tuple[int, int],
) -> str:
    """Give the runtime meant, for ``"auto"`` the fastest installed one for this network.

    Parameters
    ----------
    live : KerasNetwork
        The network.
    pooling : {"avg", "max"} or None
        The pooling over positions.
    runtime : {"keras", "onnxruntime", "mnn", "auto"}
        The runtime asked for.
    batch_size : int
        Number of images a call.
    image_size : tuple of (int, int)
        Height and width in pixels.

    Returns
    -------
    str
        The name of an installed runtime that can run the network.
    """
    if runtime != "auto":
        check_runtime(runtime)
        return runtime
    candidates = {}
    for name in installed_runtimes():
        try:
            candidates[name] = compiled(live, pooling, name, batch_size, image_size)
        except ValueError:
            continue  # a layer that this runtime has no counterpart of
    return fastest(candidates, (batch_size, *image_size, 3))

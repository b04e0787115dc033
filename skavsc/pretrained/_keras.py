"""Keras networks: built on first use in a process, and compiled for a runtime."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skavsc.exceptions import ModelError, RuntimeSkippedWarning
from skavsc.pretrained._download import find_weights
from skavsc.pretrained._network import FrozenNetwork, Tensor, only_input
from skavsc.pretrained._runtimes import (
    Compiled,
    check_runtime,
    compile_for_runtime,
    fastest,
    installed_runtimes,
    precisions_of,
)
from skavsc.pretrained._weights import draw_weights, load_weights, weights_digest

#: Architecture -> the preprocessing of its published Places365 weights.
ARCHITECTURES = {"vgg16": "places365", "squeezenet11": "squeezenet-places365"}

# The settings of a layer that do not change what it computes.
_IRRELEVANT = frozenset({"build_config", "trainable"})


def _structure(config: Any) -> Any:
    """Return a network's configuration with its layers numbered in place of named.

    Keras counts the layers that a process makes, so that equal networks differ in names.
    """
    numbers: dict[str, int] = {}

    def number(value: Any) -> None:
        if isinstance(value, dict):
            name = value["config"].get("name") if isinstance(value.get("config"), dict) else None
            # The name of a dtype policy is what it is.
            if isinstance(name, str) and "DTypePolicy" not in str(value.get("class_name")):
                numbers.setdefault(name, len(numbers))
            for part in value.values():
                number(part)
        elif isinstance(value, list | tuple):
            for part in value:
                number(part)

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: plain(part) for k, part in sorted(value.items()) if k not in _IRRELEVANT}
        if isinstance(value, list | tuple):
            return [plain(part) for part in value]
        return numbers.get(value, value) if isinstance(value, str) else value

    number(config)
    return plain(config)


class KerasNetwork(FrozenNetwork):
    """A Keras network with its weights, and the checksum that tells it from others.

    Only networks of one output are run.

    Parameters
    ----------
    model : keras.Model
        The network.

    Attributes
    ----------
    digest : str
        The checksum of weights and structure.

    Examples
    --------
    >>> import keras, numpy as np
    >>> from skavsc.pretrained import KerasNetwork
    >>> inputs = keras.Input((4,))
    >>> network = KerasNetwork(keras.Model(inputs, keras.layers.Dense(2, name="vector")(inputs)))
    >>> network.input.shape, network.outputs[0].shape
    ((None, 4), (None, 2))
    >>> network(np.zeros((3, 4), dtype=np.float32), network.output_named(None)).shape
    (3, 2)
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.name = model.name
        config = _structure({"class_name": type(model).__name__, "config": model.get_config()})
        structure = hashlib.blake2b(repr(config).encode(), digest_size=8)
        self.digest = f"{weights_digest(model)}-{structure.hexdigest()}"
        self.input = only_input(self.name, [_tensor(t.name, t) for t in model.inputs])
        # A sequential model has no names of outputs.
        names = zip(getattr(model, "output_names", ["output"]), model.outputs, strict=True)
        self.outputs = tuple(_tensor(name, output) for name, output in names)

    # Compiled functions are kept by network, and a model may have been trained in between.
    def __eq__(self, other: object) -> bool:
        if not isinstance(other, KerasNetwork):
            return NotImplemented
        return self.model is other.model and self.digest == other.digest

    def __hash__(self) -> int:
        return hash((id(self.model), self.digest))

    def run(self, inputs: NDArray[Any], output: str) -> NDArray[Any]:
        """Run the network once on a batch of the size that it takes."""
        # predict() makes a data pipeline a call, some of which is never freed.
        return np.asarray(self.model.predict_on_batch(inputs))


def _tensor(name: str, tensor: Any) -> Tensor:
    import keras

    return Tensor(
        name, tuple(tensor.shape), np.dtype(keras.backend.standardize_dtype(tensor.dtype))
    )


@contextlib.contextmanager
def standard_settings() -> Iterator[None]:
    """Build networks in single precision with channels last, whatever Keras is set to."""
    import keras

    kept = (
        keras.config.dtype_policy(),
        keras.config.floatx(),
        keras.config.image_data_format(),
    )
    keras.config.set_dtype_policy("float32")
    keras.config.set_floatx("float32")
    keras.config.set_image_data_format("channels_last")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(kept[0])
        keras.config.set_floatx(kept[1])
        keras.config.set_image_data_format(kept[2])


def open_keras(
    model: Any,
    weights: str | os.PathLike[str] | None = None,
    seed: int = 0,
    output: str | None = None,
) -> KerasNetwork:
    """Build a Keras network of one output, or take it from those in use.

    Parameters
    ----------
    model : str, path-like or keras.Model
        An architecture, a ``.keras`` file or a model.
    weights : str, path-like or None
        A published name or a file; None draws those of an architecture, and keeps those of a
        model.
    seed : int
        For weights that are drawn.
    output : str, optional
        The name of the output; needed where there are several.

    Returns
    -------
    KerasNetwork
        The network.

    Raises
    ------
    WeightsError
        If files are missing or do not fit.

    Examples
    --------
    >>> from skavsc.pretrained import open_keras
    >>> open_keras("squeezenet11", seed=0).outputs[0].shape
    (None, None, None, 512)
    """
    if not isinstance(model, str | os.PathLike):
        if weights is not None:
            load_weights(model, find_weights("the model", weights))
        # Not kept in memory: it may have been trained since the last call.
        return _with_output(model, output)
    architecture = os.fspath(model)
    path = None if weights is None else find_weights(architecture, weights)
    files = [Path(file) for file in (architecture, path) if file is not None]
    stamps = tuple(
        (file.stat().st_mtime_ns, file.stat().st_size) for file in files if file.is_file()
    )
    return _opened(architecture, path, seed if path is None else 0, output, stamps)


def _with_output(model: Any, output: str | None) -> KerasNetwork:
    network = KerasNetwork(model)
    chosen = network.output_named(output)
    if len(network.outputs) == 1:
        return network
    import keras

    number = [tensor.name for tensor in network.outputs].index(chosen)
    return KerasNetwork(keras.Model(model.inputs, model.outputs[number], name=model.name))


@functools.lru_cache(maxsize=2)
def _opened(
    architecture: str,
    path: Path | None,
    seed: int,
    output: str | None,
    stamps: tuple[Any, ...],
) -> KerasNetwork:
    with standard_settings():
        return _with_output(_built(architecture, path, seed), output)


def _built(architecture: str, path: Path | None, seed: int) -> Any:
    from skavsc.networks import squeezenet11_base, vgg16_base

    # Any image size fits, so that one network serves all.
    shape = (None, None, 3)
    if architecture == "vgg16":
        model = vgg16_base(shape)
    elif architecture == "squeezenet11":
        model = squeezenet11_base(shape)
    else:
        model = _load_model(architecture)
    if path is not None:
        load_weights(model, path)
    elif architecture in ARCHITECTURES:
        draw_weights(model, seed)
    return model


def _load_model(path: str) -> Any:
    import keras

    from skavsc.pretrained._registry import REGISTRY

    choices = f"model={path!r} is neither one of {sorted([*ARCHITECTURES, *REGISTRY])} nor"
    if not os.path.exists(path):
        raise ModelError(f"{choices} an .onnx, .tflite or .keras file that exists")
    try:
        return keras.saving.load_model(path, compile=False)
    except Exception as error:
        # Keras raises errors of any type here; the cause is the file.
        raise ModelError(f"{choices} a .keras file that can be loaded: {error}") from error


@functools.lru_cache(maxsize=4)
def compiled_network(
    network: KerasNetwork,
    pooling: str | None,
    runtime: str,
    precision: str,
    batch_size: int,
    image_size: tuple[int, int],
) -> Compiled:
    """Compile a network for a runtime and a size of batches, or take it from those in use.

    Parameters
    ----------
    network : KerasNetwork
        The network.
    pooling : {"avg", "max"} or None
        The pooling over positions.
    runtime : {"keras", "onnxruntime", "mnn"}
        The runtime.
    precision : {"float32", "bfloat16"}
        What it computes in.
    batch_size : int
        Number of images a call.
    image_size : tuple of (int, int)
        Height and width in pixels.

    Returns
    -------
    callable
        From preprocessed images to features.

    Examples
    --------
    >>> import keras, numpy as np
    >>> from skavsc.pretrained import compiled_network, open_keras
    >>> images = keras.Input((8, 8, 3))
    >>> network = open_keras(keras.Model(images, keras.layers.Conv2D(2, 3)(images)))
    >>> run = compiled_network(network, "avg", "keras", "float32", batch_size=4, image_size=(8, 8))
    >>> run(np.zeros((4, 8, 8, 3), dtype=np.float32)).shape
    (4, 2)
    """
    check_runtime(runtime)
    with standard_settings():
        return compile_for_runtime(
            network.model, network.digest, pooling, runtime, precision, batch_size, image_size
        )


def choose_runtime(
    network: KerasNetwork,
    pooling: str | None,
    runtime: str,
    precision: str,
    batch_size: int,
    image_size: tuple[int, int],
) -> tuple[str, str]:
    """Return the runtime and the precision to use, for ``"auto"`` the fastest for this network.

    Parameters
    ----------
    network : KerasNetwork
        The network.
    pooling : {"avg", "max"} or None
        The pooling over positions.
    runtime : {"keras", "onnxruntime", "mnn", "auto"}
        The runtime asked for.
    precision : {"float32", "bfloat16", "auto"}
        The precision asked for.
    batch_size : int
        Number of images a call.
    image_size : tuple of (int, int)
        Height and width in pixels.

    Returns
    -------
    runtime : str
        The name of an installed runtime that can run the network.
    precision : {"float32", "bfloat16"}
        What it computes in.

    Raises
    ------
    ModelError
        If the runtime cannot do the precision.
    ImportError
        If the packages of the runtime are not installed.

    Warns
    -----
    RuntimeSkippedWarning
        If ``runtime="auto"`` and an installed runtime does not start.

    Examples
    --------
    >>> import keras
    >>> from skavsc.pretrained import choose_runtime, open_keras
    >>> images = keras.Input((8, 8, 3))
    >>> network = open_keras(keras.Model(images, keras.layers.Conv2D(2, 3)(images)))
    >>> choose_runtime(network, "avg", "keras", "float32", batch_size=4, image_size=(8, 8))
    ('keras', 'float32')
    """
    if runtime != "auto":
        check_runtime(runtime)
        possible = precisions_of(runtime, precision)
        if not possible:
            raise ModelError(
                f"precision={precision!r}, but runtime={runtime!r} computes in float32; use "
                f"precision='float32' or 'auto', or runtime='keras'"
            )
        if possible[-1] == "bfloat16":
            # Now, and not in transform: it needs a network that can be copied.
            compiled_network(network, pooling, runtime, "bfloat16", batch_size, image_size)
        return runtime, possible[-1]
    candidates: dict[tuple[str, str], Compiled] = {}
    failures: dict[str, Exception] = {}
    shape = (batch_size, *image_size, 3)
    for name in installed_runtimes():
        for each in precisions_of(name, precision):
            try:
                run = compiled_network(network, pooling, name, each, batch_size, image_size)
                run(np.zeros(shape, dtype=np.float32))
                candidates[name, each] = run
            except Exception as error:
                # The choice is between those that run, whatever the others raise.
                failures[name] = error
    if not candidates:
        # It is always installed.
        raise failures["keras"]
    for name, _ in candidates:
        # It runs, if not in every precision.
        failures.pop(name, None)
    _warn_of_skipped(failures)
    return fastest(candidates, shape)


def _warn_of_skipped(failures: dict[str, Exception]) -> None:
    """Warn of runtimes that do not start, but not of those that lack a layer of the network."""
    for name, error in failures.items():
        if not isinstance(error, ModelError):
            warnings.warn(
                f"runtime={name!r} is installed but does not start, and runtime='auto' takes "
                f"another one: {type(error).__name__}: {error}; repair or uninstall its packages, "
                "or name the runtime to use",
                RuntimeSkippedWarning,
                stacklevel=2,
            )

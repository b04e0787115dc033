"""The precision of networks: float32 or, on processors with units for it, bfloat16."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: What an estimator's ``precision`` may be.
PRECISIONS = ("float32", "bfloat16", "auto")

# As Linux names them. Others compute bfloat16 by float32, and take longer.
_UNITS = {"amx_bf16", "avx512_bf16", "avx10_2"}


@functools.cache
def has_bfloat16_units() -> bool:
    """Return whether the processor multiplies numbers in bfloat16; False where that is unknown."""
    try:
        described = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    flags = (line for line in described.splitlines() if line.startswith("flags"))
    return bool(_UNITS & set(next(flags, "").split()))


def choose_precision(precision: str) -> str:
    """Return the precision to compute in.

    Parameters
    ----------
    precision : {"float32", "bfloat16", "auto"}
        The precision asked for.

    Returns
    -------
    {"float32", "bfloat16"}
        For ``"auto"`` bfloat16 where the processor has units for it.

    Examples
    --------
    >>> from skavsc.pretrained import choose_precision
    >>> choose_precision("auto") in ("float32", "bfloat16")
    True
    """
    if precision != "auto":
        return precision
    return "bfloat16" if has_bfloat16_units() else "float32"


def lower_precision(network: Any) -> None:
    """Set the layers of a network that go from maps to maps to compute in bfloat16.

    Convolutions and the layers between them take most of the time. Weights, gradients, averages
    over positions, recurrent layers and scores stay in float32; so do the layers that scale the
    input, decibels and colours, of which bfloat16 would keep three digits.

    Parameters
    ----------
    network : keras.Model
        The network, which is changed in place.
    """
    import keras

    policy = keras.DTypePolicy("mixed_bfloat16")
    for layer in _layers_on_maps(network):
        layer.dtype_policy = policy


@contextlib.contextmanager
def computing_in(network: Any, precision: str) -> Iterator[None]:
    """Set the precision of a network for the length of a block, as ``lower_precision`` does.

    Parameters
    ----------
    network : keras.Model
        The network.
    precision : {"float32", "bfloat16"}
        The precision.

    Yields
    ------
    None
        The network computes so inside of the ``with``.

    Examples
    --------
    >>> import keras
    >>> from skavsc.pretrained import computing_in
    >>> images = keras.Input((8, 8, 3))
    >>> network = keras.Model(images, keras.layers.Conv2D(2, 3)(images))
    >>> with computing_in(network, "bfloat16"):
    ...     network.layers[1].compute_dtype
    'bfloat16'
    >>> network.layers[1].compute_dtype
    'float32'
    """
    kept = [(layer, layer.dtype_policy) for layer in _layers_on_maps(network)]
    try:
        if precision == "bfloat16":
            lower_precision(network)
        yield
    finally:
        for layer, policy in kept:
            layer.dtype_policy = policy


def _layers_on_maps(network: Any) -> Iterator[Any]:
    import keras

    from skavsc.networks import BlockScaling, ImagePreprocessing

    scaling = (
        BlockScaling,
        ImagePreprocessing,
        keras.layers.InputLayer,
        keras.layers.Normalization,
        keras.layers.Rescaling,
    )
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            yield from _layers_on_maps(layer)
        elif not isinstance(layer, scaling) and all(
            len(tensor.shape) == 4 for tensor in keras.tree.flatten([layer.input, layer.output])
        ):
            yield layer

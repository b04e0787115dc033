"""Keras's backend as one process has it: settings, seeds, and forks, which it does not survive."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

# Settings and seeds are of the process: two networks built or trained at once in threads would
# draw from each other's.
ONE_AT_A_TIME = threading.RLock()

_process: int | None = None


def check_process() -> None:
    """Note that this process uses the backend; raise if it is a fork of one that did.

    The threads of TensorFlow and JAX are not there in a fork: what waits for them never ends.

    Raises
    ------
    RuntimeError
        If it is such a fork.
    """
    global _process
    if _process is None:
        _process = os.getpid()
    elif _process != os.getpid() and keras.backend.backend() != "torch":
        raise RuntimeError(
            f"this process is a fork of process {_process}, in which a network was trained, "
            f"loaded or used; {keras.backend.backend()} does not work in a fork, and would wait "
            "for ever. Load the model in each worker after the fork (gunicorn without --preload), "
            'or start workers anew: multiprocessing.get_context("spawn"), joblib\'s "loky"'
        )


@contextmanager
def default_settings() -> Iterator[None]:
    """Build networks in float32 with channels last, whatever Keras's global settings are."""
    config = keras.config
    with ONE_AT_A_TIME:
        before = config.floatx(), config.dtype_policy(), config.image_data_format()
        try:
            config.set_floatx("float32")
            config.set_dtype_policy("float32")
            config.set_image_data_format("channels_last")
            yield
        finally:
            config.set_floatx(before[0])
            config.set_dtype_policy(before[1])
            config.set_image_data_format(before[2])


@contextmanager
def without_retracing_warning() -> Iterator[None]:
    """Silence TensorFlow's warning that a function is traced again and again.

    Each fitted network traces its prediction once; TensorFlow, which counts by the place in the
    code, takes the fifth network of a cross-validation for a loop that retraces one.
    """
    logger = logging.getLogger("tensorflow")

    def is_other(record: logging.LogRecord) -> bool:
        return "tf.function retracing" not in record.getMessage()

    logger.addFilter(is_other)
    try:
        yield
    finally:
        logger.removeFilter(is_other)


def gradients_of(
    function: Callable[[list[Any]], Any], values: list[Any]
) -> list[NDArray[np.float32]]:
    """Compute the gradient of a function, for which Keras has no name of its own.

    Parameters
    ----------
    function : callable
        From tensors of Keras's backend to a scalar one.
    values : list of tensors
        Where the gradient is computed.

    Returns
    -------
    list of ndarray
        The derivative with respect to each value, of its shape.

    Examples
    --------
    >>> import keras
    >>> from skavsc.training import gradients_of
    >>> value = keras.ops.convert_to_tensor([1.0, 3.0])
    >>> gradients_of(lambda values: keras.ops.sum(values[0] ** 2), [value])
    [array([2., 6.], dtype=float32)]
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(values)
            outcome = function(values)
        gradients = tape.gradient(outcome, values)
    elif backend == "jax":
        import jax

        gradients = jax.grad(function)(values)
    else:
        import torch

        leaves = [value.detach().requires_grad_() for value in values]
        gradients = torch.autograd.grad(function(leaves), leaves)
    return [np.asarray(keras.ops.convert_to_numpy(gradient)) for gradient in gradients]

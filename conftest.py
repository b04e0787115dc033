"""Settings of the tests and of the examples in docstrings."""

from __future__ import annotations

import gc
from contextlib import contextmanager, nullcontext

import pytest

# Half a million objects of imported packages live as long as the process. Python's garbage
# collector went through them again and again, for a quarter of the time of tests with networks.
gc.disable()


def pytest_collection_finish():
    """Collect garbage of tests alone from now on."""
    gc.collect()
    gc.freeze()
    gc.enable()


@contextmanager
def without_graphs(without=True):
    """Have TensorFlow run its functions step by step for a while, or build graphs of them."""
    import keras

    if keras.backend.backend() != "tensorflow":
        yield
        return
    import tensorflow as tf

    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(without)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)


@pytest.fixture(scope="session")
def eager():
    """The context manager ``eager(on=True)``: TensorFlow runs step by step, without graphs.

    Graphs take seconds a network to build, which a training of one or two steps is not worth.
    """
    return without_graphs


@pytest.fixture
def eagerly():
    """In this test, TensorFlow runs step by step."""
    with without_graphs():
        yield


@pytest.fixture(scope="module")
def all_eagerly():
    """In all tests of this module, TensorFlow runs step by step."""
    with without_graphs():
        yield


@pytest.fixture(autouse=True)
def examples_eagerly(request):
    """Examples in docstrings that train networks do so step by step, few steps as they are."""
    example = isinstance(request.node, pytest.DoctestItem)
    trains = example and "Classifier(" in request.node.dtest.docstring
    with without_graphs() if trains else nullcontext():
        yield

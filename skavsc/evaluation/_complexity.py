"""How large and how fast the modules of a classifier are."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from skavsc._sklearn_compat import BaseSearchCV, _num_samples
from skavsc.visual import ImageEmbedder

# The parameters of linear and nearest-centroid models, covariances and scalers.
_LEARNED = ("coef_", "intercept_", "mean_", "scale_", "means_", "theta_", "var_", "components_")


def complexity_report(estimator: Any, X: Any = None, *, n_repeats: int = 3) -> pd.DataFrame:
    """Count the parameters and operations of every module, and measure its time.

    Parameters
    ----------
    estimator : estimator or keras.Model
        A fitted classifier, transformer, pipeline, search or fusion; or a network.
    X : array-like or pandas.DataFrame of n_clips rows, optional
        Clips to measure the time with; for a clip table it includes reading the files.
    n_repeats : int, default=3
        Number of measurements, of which the shortest counts, at least 1.

    Returns
    -------
    pandas.DataFrame
        One row per module, the whole first, named as scikit-learn names nested parameters:

        * ``parameters``: of the networks (those of batch normalisation's statistics included) and
          of linear models, scalers and the like; 0 for what learns nothing, and for frozen
          networks in ``.onnx`` and ``.tflite`` files and classifiers that were loaded with
          ``runtime="onnxruntime"``, which are not counted;
        * ``trainable_parameters``: those of them that training changes;
        * ``multiply_accumulates``: for one segment of a network, for one row of a linear model; of
          convolutions, dense and recurrent layers; NaN where it is not known;
        * ``bytes``: of the parameters;
        * ``ms_per_clip``: milliseconds, where X is given and the module is a step of a pipeline, a
          part of a union, or the whole; else NaN.

    Raises
    ------
    ValueError
        If ``n_repeats`` is below 1.

    Notes
    -----
    Times are of the machine, and of all its other work. A module that keeps features
    (``memory=``) is measured with them kept.

    References
    ----------
    Naranjo-Alcazar et al.: Squeeze-excitation convolutional recurrent neural networks for
    audio-visual scene classification. DCASE 2021, arXiv 2107.13180.

    Examples
    --------
    >>> from skavsc.evaluation import complexity_report
    >>> from skavsc.networks import audio_network
    >>> complexity_report(audio_network())["parameters"].tolist()
    [323274]
    """
    if n_repeats < 1:
        raise ValueError(f"n_repeats={n_repeats!r} must be at least 1")
    rows = dict(_modules(estimator, "", X, n_repeats))
    return pd.DataFrame.from_dict(
        {name or "whole": row for name, row in rows.items()}, orient="index"
    ).astype({"parameters": "int64", "trainable_parameters": "int64", "bytes": "int64"})


def _modules(
    estimator: Any, name: str, X: Any, n_repeats: int
) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield the row of an estimator, the sum of its parts, then those of the parts."""
    while isinstance(estimator, BaseSearchCV | FrozenEstimator):
        searched = isinstance(estimator, BaseSearchCV)
        estimator = estimator.best_estimator_ if searched else estimator.estimator
    parts = []
    given = X
    for part_name, part in _parts(estimator):
        known = isinstance(estimator, Pipeline) or hasattr(estimator, "transformers_")
        full_name = f"{name}__{part_name}" if name else part_name
        parts.append(list(_modules(part, full_name, given if known else None, n_repeats)))
        if isinstance(estimator, Pipeline) and given is not None and hasattr(part, "transform"):
            given = part.transform(given)
    row = _own_row(estimator)
    if row is None:
        firsts = [dict(found[0][1]) for found in parts] or [_row(0, 0, 0.0, 0)]
        row = {key: sum(first[key] for first in firsts) for key in firsts[0]}
    row["ms_per_clip"] = np.nan if X is None else _milliseconds(estimator, X, n_repeats)
    yield name, row
    for found in parts:
        yield from found


def _parts(estimator: Any) -> list[tuple[str, Any]]:
    """Return the fitted parts of an estimator, by name."""
    if isinstance(estimator, Pipeline):
        return [(name, step) for name, step in estimator.steps if step not in (None, "passthrough")]
    if hasattr(estimator, "transformers_"):
        return [(name, part) for name, part, *_ in estimator.transformers_]
    if hasattr(estimator, "audio_") and hasattr(estimator, "visual_"):
        return [("audio", estimator.audio_), ("visual", estimator.visual_)]
    named = [name for name, *_ in getattr(estimator, "estimators", None) or ()]
    fitted = getattr(estimator, "estimators_", ())
    return list(zip(named, fitted, strict=True)) if len(named) == len(fitted) else []


def _own_row(estimator: Any) -> dict[str, float] | None:
    """Return the counts of what holds its own parameters; None for what only holds others."""
    if _is_network(estimator):
        return _network_row(estimator)
    if hasattr(estimator, "keras_classifier_"):
        segments = estimator.keras_classifier_
        if hasattr(segments, "model_"):
            return _network_row(segments.model_)
        # Loaded as an ONNX model alone.
        return _row(0, 0, np.nan, len(segments.graph))
    if isinstance(estimator, ImageEmbedder):
        network = getattr(estimator.open_network().network, "model", None)
        if not _is_network(network):
            return None
        # Frozen, however it was built.
        return {**_network_row(network), "trainable_parameters": 0}
    arrays = [np.asarray(getattr(estimator, name)) for name in _LEARNED if hasattr(estimator, name)]
    if not arrays:
        return None
    n_parameters = sum(array.size for array in arrays)
    operations = estimator.coef_.size if hasattr(estimator, "coef_") else np.nan
    return _row(n_parameters, n_parameters, operations, sum(array.nbytes for array in arrays))


def _is_network(item: Any) -> bool:
    # Where Keras is not loaded there is none, and it need not be.
    keras = sys.modules.get("keras")
    return keras is not None and isinstance(item, keras.Model)


def _row(parameters: int, trainable: int, operations: float, n_bytes: int) -> dict[str, float]:
    return {
        "parameters": parameters,
        "trainable_parameters": trainable,
        "multiply_accumulates": operations,
        "bytes": n_bytes,
    }


def _network_row(network: Any) -> dict[str, float]:
    import keras

    sizes = [int(np.prod(weight.shape)) for weight in network.weights]
    widths = [_itemsize(keras.backend.standardize_dtype(w.dtype)) for w in network.weights]
    shapes = [(1, *given.shape[1:]) for given in network.inputs]
    operations = np.nan
    # The images of a backbone alone may have any size.
    if all(size is not None for shape in shapes for size in shape):
        operations = _multiply_accumulates(network, shapes)
    return _row(
        network.count_params(),
        sum(int(np.prod(weight.shape)) for weight in network.trainable_weights),
        operations,
        sum(size * width for size, width in zip(sizes, widths, strict=True)),
    )


def _itemsize(dtype: str) -> int:
    # NumPy has no bfloat16, which is as wide as float16.
    return np.dtype("float16" if dtype == "bfloat16" else dtype).itemsize


def _multiply_accumulates(network: Any, shapes: list[tuple[Any, ...]]) -> float:
    """Count the multiply-accumulates of a network for inputs of given shapes."""
    import keras

    nested = [layer for layer in network.layers if isinstance(layer, keras.Model)]
    leaves = [
        layer for layer in network.layers if not isinstance(layer, keras.Model) and _kernels(layer)
    ]
    total = 0.0
    if leaves:
        probe = keras.Model(network.inputs, [layer.output for layer in leaves])
        tensors = [
            keras.KerasTensor(shape, dtype=given.dtype)
            for shape, given in zip(shapes, network.inputs, strict=True)
        ]
        outputs = probe.compute_output_spec(tensors if len(tensors) > 1 else tensors[0])
        outputs = outputs if isinstance(outputs, list | tuple) else [outputs]
        for layer, output in zip(leaves, outputs, strict=True):
            positions = int(np.prod(output.shape[:-1]))
            if getattr(layer, "return_sequences", True) is False:
                positions = int(np.prod(layer.input.shape[1:-1]))
            total += positions * sum(int(np.prod(kernel.shape)) for kernel in _kernels(layer))
    for inner in nested:
        total += _multiply_accumulates(inner, _shapes_within(inner, shapes))
    return total


def _kernels(layer: Any) -> list[Any]:
    """Return the weights that every position of the output is multiplied by."""
    return [weight for weight in layer.weights if "kernel" in weight.name]


def _shapes_within(inner: Any, shapes: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return the shapes of the inputs of a nested network: of images, all those of a segment."""
    found = []
    for given in inner.inputs:
        own = given.shape[1:]
        for shape in shapes:
            tail = shape[len(shape) - len(own) :]
            if all(size in (None, actual) for size, actual in zip(own, tail, strict=True)):
                found.append((int(np.prod(shape[: len(shape) - len(own)])), *tail))
                break
        else:
            found.append((1, *own))
    return found


def _milliseconds(estimator: Any, X: Any, n_repeats: int) -> float:
    """Measure the time that an estimator takes for a clip."""
    run = getattr(estimator, "predict_proba", None) or getattr(estimator, "transform", None)
    if run is None:
        return np.nan
    times = []
    for _ in range(n_repeats):
        started = time.perf_counter()
        run(X)
        times.append(time.perf_counter() - started)
    return 1000 * min(times) / max(_num_samples(X), 1)

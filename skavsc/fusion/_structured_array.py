"""Writing the outputs of several transformers into one structured array."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import issparse

from skavsc._clips import rate_of, with_rate
from skavsc._sklearn_compat import _num_samples


def _check_output(output: Any, X: Any, name: str) -> NDArray[Any]:
    """Return a transformer's output as an array with one row for each of X."""
    n_rows = _num_samples(X)
    if isinstance(output, pd.DataFrame | pd.Series):
        if isinstance(X, pd.DataFrame | pd.Series) and not output.index.equals(X.index):
            raise ValueError(
                f"transformer {name!r} changed the index of the rows; a transformer of clips must "
                f"keep every row in its place"
            )
        output = output.to_numpy()
    if issparse(output) or not hasattr(output, "__array__") or np.ndim(output) == 0:
        raise TypeError(
            f"transformer {name!r} returned {type(output).__name__}, which is no dense array; end "
            f"its pipeline with a transformer that returns one"
        )
    array = np.asarray(output)
    if array.dtype == object and array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]  # lazy frames as BaggingClassifier passes them
    if len(array) != n_rows:
        raise ValueError(
            f"transformer {name!r} returned {len(array)} rows for {n_rows} clips; it must return "
            f"one row per clip, NaN where there is nothing"
        )
    if array.dtype.kind not in "fiub" and not _holds_lazy_arrays(array):
        raise TypeError(
            f"transformer {name!r} returned values of type {array.dtype}, which are not numbers "
            f"nor lazy frames; add a transformer that makes features of them"
        )
    return array


def _holds_lazy_arrays(array: NDArray[Any]) -> bool:
    """Return whether each item is None, or has a shape and can become an array."""
    return (
        array.dtype == object
        and array.ndim == 1
        and all(
            item is None or (hasattr(item, "__array__") and getattr(item, "shape", ()))
            for item in array
        )
    )


def _field_type(array: NDArray[Any]) -> np.dtype[Any]:
    """Return the type of a field for such rows; lazy frames stay unread."""
    if array.dtype == object:
        return np.dtype((object, array.shape[1:]))
    values, rate = np.empty(0, dtype=np.float32), rate_of(array)
    return np.dtype(
        (values.dtype if rate is None else with_rate(values, rate).dtype, array.shape[1:])
    )


def fill_rows(
    result: NDArray[np.void] | None, X: Any, start: int, n_clips: int, outputs: dict[str, Any]
) -> NDArray[np.void]:
    """Write the outputs for the rows X into the result, which the first rows allocate."""
    n_rows = _num_samples(X)
    if result is None:
        fields = [
            (name, _field_type(_check_output(output, X, name))) for name, output in outputs.items()
        ]
        result = np.empty(n_clips, dtype=np.dtype(fields))
    for name in list(outputs):
        array = _check_output(outputs.pop(name), X, name)
        found, first = _field_type(array), result.dtype[name]
        if found != first:
            raise ValueError(
                f"transformer {name!r} returned rows of {found.base}, shape {found.shape}, and "
                f"before of {first.base}, shape {first.shape}; all clips must have the same shape"
            )
        result[name][start : start + n_rows] = array
    return result

"""What X, y and groups may be: sources of clips, features and their rate, labels, locations."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterable, Mapping, Set
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import assert_all_finite, column_or_1d

from skavsc.exceptions import ClipTableError


def is_missing(source: Any) -> bool:
    """Return whether a cell of a clip table is missing: None, NaN or pandas.NA."""
    return (
        source is None
        or source is pd.NA
        or (isinstance(source, float | np.floating) and np.isnan(source))
    )


def clip_sources(X: Any, column: str) -> list[Any]:
    """Return the sources of one modality.

    Parameters
    ----------
    X : table, or sequence of n_clips sources
        A clip table (of pandas, polars or pyarrow, or a NumPy structured array), of which the
        column ``column`` is taken; or a list, series or array of sources (paths, arrays, pairs
        of array and rate, None), also as an array of shape (n_clips, 1).
    column : str
        The modality's column in a clip table.

    Returns
    -------
    list of n_clips sources
        Paths as str, missing ones (None, NaN, NA) as None.

    Raises
    ------
    ClipTableError
        If the table lacks the column or has it twice, X is no sequence of sources (a single
        path, a single row of a table, a dict, a set), a source is of a kind that no clip can
        be (several paths, a truth value, a dict), or a path is empty.
    """
    if isinstance(X, str | bytes | os.PathLike):
        raise ClipTableError(
            f"X is the single path {os.fspath(X)!r}; pass a list of paths, one per clip"
        )
    if isinstance(X, pd.Series) and column in X.index:
        raise ClipTableError(
            f"X is one row of a clip table, with the cells {list(X.index)}; pass a table of one "
            "row: table.iloc[[row]] in place of table.iloc[row]"
        )
    names = _column_names(X)
    if names is not None:
        if column not in names:
            raise ClipTableError(
                f"the clip table has no column {column!r}, only {names}; "
                f"rename the column that holds the paths, or pass that column alone; if no clip "
                f"has {column}, add the column with None in every row"
            )
        if names.count(column) > 1:
            raise ClipTableError(
                f"the clip table has {names.count(column)} columns {column!r}; keep one of them"
            )
        X = X[column]
    if isinstance(X, Mapping | Set) or not isinstance(X, Iterable):
        raise ClipTableError(
            f"X is a {type(X).__name__}; pass a clip table, or a list or array of sources"
        )
    return [_source(item, row, column) for row, item in enumerate(_as_list(X))]


def _column_names(X: Any) -> list[str] | None:
    """Return the names of a table's columns, or None if X is no table."""
    if isinstance(X, np.ndarray):
        return None if X.dtype.names is None else list(X.dtype.names)
    if not hasattr(X, "__getitem__") or not hasattr(X, "__len__"):
        return None
    # pyarrow's ``columns`` are the columns themselves.
    names = getattr(X, "column_names", None)
    if names is None:
        names = getattr(X, "columns", None)
    return None if names is None else list(names)


def _as_list(values: Any) -> list[Any]:
    if isinstance(values, np.ndarray) and values.dtype.kind in "OUS" and values.ndim == 2:
        if values.shape[1] != 1:
            raise ClipTableError(
                f"X is an array with {values.shape[1]} columns; pass a DataFrame with named "
                f"columns, or one column of sources"
            )
        values = values[:, 0]
    # pandas and polars; pyarrow, whose scalars would hide a None.
    for name in ("to_list", "to_pylist"):
        if hasattr(values, name):
            return list(getattr(values, name)())
    return list(values)


def _source(item: Any, row: int, column: str) -> Any:
    if is_missing(item):
        return None
    if isinstance(item, bytes):
        item = os.fsdecode(item)
    if isinstance(item, str) and not item.strip():
        raise ClipTableError(
            f"the {column} of clip {row} is the empty path {item!r}; where there is no file, "
            f"put None"
        )
    first: Any = ()
    if isinstance(item, list | tuple):
        first = item[:1]
    elif isinstance(item, np.ndarray):
        first = item.flat[:1]
    several_paths = any(isinstance(part, str | bytes | os.PathLike) for part in first)
    if several_paths or isinstance(item, Mapping | Set | bool | np.bool_):
        raise ClipTableError(
            f"the {column} of clip {row} is {item!r}; pass one path or array per clip, or None"
        )
    return item


def format_rows(rows: NDArray[np.intp]) -> str:
    """Return row numbers for a message: at most ten of them."""
    shown = ", ".join(str(row) for row in rows[:10])
    return f"[{shown}]" if len(rows) <= 10 else f"[{shown}, ... {len(rows)} in all]"


def _checked_column(values: Any, name: str, noun: str, n_clips: int) -> NDArray[Any]:
    """Return y or groups as an array of one value per clip, of one kind and without gaps."""
    # A list as objects: an array of strings would turn a NaN among them into the word nan, and
    # a 1 into the label "1".
    as_objects = np.array(values, dtype=object) if isinstance(values, list | tuple) else values
    column = column_or_1d(as_objects, warn=True)
    if len(column) != n_clips:
        raise ValueError(
            f"{name} has {len(column)} {noun}s for {n_clips} clips (found inconsistent numbers of "
            f"samples); pass one {noun} a clip"
        )
    missing = np.flatnonzero(pd.isna(column))
    if len(missing):
        raise ValueError(
            f"{name} has no {noun} (NaN or None) in rows {format_rows(missing)}; leave those "
            f"clips out, or fill them in"
        )
    try:
        np.unique(column)
    except TypeError:
        kinds = sorted({type(value).__name__ for value in column})
        raise ValueError(
            f"{name} holds values of different types ({', '.join(kinds)}); convert them to one, "
            f"for example by [str(value) for value in {name}]"
        ) from None
    # Again from the values as they are: a list of numbers is an array of numbers.
    return column_or_1d(values)


def check_labels(y: Any, n_clips: int, *, least: int = 2) -> NDArray[Any]:
    """Check the labels of clips.

    Parameters
    ----------
    y : array-like of shape (n_clips,)
        The labels.
    n_clips : int
        The number of rows of X.
    least : int, default=2
        The least number of classes.

    Returns
    -------
    ndarray of shape (n_clips,)
        The labels.

    Raises
    ------
    ValueError
        If there are too few of them, missing ones, ones of different types, or too few classes.
    """
    if y is None:
        raise ValueError("requires y to be passed, but the target y is None")
    labels = _checked_column(y, "y", "label", n_clips)
    if labels.dtype.kind == "f":
        assert_all_finite(labels, input_name="y")
    check_classification_targets(labels)
    if len(classes := np.unique(labels)) < least:
        raise ValueError(
            f"y holds one class only ({classes.tolist()}); a classifier needs clips of two or more"
        )
    return labels


def check_groups(groups: Any, n_clips: int) -> NDArray[Any] | None:
    """Check the recording locations of clips.

    Parameters
    ----------
    groups : array-like of shape (n_clips,) or None
        The recording location of each clip.
    n_clips : int
        The number of rows of X.

    Returns
    -------
    ndarray of shape (n_clips,) or None
        The recording locations.

    Raises
    ------
    ValueError
        If there is not one for each clip, one is missing, or they are of different types.
    """
    if groups is None:
        return None
    return _checked_column(groups, "groups", "value", n_clips)


def training_record(n_clips: int, groups: NDArray[Any] | None) -> dict[str, Any]:
    """Return what a model file says of the training of an estimator.

    Parameters
    ----------
    n_clips : int
        Number of clips that it was trained on, those held out included.
    groups : ndarray of shape (n_clips,) or None
        Their recording locations.

    Returns
    -------
    dict
        ``clips``, ``locations`` where they are known, and ``date``.
    """
    record: dict[str, Any] = {"clips": n_clips}
    if groups is not None:
        record["locations"] = len(np.unique(groups))
    return {**record, "date": datetime.datetime.now(datetime.UTC).date().isoformat()}


# In the metadata of the dtype, which indexing, pickling and joblib's workers keep. What makes new
# numbers of them (concatenation, scaling) drops it, and `numpy.save` does with a warning.
_RATE_KEY = "frames_per_second"


def with_rate(features: NDArray[Any], frames_per_second: float) -> NDArray[Any]:
    """Return a view of features that carries their rate.

    Parameters
    ----------
    features : ndarray
        The features.
    frames_per_second : float
        Number of frames, or time frames, per second.

    Returns
    -------
    ndarray
        A view.
    """
    metadata = {_RATE_KEY: float(frames_per_second)}
    return features.view(np.dtype(features.dtype, metadata=metadata))


def rate_of(features: NDArray[Any]) -> float | None:
    """Return the number of frames per second that features carry; None if they carry none."""
    metadata: Mapping[str, Any] = features.dtype.metadata or {}
    return metadata.get(_RATE_KEY)

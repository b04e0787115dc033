"""The sources of a modality: one path, array or None a clip."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Set
from typing import Any

import numpy as np
import pandas as pd

from skavsc.exceptions import ClipTableError


def is_missing(source: Any) -> bool:
    """Tell whether a cell of a clip table stands for "there is none" (None, NaN, pandas.NA)."""
    return (
        source is None
        or source is pd.NA
        or (isinstance(source, float | np.floating) and np.isnan(source))
    )


def clip_sources(X: Any, column: str) -> list[Any]:
    """Take one modality's sources out of whatever a transformer was given.

    Parameters
    ----------
    X : pandas.DataFrame, or sequence of n_clips sources
        A clip table, of which the column ``column`` is taken, or a list, Series or array of
        sources (paths, arrays, pairs of array and rate, None).
    column : str
        The modality's column in a clip table.

    Returns
    -------
    list of n_clips sources
        Path strings as they are, missing ones (None, NaN, NA) as None.

    Raises
    ------
    ClipTableError
        If the table lacks the column, X is no sequence of sources (a single path, a single row
        of a table, a dict, a set), or a path is empty.
    """
    if isinstance(X, pd.DataFrame):
        if column not in X.columns:
            raise ClipTableError(
                f"the clip table has no column {column!r}, only {list(X.columns)}; "
                f"rename the column that holds the paths, or pass that column alone; if no clip "
                f"has {column}, add the column with None in every row"
            )
        X = X[column]
    if isinstance(X, str | bytes | os.PathLike):
        raise ClipTableError(
            f"X is the single path {os.fspath(X)!r}; pass a list of paths, one a clip"
        )
    if isinstance(X, pd.Series) and column in X.index:
        raise ClipTableError(
            f"X is one row of a clip table, with the cells {list(X.index)}; pass a table of one "
            "row: table.iloc[[row]] in place of table.iloc[row]"
        )
    if isinstance(X, Mapping | Set) or not isinstance(X, Iterable):
        raise ClipTableError(
            f"X is a {type(X).__name__}; pass a clip table, or a list or array of sources"
        )
    items = X.tolist() if isinstance(X, pd.Series) else X
    sources = [None if is_missing(item) else item for item in items]
    for row, source in enumerate(sources):
        if isinstance(source, str | bytes) and not source.strip():
            raise ClipTableError(
                f"the {column} of clip {row} is the empty path {source!r}; where there is no "
                "file, put None"
            )
    return sources

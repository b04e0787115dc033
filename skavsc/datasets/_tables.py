"""What all loaders share: reading separated text, checking files, building the Bunch."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from skavsc.exceptions import ClipTableError, MediaNotFoundError, MissingClipWarning


def format_names(names: Sequence[Any], n_shown: int = 3) -> str:
    """Give the first few names, and how many more there are."""
    shown = ", ".join(map(str, names[:n_shown]))
    return shown if len(names) <= n_shown else f"{shown} and {len(names) - n_shown} more"


def read_table(path: Path, text_columns: Sequence[str]) -> pd.DataFrame:
    """Read separated text with a header; blank cells become None or NaN.

    Parameters
    ----------
    path : Path
        UTF-8 text, with or without a byte order mark, with any line ends. The separator is
        that of the header: a tab, a semicolon or a comma.
    text_columns : sequence of str
        Columns that stay text even if they look like numbers.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            header = file.readline()
        separator = max("\t;,", key=header.count)
        table = pd.read_csv(
            path,
            sep=separator,
            encoding="utf-8-sig",
            dtype=dict.fromkeys(text_columns, "object"),
            # A place may be called "NA" or "None": only an empty cell is a missing one.
            keep_default_na=False,
            na_values=[""],
            skipinitialspace=True,
            index_col=False,
        )
    except OSError as error:
        raise ClipTableError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ClipTableError(f"{path} is not UTF-8 text; save it with that encoding") from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ClipTableError(f"{path} cannot be read as a table: {error}") from error
    table.columns = table.columns.str.strip()
    for name in table.select_dtypes(["object", "string"]):
        table[name] = pd.Series(map(_stripped, table[name]), table.index, dtype=object)
    return table


def _stripped(cell: Any) -> Any:
    if isinstance(cell, str):
        return cell.strip() or None
    return None if pd.isna(cell) else cell


def require_columns(table: pd.DataFrame, names: Sequence[str], path: Path, remedy: str) -> None:
    """Raise ClipTableError if a table lacks columns."""
    missing = [name for name in names if name not in table.columns]
    if missing:
        raise ClipTableError(
            f"{path} has no column {format_names(missing)}, only {list(table.columns)}; {remedy}"
        )


def require_values(values: pd.Series, path: Path, what: str) -> None:
    """Raise ClipTableError if cells of a column are blank."""
    blank = [int(row) for row in np.flatnonzero(values.isna())]
    if blank:
        # Line 1 is the header.
        raise ClipTableError(
            f"{path} has no {what} in line {format_names([row + 2 for row in blank])}; "
            f"fill column {values.name!r} there, or remove the rows"
        )


def check_files(X: pd.DataFrame, on_error: str) -> pd.DataFrame:
    """Raise for, or blank, the cells of ``audio`` and ``video`` whose files do not exist."""
    if on_error not in ("raise", "missing"):
        raise ValueError(f"on_error must be 'raise' or 'missing', got {on_error!r}")
    X = X.copy()
    named = pd.concat([X["audio"], X["video"]]).dropna().unique()
    absent = dict.fromkeys(path for path in named if not os.path.isfile(path))
    if not absent:
        return X
    found = f"{len(absent)} of {len(named)} files do not exist: {format_names([*absent])}"
    if on_error == "raise":
        remedy = "complete the download or mend the paths, or set on_error='missing'"
        raise MediaNotFoundError(next(iter(absent)), "open", f"{found}; {remedy}")
    warnings.warn(f"{found}; they are missing (None)", MissingClipWarning, stacklevel=3)
    for column in ("audio", "video"):
        kept = [None if path in absent else path for path in X[column]]
        X[column] = pd.Series(kept, X.index, dtype=object)
    if X[["audio", "video"]].isna().all(axis=None):
        raise ClipTableError(f"{found}, so nothing is left; check the folder")
    return X


def require_unique(X: pd.DataFrame, where: str | os.PathLike[str]) -> None:
    """Raise ClipTableError if two rows hold the same clip."""
    twice = X[X.duplicated(["audio", "video"])]
    if len(twice):
        paths = twice["audio"].fillna(twice["video"]).tolist()
        raise ClipTableError(
            f"{where} lists {len(twice)} clips more than once: {format_names(paths)}; remove them"
        )


def call_groups(groups: Callable[[str], Any], names: Sequence[str]) -> np.ndarray:
    """Apply a function from a clip's name to its group."""
    found = [groups(name) for name in names]
    without = [name for name, group in zip(names, found, strict=True) if group is None]
    if without:
        raise ClipTableError(
            f"groups gives None for {len(without)} of {len(names)} clips: {format_names(without)}; "
            f"let it give a group for each"
        )
    return np.asarray(found)


def clip_bunch(
    X: pd.DataFrame, y: np.ndarray | None, groups: np.ndarray, descr: str, **more: Any
) -> Bunch:
    """Gather what a loader returns."""
    more.setdefault("target_names", [] if y is None else np.unique(y).tolist())
    return Bunch(X=X.reset_index(drop=True), y=y, groups=groups, DESCR=descr, **more)

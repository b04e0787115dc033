"""What all loaders share: reading separated text, checking files, building the Bunch."""

from __future__ import annotations

import csv
import io
import itertools
import os
import re
import unicodedata
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from skavsc.exceptions import ClipTableError, MediaNotFoundError, MissingClipWarning

# Follows the last line of a table, to find out whether that ends within quotes.
_END = "\0end of the table"
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_WINDOWS = re.compile(r"[A-Za-z]:[\\/]|\\\\")


def normalized(text: str) -> str:
    """Return text in Unicode's composed form (NFC), in which equal names are equal strings."""
    return unicodedata.normalize("NFC", text)


def format_names(names: Sequence[Any], n_shown: int = 3) -> str:
    """Return the first few names, and how many more there are."""
    shown = ", ".join(map(str, names[:n_shown]))
    return shown if len(names) <= n_shown else f"{shown} and {len(names) - n_shown} more"


def _read_cells(path: Path) -> tuple[list[str], list[list[str]], list[int]]:
    """Return the header, the rows, filled up to its length, and the line that each begins in."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        first = next((line for line in file if line.strip()), "")
        separator = max("\t;,", key=first.count)
        file.seek(0)
        reader = csv.reader(
            itertools.chain(file, [_END]), delimiter=separator, skipinitialspace=True
        )
        rows, lines, line = [], [], 1
        for cells in reader:
            cells = [cell.strip() for cell in cells]
            if len(cells) > 1 or any(cells):
                rows.append(cells)
                lines.append(line)
            line = reader.line_num + 1
    if rows.pop() != [_END]:
        raise ClipTableError(
            f"{path} cannot be read as a table: a quote that opens in line {lines[-1]} is never "
            f"closed"
        )
    if not rows:
        raise ClipTableError(f"{path} cannot be read as a table: it is empty")
    header, *rows = rows
    width = len(header)
    for cells, line in zip(rows, lines[1:-1], strict=True):
        if any(cells[width:]):
            raise ClipTableError(
                f"{path} cannot be read as a table: line {line} has {len(cells)} cells, and the "
                f"header {width}; put cells that hold a {separator!r} in double quotes"
            )
        cells[width:] = [""] * (width - len(cells))
    return header, rows, lines[1:-1]


def read_table(
    path: Path,
    files: Sequence[str],
    *,
    required: Sequence[str] = (),
    text: Sequence[str] = (),
    remedy: str,
) -> pd.DataFrame:
    """Read separated text with a header; blank cells become None or NaN.

    Parameters
    ----------
    path : Path
        UTF-8 text, with or without a byte order mark, with any line ends. The separator is
        that of the header: a tab, a semicolon or a comma. Blank lines are skipped.
    files : sequence of str
        Columns of files that there must be. They stay text even if they look like numbers.
    required : sequence of str, default=()
        Further columns that there must be.
    text : sequence of str, default=()
        Columns that stay text where they are present.
    remedy : str
        What to do about missing columns, for the message.

    Returns
    -------
    pandas.DataFrame
        The rows, indexed by the line of the file that each begins in. All text but that of
        ``files`` is in Unicode's composed form.

    Raises
    ------
    ClipTableError
        If the file cannot be read, a row has more cells than the header, or a column in use is
        missing or present twice.
    """
    try:
        header, rows, lines = _read_cells(path)
    except OSError as error:
        raise ClipTableError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ClipTableError(f"{path} is not UTF-8 text; save it with that encoding") from error
    except csv.Error as error:
        raise ClipTableError(f"{path} cannot be read as a table: {error}") from error
    header = [normalized(name) for name in header]
    missing = [name for name in (*files, *required) if name not in header]
    if missing:
        raise ClipTableError(
            f"{path} has no column {format_names(missing)}, only {header}; {remedy}"
        )
    for name in (*files, *required, *text):
        if header.count(name) > 1:
            raise ClipTableError(
                f"{path} has {header.count(name)} columns {name!r}; rename or remove one of them"
            )
    raw = [name in files for name in header]
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(header)
    for cells in rows:
        writer.writerow(
            [cell if own else normalized(cell) for cell, own in zip(cells, raw, strict=True)]
        )
    buffer.seek(0)
    table = pd.read_csv(
        buffer,
        dtype=dict.fromkeys((*files, *text), "object"),
        # A place may be called "NA" or "None": only an empty cell is a missing one.
        keep_default_na=False,
        na_values=[""],
        low_memory=False,
    )
    table.index = pd.Index(lines, dtype="int64")
    # A new table, because replacing its columns one by one takes quadratic time.
    return pd.DataFrame({name: _with_none(column) for name, column in table.items()})


def _with_none(column: pd.Series) -> pd.Series:
    """Return text with None where it is missing; numbers as they are."""
    if column.dtype.kind in "biufc":
        return column
    cells = [None if pd.isna(cell) else cell for cell in column]
    return pd.Series(cells, column.index, dtype=object)


def require_values(values: pd.Series, path: Path, what: str) -> None:
    """Raise ClipTableError if cells of a column are blank."""
    blank = [int(line) for line in values.index[values.isna()]]
    if blank:
        raise ClipTableError(
            f"{path} has no {what} in line {format_names(blank)}; fill column {values.name!r} "
            f"there, or remove the rows"
        )


def path_of(cell: str, start: Path) -> str:
    """Return the path in a cell, in the Unicode form that the disk has it in.

    Parameters
    ----------
    cell : str
        A path, relative to ``start`` or absolute.
    start : Path
        The folder where relative paths start.

    Returns
    -------
    str
        The path; the cell itself if it is a URL or an absolute path of Windows.
    """
    forms = (cell, normalized(cell), unicodedata.normalize("NFD", cell))
    candidates = [str(start / form) for form in dict.fromkeys(forms)]
    for candidate in candidates:
        if os.path.exists(candidate):
            return candidate
    return cell if _URL.match(cell) or _WINDOWS.match(cell) else candidates[0]


def _remedy(path: str) -> str:
    if _URL.match(path):
        return "the first is a URL: download the files and list their paths"
    if _WINDOWS.match(path):
        return "the first is a path of Windows: list paths of this machine, with / between folders"
    if "\\" in path:
        return "the first holds backslashes: write / between folders"
    return "complete the download or correct the paths, or set on_error='missing'"


def check_files(X: pd.DataFrame, on_error: str) -> pd.DataFrame:
    """Raise for, or replace by None, cells of ``audio`` and ``video`` whose files do not exist."""
    if on_error not in ("raise", "missing"):
        raise ValueError(f"on_error must be 'raise' or 'missing', got {on_error!r}")
    named = pd.concat([X["audio"], X["video"]]).dropna().unique()
    absent = dict.fromkeys(path for path in named if not os.path.isfile(path))
    if not absent:
        return X
    found = f"{len(absent)} of {len(named)} files do not exist: {format_names([*absent])}"
    remedy = _remedy(next(iter(absent)))
    if on_error == "raise":
        raise MediaNotFoundError(next(iter(absent)), "open", f"{found}; {remedy}")
    hint = "" if "on_error" in remedy else f"; {remedy}"
    warnings.warn(f"{found}; they are missing (None){hint}", MissingClipWarning, stacklevel=3)
    X = X.copy()
    for column in ("audio", "video"):
        kept = [None if path in absent else path for path in X[column]]
        X[column] = pd.Series(kept, X.index, dtype=object)
    if X[["audio", "video"]].isna().all(axis=None):
        raise ClipTableError(f"{found}, so nothing is left; check the folder{hint}")
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
    """Return the recording locations that a function gives for the names of clips."""
    found = [groups(name) for name in names]
    without = [name for name, group in zip(names, found, strict=True) if group is None]
    if without:
        raise ClipTableError(
            f"groups returns None for {len(without)} of {len(names)} clips: "
            f"{format_names(without)}; return a group for each"
        )
    try:
        sorted(found)
    except TypeError as error:
        # As an array, a 1 and a "1" would be one group.
        raise ClipTableError(f"groups returns values of different types: {error}") from error
    return np.asarray(found)


def clip_bunch(
    X: pd.DataFrame, y: np.ndarray | None, groups: np.ndarray, descr: str, **more: Any
) -> Bunch:
    """Return what a loader returns."""
    more.setdefault("target_names", [] if y is None else np.unique(y).tolist())
    return Bunch(X=X.reset_index(drop=True), y=y, groups=groups, DESCR=descr, **more)

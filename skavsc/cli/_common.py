"""What commands share: clip tables from arguments, messages, tables and JSON."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skavsc.datasets import load_clip_folder, load_clip_table, load_tau_urban_av
from skavsc.exceptions import MediaError, MissingClipWarning, SkavscWarning

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


def say(text: str = "") -> None:
    """Print progress to the error stream, so that results can be piped."""
    click.echo(text, err=True)


def progress() -> int:
    """Return the verbosity: progress bars only where a person sees them."""
    return int(sys.stderr.isatty())


def print_table(table: pd.DataFrame, as_json: bool, *, index: bool = True) -> None:
    """Print a table: JSON if asked for, aligned text on a terminal, CSV into a pipe."""
    if as_json:
        rows = table.reset_index() if index else table
        click.echo(json.dumps(json.loads(rows.to_json(orient="records")), indent=1))
    elif sys.stdout.isatty():
        click.echo(table.to_string(index=index, float_format="{:.3f}".format, na_rep="-"))
    else:
        click.echo(table.to_csv(index=index, float_format="%.6g"), nl=False)


def load_clips(path: str, groups: str | None) -> Any:
    """Load labelled clips from a folder, a CSV file or a set in TAU's layout.

    Parameters
    ----------
    path : str
        The folder or file.
    groups : str or None
        A regular expression that finds the recording location in a clip's name.

    Returns
    -------
    sklearn.utils.Bunch
        As from the loaders of `skavsc.datasets`.
    """
    where = Path(path)
    if (where / "meta.csv").is_file():
        return load_tau_urban_av(where, subset="all", on_error="missing")
    if where.is_file():
        return load_clip_table(where, on_error="missing")
    return load_clip_folder(where, groups=groups)


def clip_table(paths: tuple[str, ...]) -> pd.DataFrame:
    """Make a clip table of files: videos with their sound, and sound files."""
    from skavsc.datasets import kind_of_file

    rows = []
    for path in paths:
        if not os.path.exists(path):
            raise click.BadParameter(f"there is no file {path!r}")
        sound_only = kind_of_file(path) == "sound"
        rows.append({"audio": path, "video": None if sound_only else path})
    return pd.DataFrame(rows, columns=["audio", "video"], dtype=object)


@contextlib.contextmanager
def collected_failures(report: Callable[[str], None] = say) -> Iterator[dict[str, MediaError]]:
    """Collect files that cannot be read, by path, and print other warnings once.

    Yields
    ------
    dict of str to MediaError
        By absolute path; filled while the block runs.
    """
    failures: dict[str, MediaError] = {}
    seen: set[str] = set()

    def show(message: Any, category: type[Warning], *_: Any, **__: Any) -> None:
        if isinstance(message, MissingClipWarning) and message.errors:
            failures.update({os.path.abspath(error.path): error for error in message.errors})
        elif issubclass(category, SkavscWarning) and str(message) not in seen:
            seen.add(str(message))
            report(f"Warning: {message}")

    with warnings.catch_warnings():
        warnings.simplefilter("always", SkavscWarning)
        warnings.showwarning = show
        yield failures


def say_failures(failures: dict[str, MediaError]) -> None:
    """List the files that could not be read, with the cause of each."""
    if failures:
        say(f"{len(failures)} file(s) could not be read in full:")
        for path, error in sorted(failures.items()):
            say(f"  {os.path.relpath(path)}: {error.stage}: {error.cause}")


def readable(features: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which clips have features of at least one modality, (n_clips,)."""
    names = features.dtype.names
    fields = [features] if names is None else [features[name] for name in names]
    there = [~np.isnan(field.reshape(len(field), -1)).all(axis=1) for field in fields]
    return np.any(there, axis=0)

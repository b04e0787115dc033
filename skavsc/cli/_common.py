"""What commands share: clip tables from arguments, model files, messages, tables and JSON."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skavsc.datasets import kind_of_file, load_clip_folder, load_clip_table, load_tau_urban_av
from skavsc.exceptions import (
    MediaError,
    MissingClipWarning,
    MissingTrackError,
    ModelFileError,
    SkavscWarning,
    UntrustedTypeError,
)
from skavsc.pretrained import sha256_of

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


def _with_a_folder(_: click.Context, parameter: click.Parameter, path: str | None) -> str | None:
    """Refuse a file that cannot be written, before hours are spent on its content."""
    if path is not None:
        folder = Path(path).absolute().parent
        if not folder.is_dir():
            raise click.BadParameter(f"there is no folder {str(folder)!r}", param=parameter)
        if not os.access(folder, os.W_OK):
            raise click.BadParameter(f"{str(folder)!r} cannot be written", param=parameter)
    return path


def output_option(*names: str, **attributes: Any) -> Callable[[Any], Any]:
    """Return an option for a file that the command writes at its end."""
    kind = click.Path(dir_okay=False)
    return click.option(*names, type=kind, callback=_with_a_folder, **attributes)


report_option = output_option("--report", "report_path", help="An HTML report.")


def _pattern(_: click.Context, parameter: click.Parameter, text: str | None) -> str | None:
    try:
        re.compile(text or "")
    except re.error as error:
        message = f"{text!r} is no regular expression: {error}"
        raise click.BadParameter(message, param=parameter) from error
    return text


groups_option = click.option(
    "--groups",
    callback=_pattern,
    help="Of a folder: regular expression that finds the location in a clip's name.",
)


def is_in_tau_layout(path: str) -> bool:
    """Return whether a folder is a set in the layout of TAU Urban Audio-Visual Scenes."""
    return (Path(path) / "meta.csv").is_file()


def load_clips(path: str, groups: str | None, *, subset: Any = "all") -> Any:
    """Load clips from a folder, a CSV file or a set in TAU's layout.

    Parameters
    ----------
    path : str
        The folder or file.
    groups : str or None
        A regular expression that finds the recording location in a clip's name; of a folder only.
    subset : {"train", "evaluate", "test", "all"}, default="all"
        The part of a set in TAU's layout, of its first official fold.

    Returns
    -------
    sklearn.utils.Bunch
        As from the loaders of `skavsc.datasets`; ``y`` is None for clips without labels.
    """
    where = Path(path)
    if is_in_tau_layout(path):
        if groups is not None:
            raise click.UsageError(f"--groups is of folders; {path} has its locations in meta.csv")
        return load_tau_urban_av(where, subset=subset, on_error="missing")
    if where.is_file():
        if groups is not None:
            raise click.UsageError(
                f"--groups is of folders; write the locations into a column group of {path}"
            )
        clips = load_clip_table(where, on_error="missing")
        if "group" in clips.X:
            with warnings.catch_warnings():
                # Told of by now.
                warnings.simplefilter("ignore", MissingClipWarning)
                return load_clip_table(where, groups="group", on_error="missing")
        return clips
    return load_clip_folder(where, groups=groups)


def clip_table(paths: Sequence[str]) -> pd.DataFrame:
    """Make a clip table of files: videos with their sound, and sound files."""
    rows = []
    for path in paths:
        if not os.path.isfile(path):
            found = "is a folder" if os.path.isdir(path) else "does not exist"
            raise click.BadParameter(f"the file {path!r} {found}")
        sound_only = kind_of_file(path) == "sound"
        rows.append({"audio": path, "video": None if sound_only else path})
    return pd.DataFrame(rows, columns=["audio", "video"], dtype=object)


def load_model(path: str) -> Any:
    """Load a classifier from a model file."""
    from skavsc.persistence import load

    try:
        model = load(path)
    except UntrustedTypeError:
        raise
    except ModelFileError as error:
        error.add_note(
            "Give a file that `skavsc train` or skavsc.save has written. A joblib file runs code "
            "when it is loaded: if you trust it, load it in Python and save it with skavsc.save."
        )
        raise
    if not hasattr(model, "predict_proba"):
        raise click.BadParameter(
            f"{path} holds a {type(model).__name__}, which predicts no probabilities; give a "
            "model from `skavsc train`"
        )
    set_verbosity(model, 0)
    return model


def set_verbosity(model: Any, verbose: int) -> None:
    """Show or hide the progress bars of all parts of an estimator."""
    names = [name for name in model.get_params() if name.rpartition("__")[2] == "verbose"]
    model.set_params(**dict.fromkeys(names, verbose))


def write_html(report: Any, path: str, complexity: pd.DataFrame | None = None) -> None:
    """Write a report that names the command that has made it."""
    command = click.get_current_context().find_root().obj
    say(f"Report: {report.to_html(path, complexity=complexity, how_to_repeat=command)}")


class Failures:
    """Files that could not be read in full, and why.

    Attributes
    ----------
    errors : dict of (str, str) to MediaError
        By absolute path and stage.
    """

    def __init__(self) -> None:
        self.errors: dict[tuple[str, str], MediaError] = {}

    def add(self, error: MediaError) -> None:
        """Note a file that could not be read."""
        self.errors[os.path.abspath(error.path), error.stage] = error

    def say(self) -> None:
        """List the files with the cause of each; tracks that are not there are only counted."""
        silent = [error for error in self.errors.values() if isinstance(error, MissingTrackError)]
        broken: dict[str, list[MediaError]] = {}
        for (path, _), error in sorted(self.errors.items()):
            if not isinstance(error, MissingTrackError):
                broken.setdefault(path, []).append(error)
        if silent:
            say(f"{len(silent)} file(s) have sound or picture only; the rest is taken for missing")
        if broken:
            say(f"{len(broken)} file(s) could not be read in full:")
        for path, errors in broken.items():
            causes = {error.cause: error.stage for error in errors}
            for cause, stage in causes.items():
                say(f"  {os.path.relpath(path)}: {stage}: {cause}")


@contextlib.contextmanager
def collected_failures(report: Callable[[str], None] = say) -> Iterator[Failures]:
    """Collect files that cannot be read, and print other warnings once.

    Yields
    ------
    Failures
        Filled while the block runs.
    """
    failures = Failures()
    seen: set[str] = set()

    def show(message: Any, category: type[Warning], *_: Any, **__: Any) -> None:
        if isinstance(message, MissingClipWarning) and message.errors:
            for error in message.errors:
                failures.add(error)
        elif issubclass(category, SkavscWarning) and str(message) not in seen:
            seen.add(str(message))
            report(f"Warning: {message}")

    with warnings.catch_warnings():
        warnings.simplefilter("always", SkavscWarning)
        warnings.showwarning = show
        yield failures


def share_read(features: NDArray[Any]) -> NDArray[np.float64]:
    """Return the share of the features of each clip that are there, of the fuller modality."""
    names = features.dtype.names
    fields = [features] if names is None else [features[name] for name in names]
    return np.max([(~np.isnan(f)).reshape(len(f), -1).mean(axis=1) for f in fields], axis=0)


def readable(features: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which clips have features of at least one modality, (n_clips,)."""
    return share_read(features) > 0


def _digest(path: str | None) -> str | None:
    """Return a digest of the content of a file, or None if it is empty or cannot be read."""
    try:
        # A quarter of the digits tells the files of any set apart.
        return sha256_of(path)[:16] if path and os.path.getsize(path) else None
    except OSError:
        return None


def _digests(X: pd.DataFrame) -> NDArray[np.object_]:
    """Return the digests of the files of clips, (n_clips, 2), None where there is no file."""
    files = X[["audio", "video"]].astype(object)
    known = {path: _digest(path) for path in pd.unique(files.to_numpy().ravel()) if path}
    return files.map(known.get).to_numpy()


def file_digests(X: pd.DataFrame) -> str:
    """Return the digests of the files of clips for a model file, separated by spaces."""
    return " ".join(sorted({each for each in _digests(X).ravel() if each is not None}))


def trained_on(model: str, X: pd.DataFrame) -> NDArray[np.bool_] | None:
    """Return which clips a model was trained on, or None if its file does not tell.

    Parameters
    ----------
    model : str
        The model file.
    X : pandas.DataFrame of n_clips rows
        The clip table.

    Returns
    -------
    ndarray of shape (n_clips,), bool, or None
        Whether a file of the clip is one that the model was trained on, by its content.
    """
    from skavsc.persistence import model_card

    digests = model_card(model).description["training"].get("file_digests")
    if not isinstance(digests, str):
        return None
    known = set(digests.split())
    return np.array([not known.isdisjoint(files) for files in _digests(X)], dtype=bool)

"""Loading clips from a CSV file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils import Bunch

from skavsc.datasets._tables import (
    call_groups,
    check_files,
    clip_bunch,
    normalized,
    path_of,
    read_table,
    require_unique,
    require_values,
)
from skavsc.exceptions import ClipTableError


def load_clip_table(
    path: str | bytes | os.PathLike[str],
    *,
    audio: str | None = "audio",
    video: str | None = "video",
    label: str | None = "label",
    groups: str | Callable[[str], Any] | None = None,
    root: str | bytes | os.PathLike[str] | None = None,
    on_error: Literal["raise", "missing"] = "raise",
) -> Bunch:
    r"""Load a clip table from a CSV file, one row per clip.

    Nothing is decoded. The file is UTF-8 text with a header, separated by commas, semicolons or
    tabs, with any line ends, for example::

        audio,video,label,place
        sound/0001.wav,picture/0001.mp4,park,lake
        sound/0002.wav,,tram,line 5

    Blank lines are skipped; a row may have fewer cells than the header, but not more. Labels,
    groups and all other text are put into Unicode's composed form (NFC), so that equal names are
    equal; files are found whatever form the disk has their names in.

    Parameters
    ----------
    path : path-like
        The CSV file.
    audio : str, optional, default="audio"
        The column of the sound files; None if there is none. An empty cell: no sound.
    video : str, optional, default="video"
        The column of the video files; None if there is none. An empty cell: no picture. It may
        be the same column as ``audio``, for files that hold both streams.
    label : str, optional, default="label"
        The column of the labels; None if the clips have none.
    groups : str or callable, optional
        The recording location of a clip, so that clips of one location can be kept on one
        side of a split: a column, or a function of the file's name without folder and suffix
        (of the sound, or of the picture where there is no sound). By default every clip is a
        group of its own, which is right only if no two share a location.
    root : path-like, optional
        Where relative paths start. By default the CSV file's folder.
    on_error : {"raise", "missing"}, default="raise"
        What to do with listed files that do not exist: raise an error, or put None in their place
        and warn once.

    Returns
    -------
    sklearn.utils.Bunch
        With the fields

        - ``X``, DataFrame of n_clips rows in the file's order: ``audio`` and ``video`` (paths
          as str, or None), then all other columns but the label's.
        - ``y``, ndarray of shape (n_clips,), the labels (str, int or bool as they read), or
          None.
        - ``groups``, ndarray of shape (n_clips,).
        - ``target_names``, list of the labels in order.
        - ``DESCR``, str.

    Raises
    ------
    ClipTableError
        If the file cannot be read, lacks a column or has it twice, has a row with more cells
        than the header or without label, group or any file, or names a clip twice.
    MediaNotFoundError
        If listed files do not exist; the message names the first and tells how many.

    Warns
    -----
    MissingClipWarning
        If listed files do not exist and ``on_error="missing"``.

    See Also
    --------
    load_clip_folder : The same from folders, one per label.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from skavsc.datasets import load_clip_table
    >>> root = tempfile.TemporaryDirectory()
    >>> path = pathlib.Path(root.name, "clips.csv")
    >>> _ = path.write_text("file,label,place\na.mp4,park,lake\nb.mp4,tram,line 5\n")
    >>> for name in ("a.mp4", "b.mp4"):
    ...     path.with_name(name).touch()
    >>> clips = load_clip_table(path, audio="file", video="file", groups="place")
    >>> clips.y, clips.groups
    (array(['park', 'tram'], ...), array(['lake', 'line 5'], ...))
    >>> list(clips.X.columns)
    ['audio', 'video', 'place']
    >>> root.cleanup()
    """
    path = Path(os.fsdecode(path))
    files = {
        stream: name and normalized(name) for stream, name in (("audio", audio), ("video", video))
    }
    label = label and normalized(label)
    group_column = normalized(groups) if isinstance(groups, str) else None
    used = list(dict.fromkeys(column for column in files.values() if column is not None))
    if not used:
        raise ValueError("audio and video are both None; name at least one column of files")
    table = read_table(
        path,
        used,
        required=[name for name in (label, group_column) if name is not None],
        remedy="name the columns by audio=, video=, label= and groups=, or set None",
    )
    if table.empty:
        raise ClipTableError(f"{path} lists no clip")
    start = path.parent if root is None else Path(os.fsdecode(root))
    X = _files_of_clips(table, files, start)
    without = X.index[X.isna().all(axis=1)]
    if len(without):
        raise ClipTableError(
            f"{path} names neither a sound nor a video file in line {without[0]}; fill "
            f"column {used[0]!r} there, or remove the row"
        )
    require_unique(X, path)
    taken = {*used, label, "audio", "video"}
    others = table[[name for name in table.columns if name not in taken]]
    y = None
    if label is not None:
        require_values(table[label], path, "label")
        y = np.array(table[label].tolist())
    if group_column is not None:
        require_values(table[group_column], path, "group")
        found = np.array(table[group_column].tolist())
    else:
        found = _groups_by_name(X, groups)
    X = pd.concat([check_files(X, on_error), others], axis=1)
    return clip_bunch(X, y, found, f"{len(X)} clips from {path}")


def _files_of_clips(
    table: pd.DataFrame, columns: dict[str, str | None], start: Path
) -> pd.DataFrame:
    """Return the columns ``audio`` and ``video``: the paths of the files, or None."""
    return pd.DataFrame(
        {
            stream: [
                None if cell is None else path_of(cell, start)
                for cell in ([None] * len(table) if column is None else table[column])
            ]
            for stream, column in columns.items()
        },
        index=table.index,
        dtype=object,
    )


def _groups_by_name(X: pd.DataFrame, groups: Any) -> NDArray[Any]:
    """Return what a function makes of the clips' names; without one, each clip is a group."""
    if not callable(groups):
        return np.arange(len(X))
    paths = [sound or picture for sound, picture in zip(X["audio"], X["video"], strict=True)]
    return call_groups(groups, [normalized(Path(name).stem) for name in paths])

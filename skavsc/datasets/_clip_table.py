"""Clips of one's own in a CSV file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from skavsc.datasets._tables import (
    call_groups,
    check_files,
    clip_bunch,
    read_table,
    require_columns,
    require_unique,
    require_values,
)
from skavsc.exceptions import ClipTableError


def load_clip_table(
    path: str | os.PathLike[str],
    *,
    audio: str | None = "audio",
    video: str | None = "video",
    label: str | None = "label",
    groups: str | Callable[[str], Any] | None = None,
    root: str | os.PathLike[str] | None = None,
    on_error: Literal["raise", "missing"] = "raise",
) -> Bunch:
    r"""Load a clip table from a CSV file, one row a clip.

    Nothing is decoded. The file is UTF-8 text with a header, separated by commas, semicolons or
    tabs, with any line ends, for example::

        audio,video,label,place
        sound/0001.wav,picture/0001.mp4,park,lake
        sound/0002.wav,,tram,line 5

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
        The recording that a clip belongs to, so that clips of one recording can be kept on one
        side of a split: a column, or a function of the file's name without folder and suffix
        (of the sound, or of the picture where there is no sound). By default every clip is a
        group of its own, which is right only if no two share a recording.
    root : path-like, optional
        Where relative paths start. By default the CSV file's folder.
    on_error : {"raise", "missing"}, default="raise"
        What a listed file that does not exist leads to: an error, or None in its place and one
        warning for all.

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
        If the file cannot be read, lacks a column, has a row without label, group or any file,
        or names a clip twice.
    MediaNotFoundError
        If listed files do not exist; the message names the first and tells how many.

    Warns
    -----
    MissingClipWarning
        If listed files do not exist and ``on_error="missing"``.

    See Also
    --------
    load_clip_folder : The same from folders, one a label.

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
    path = Path(path)
    files = {"audio": audio, "video": video}
    used = [column for column in files.values() if column is not None]
    if not used:
        raise ValueError("audio and video are both None; name at least one column of files")
    table = read_table(path, used)
    group_column = groups if isinstance(groups, str) else None
    needed = [*used, *(name for name in (label, group_column) if name is not None)]
    require_columns(
        table, needed, path, "name the columns by audio=, video=, label= and groups=, or set None"
    )
    if table.empty:
        raise ClipTableError(f"{path} lists no clip")
    start = path.parent if root is None else Path(root)
    X = pd.DataFrame(index=table.index)
    for stream, column in files.items():
        cells = [None] * len(table) if column is None else table[column].tolist()
        X[stream] = pd.Series(
            [None if cell is None else str(start / cell) for cell in cells], dtype=object
        )
    without = X.index[X[["audio", "video"]].isna().all(axis=1)]
    if len(without):
        raise ClipTableError(
            f"{path} names neither a sound nor a video file in line {without[0] + 2}; fill "
            f"column {used[0]!r} there, or remove the row"
        )
    require_unique(X, path)
    others = table.drop(columns=list({*used, *([] if label is None else [label])}))
    X = X.join(others.drop(columns=["audio", "video"], errors="ignore"))
    y = None
    if label is not None:
        require_values(table[label], path, "label")
        y = np.array(table[label].tolist())
    if group_column is not None:
        require_values(table[group_column], path, "group")
        found = np.array(table[group_column].tolist())
    elif callable(groups):
        paths = [sound or picture for sound, picture in zip(X["audio"], X["video"], strict=True)]
        found = call_groups(groups, [os.path.splitext(os.path.basename(p))[0] for p in paths])
    else:
        found = np.arange(len(X))
    return clip_bunch(check_files(X, on_error), y, found, f"{len(X)} clips from {path}")

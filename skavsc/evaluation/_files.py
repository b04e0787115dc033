"""Predictions in files for others: submissions to the challenge, edit decision lists."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

_FIRST = ["filename", "scene_label"]
_NO_CLASS = "give one column of probabilities a class"

# The numbers of events have three digits.
_MOST_EVENTS = 999


def _check(table: pd.DataFrame, where: str) -> None:
    """Refuse tables that the challenge's evaluation would refuse."""
    classes = list(table.columns[2:])
    if not classes:
        raise ValueError(f"{where}: there is no class; {_NO_CLASS}")
    if len(set(classes)) < len(classes):
        raise ValueError(f"{where}: a class occurs twice in {classes}")
    names = table["filename"]
    if names.isna().any() or names.duplicated().any():
        wrong = names[names.isna() | names.duplicated()].tolist()
        raise ValueError(f"{where}: each file needs one row, but these occur twice: {wrong[:5]}")
    unknown = sorted({str(label) for label in table["scene_label"]} - set(classes))
    if unknown:
        raise ValueError(f"{where}: scene_label holds {unknown}, which are not among {classes}")
    values = table[classes].to_numpy()
    if values.dtype.kind not in "fiu" or not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"{where}: every probability must be a number in [0, 1]")


def write_submission(
    path: str | os.PathLike[str],
    filenames: Sequence[str],
    probabilities: ArrayLike,
    classes: Sequence[str],
) -> None:
    """Write a submission file: tab separated, one row per file.

    Parameters
    ----------
    path : path-like
        The file to write; an existing one is replaced.
    filenames : sequence of n_clips str
        The names of the clips, each once.
    probabilities : array-like of shape (n_clips, n_classes)
        Probabilities in [0, 1], as from ``predict_proba``.
    classes : sequence of n_classes str
        The classes of the columns, as in ``classes_``. The label of a file is its most probable
        class.

    Raises
    ------
    ValueError
        If the shapes do not fit, a file or class occurs twice, or a value is no probability.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from skavsc.evaluation import write_submission
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "submission.csv"
    ...     write_submission(path, ["1.wav"], [[0.25, 0.75]], ["bus", "tram"])
    ...     print(path.read_text().expandtabs(12))
    filename    scene_label bus         tram
    1.wav       tram        0.25        0.75
    """
    values = np.asarray(probabilities, dtype=np.float64)
    expected = (len(filenames), len(classes))
    if values.shape != expected:
        raise ValueError(
            f"probabilities has shape {values.shape}, expected {expected}: one row per file name "
            f"and one column per class"
        )
    if not len(classes):
        raise ValueError(f"classes is empty; {_NO_CLASS}")
    names = [str(label) for label in classes]
    table = pd.DataFrame(values, columns=names)
    best = values.argmax(axis=1) if len(values) else []
    table.insert(0, "filename", [str(name) for name in filenames])
    table.insert(1, "scene_label", [names[column] for column in best])
    _check(table, "the submission")
    table.to_csv(path, sep="\t", index=False, float_format="%.9g", lineterminator="\n")


def read_submission(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read and check a submission file.

    Parameters
    ----------
    path : path-like
        A file as from `write_submission`.

    Returns
    -------
    pandas.DataFrame
        The columns ``filename`` and ``scene_label`` (str), then one float64 column a class.

    Raises
    ------
    ValueError
        If a column is missing, a file or class occurs twice, a label is no class, or a value is no
        probability.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from skavsc.evaluation import read_submission, write_submission
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "submission.csv"
    ...     write_submission(path, ["1.wav"], [[0.25, 0.75]], ["bus", "tram"])
    ...     read_submission(path)["tram"].tolist()
    [0.75]
    """
    where = os.fspath(path)
    raw = pd.read_csv(path, sep="\t", header=None, dtype=str, keep_default_na=False)
    header = raw.iloc[0].tolist()
    if header[:2] != _FIRST:
        raise ValueError(
            f"{where}: the first columns are {header[:2]}, expected {_FIRST}, tab separated"
        )
    table = raw.iloc[1:].reset_index(drop=True).set_axis(header, axis=1)
    if len(set(header)) == len(header):
        columns = {name: pd.to_numeric(table[name], errors="coerce") for name in header[2:]}
        table = table.assign(**columns)
    _check(table, where)
    return table.astype(dict.fromkeys(header[2:], np.float64))


def write_edl(
    path: str | os.PathLike[str],
    segments: pd.DataFrame,
    *,
    clip: str,
    fps: float = 25.0,
    title: str = "scenes",
) -> None:
    """Write segments as an edit decision list (CMX 3600), which video editors open.

    Parameters
    ----------
    path : path-like
        The file to write; an existing one is replaced.
    segments : pandas.DataFrame
        As from `scene_segments`.
    clip : str
        The name of the recording.
    fps : float, default=25.0
        The frame rate of the recording, at least 1; time codes count whole frames (30 a second for
        29.97, without drop frames).
    title : str, default="scenes"
        The title of the list.

    Raises
    ------
    ValueError
        If there are more than the 999 segments that such a list can hold, or ``fps`` is below 1.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import pandas as pd
    >>> from skavsc.evaluation import write_edl
    >>> segments = pd.DataFrame(
    ...     {"start": [0.0], "end": [8.2], "scene": ["park"], "probability": [0.9]}
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_edl(f"{folder}/a.edl", segments, clip="a.mp4")
    ...     print(Path(f"{folder}/a.edl").read_text(encoding="utf-8"))
    TITLE: scenes
    FCM: NON-DROP FRAME
    <BLANKLINE>
    001  AX       AA/V  C        00:00:00:00 00:00:08:05 00:00:00:00 00:00:08:05
    * FROM CLIP NAME: a.mp4
    * COMMENT: park 0.90
    <BLANKLINE>
    """
    if not fps >= 1:
        raise ValueError(f"fps={fps!r} must be at least 1")
    if len(segments) > _MOST_EVENTS:
        raise ValueError(
            f"there are {len(segments)} segments, and an edit decision list holds {_MOST_EVENTS}; "
            "merge them by shortest="
        )
    lines = [f"TITLE: {title}", "FCM: NON-DROP FRAME", ""]
    for number, row in enumerate(segments.itertuples(index=False), start=1):
        times = f"{_time_code(row.start, fps)} {_time_code(row.end, fps)}"
        lines += [
            f"{number:03d}  AX       AA/V  C        {times} {times}",
            f"* FROM CLIP NAME: {clip}",
            f"* COMMENT: {row.scene} {row.probability:.2f}",
        ]
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _time_code(seconds: Any, fps: float) -> str:
    whole, frames = divmod(round(float(seconds) * fps), round(fps))
    minutes, second = divmod(whole, 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{second:02d}:{frames:02d}"

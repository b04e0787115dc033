"""Segments of scenes as an edit decision list, for video editors."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd

# The numbers of events have three digits.
_MOST_EVENTS = 999


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

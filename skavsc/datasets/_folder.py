"""Loading clips from folders."""

from __future__ import annotations

import mimetypes
import os
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from skavsc.datasets._tables import call_groups, clip_bunch, format_names, normalized
from skavsc.exceptions import ClipTableError, MissingClipWarning

_STREAM_FOLDERS = ("audio", "video")


_SUFFIXES_BY_KIND = {
    "sound": ".wav .flac .ogg .oga .opus .mp3 .m4a .aac .aif .aiff .aifc .au .caf .wma .w64 .rf64",
    "video": ".mp4 .m4v .mkv .mov .avi .webm .mpg .mpeg .ts .mts .m2ts .wmv .flv .3gp .ogv .mxf",
    "other": ".yaml .yml .toml .ini .log .md .rst .npy .npz .h5 .pkl .joblib .parquet .ipynb "
    ".lrv .thm .srt .vtt .db .bak .tmp .part .sha256 .md5",
}
_KIND_BY_SUFFIX = {
    suffix: kind for kind, names in _SUFFIXES_BY_KIND.items() for suffix in names.split()
}
# Without the machine's own lists, so that a folder loads alike everywhere.
_MEDIA_TYPES = mimetypes.MimeTypes()


def kind_of_file(name: str) -> str:
    """Return ``"sound"``, ``"video"``, ``"other"`` or ``"unknown"``, by a file's suffix.

    A file without a suffix is an other.

    Parameters
    ----------
    name : str
        The name of the file, or its path.

    Returns
    -------
    str
        The kind.

    Examples
    --------
    >>> from skavsc.datasets import kind_of_file
    >>> [kind_of_file(name) for name in ("park.wav", "park.mp4", "notes.txt", "README")]
    ['sound', 'video', 'other', 'other']
    """
    suffix = os.path.splitext(name)[1].lower()
    if not suffix:
        return "other"
    if suffix in _KIND_BY_SUFFIX:
        return _KIND_BY_SUFFIX[suffix]
    type_ = _MEDIA_TYPES.guess_type(f"x{suffix}")[0]
    if type_ is None:
        return "unknown"
    return {"audio": "sound", "video": "video"}.get(type_.split("/")[0], "other")


def _files(root: Path) -> Iterator[PurePath]:
    """Walk over all files but hidden ones, as paths beneath the root.

    Links to folders are followed, but not into a folder that they lie in themselves.
    """
    outer = {str(root): {os.path.realpath(root)}}
    for folder, subfolders, names in os.walk(root, followlinks=True):
        around = outer.pop(folder)
        targets = {
            name: os.path.realpath(os.path.join(folder, name))
            for name in subfolders
            if not name.startswith(".")
        }
        subfolders[:] = [name for name, target in targets.items() if target not in around]
        for name in subfolders:
            outer[os.path.join(folder, name)] = around | {targets[name]}
        for name in names:
            if not name.startswith("."):
                yield PurePath(os.path.relpath(os.path.join(folder, name), root))


def _streams(path: PurePath, kind: str) -> tuple[str, ...]:
    """Return what a file is read for: the stream that its folder names, else by its kind."""
    for name in reversed(path.parts[:-1]):
        if name in _STREAM_FOLDERS:
            return (name,)
    return ("audio",) if kind == "sound" else ("video",)


def _label_and_name(path: PurePath) -> tuple[str, str]:
    parts = [normalized(part) for part in path.parts[:-1] if part not in _STREAM_FOLDERS]
    return (parts[0] if parts else ""), "/".join([*parts[1:], normalized(path.stem)])


def _require_filled_labels(root: Path, labels: set[str]) -> None:
    parents = [root, *(root / name for name in _STREAM_FOLDERS if (root / name).is_dir())]
    for parent in parents:
        for folder in sorted(parent.iterdir()):
            hidden = folder.name.startswith(".") or folder.name in _STREAM_FOLDERS
            if folder.is_dir() and not hidden and normalized(folder.name) not in labels:
                raise ClipTableError(
                    f"{folder} holds no media file; fill it, remove it or hide it by a leading dot"
                )


def _pattern_groups(groups: str | re.Pattern[str]) -> Callable[[str], str | None]:
    try:
        pattern = re.compile(groups)
    except re.error as error:
        raise ValueError(
            f"groups={groups!r} is no regular expression: {error}; correct it, escape characters "
            "that stand for themselves by re.escape, or pass a function of the clip's name"
        ) from error

    def group(name: str) -> str | None:
        match = pattern.search(name)
        return None if match is None else match[min(1, pattern.groups)]

    return group


def load_clip_folder(
    root: str | bytes | os.PathLike[str],
    *,
    groups: str | re.Pattern[str] | Callable[[str], Any] | None = None,
) -> Bunch:
    """Load a clip table from folders, one per label.

    Nothing is decoded. These layouts, also mixed, are understood::

        root/                      root/                      root/
            park/                      park/                      audio/
                lake.mp4                   audio/                     park/lake.wav
                wood.wav                       lake.wav               tram/line 5.wav
                wood.mp4                   video/                 video/
            tram/                              lake.mp4               park/lake.mp4
                line 5.mov             tram/...                       tram/line 5.mp4

    Leave the folders ``audio`` and ``video`` out of a path and take off its suffix: the first
    folder is the label, the rest is the clip's name, and files that agree in both are one clip.
    Further folders between are allowed and belong to the name (``monday/lake``). Links to folders
    are followed, except into a folder that they lie in themselves. Labels and names are in
    Unicode's composed form (NFC), whatever form the disk has them in.

    Parameters
    ----------
    root : path-like
        The folder that holds the labels' folders, or ``audio`` and ``video`` with them inside.
    groups : str, re.Pattern or callable, optional
        The recording location of a clip, so that clips of one location can be kept on one
        side of a split. A regular expression is searched in the clip's name, and its first
        group (or, without one, the whole match) is taken; a callable gets the name. By default
        every clip is a group of its own, which is right only if no two share a location.

    Returns
    -------
    sklearn.utils.Bunch
        With the fields

        - ``X``, DataFrame of n_clips rows sorted by label and name: ``audio`` and ``video``
          (paths as str, or None) and ``name`` (str). A video file outside a folder ``video``
          that has no sound file beside it is taken to hold both streams and stands in both
          columns. A sound without a picture has ``video`` None; a picture in a folder
          ``video`` without a sound has ``audio`` None.
        - ``y``, ndarray of shape (n_clips,) of str, the labels.
        - ``groups``, ndarray of shape (n_clips,).
        - ``target_names``, list of str, the labels in order.
        - ``DESCR``, str.

    Raises
    ------
    ClipTableError
        If there is no such folder, it or a label's folder holds no media file, a media file
        lies in no label's folder, two files compete for one stream of one clip, or ``groups``
        finds no group for a clip.
    ValueError
        If ``groups`` is no regular expression.

    Warns
    -----
    MissingClipWarning
        If files are left out whose suffix does not tell whether they are media. Hidden files
        and files that are plainly something else (text, images, tables) are left out silently.

    See Also
    --------
    load_clip_table : The same from a CSV file.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from skavsc.datasets import load_clip_folder
    >>> root = tempfile.TemporaryDirectory()
    >>> for name in ("park/lake_1.mp4", "park/lake_2.mp4", "tram/audio/line 5_1.wav"):
    ...     path = pathlib.Path(root.name, name)
    ...     path.parent.mkdir(parents=True, exist_ok=True)
    ...     path.touch()
    >>> clips = load_clip_folder(root.name, groups=r"^(.*)_")
    >>> clips.y
    array(['park', 'park', 'tram'], ...)
    >>> clips.groups
    array(['lake', 'lake', 'line 5'], ...)
    >>> clips.X["video"].isna().tolist()
    [False, False, True]
    >>> root.cleanup()
    """
    root = Path(os.fsdecode(root))
    if not root.is_dir():
        raise ClipTableError(
            f"root={os.fspath(root)!r} is no folder; a CSV file is read by load_clip_table"
        )
    locate = groups if groups is None or callable(groups) else _pattern_groups(groups)
    clips, unknown = _find_clips(root)
    if not clips:
        raise ClipTableError(f"{root} holds no media file in folders named after labels")
    _require_filled_labels(root, {label for label, _ in clips})
    if unknown:
        warnings.warn(
            f"{len(unknown)} files in {root} are left out, as their suffix does not tell whether "
            f"they are media: {format_names(sorted(unknown))}",
            MissingClipWarning,
            stacklevel=2,
        )
    keys = sorted(clips)
    X = pd.DataFrame([_row(root, clips[key]) | {"name": key[1]} for key in keys], dtype=object)
    names = X["name"].tolist()
    if locate is None:
        found = np.array(["/".join(key) for key in keys])
    else:
        found = call_groups(locate, names)
    y = np.array([label for label, _ in keys])
    return clip_bunch(X, y, found, f"{len(X)} clips from {root}, one folder per label")


def _find_clips(
    root: Path,
) -> tuple[dict[tuple[str, str], dict[str, PurePath]], list[str]]:
    """Return the files of each clip by label and name, and the files of an unknown kind."""
    clips: dict[tuple[str, str], dict[str, PurePath]] = {}
    unknown: list[str] = []
    for path in _files(root):
        kind = kind_of_file(path.name)
        if kind == "unknown":
            unknown.append(str(path))
        if kind not in ("sound", "video"):
            continue
        label, name = _label_and_name(path)
        if not label:
            remedy = "move it into one, or give the folder above as root if this is a label's"
            if (root / "evaluation_setup").is_dir():
                remedy = "a set in the layout of TAU is read by load_tau_urban_av"
            raise ClipTableError(f"{root / path} lies in no label's folder; {remedy}")
        clip = clips.setdefault((label, name), {})
        for stream in _streams(path, kind):
            if stream in clip:
                both = sorted([str(root / clip[stream]), str(root / path)])
                raise ClipTableError(
                    f"{both[0]} and {both[1]} are both the {stream} of one clip; keep one of them"
                )
            clip[stream] = path
    return clips, unknown


def _row(root: Path, clip: dict[str, PurePath]) -> dict[str, str | None]:
    row = {
        stream: str(root / clip[stream]) if stream in clip else None for stream in _STREAM_FOLDERS
    }
    if row["audio"] is None and "video" not in clip["video"].parts[:-1]:
        row["audio"] = row["video"]
    return row

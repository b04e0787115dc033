"""The layout of TAU Urban Audio-Visual Scenes 2021."""

from __future__ import annotations

import os
import re
from numbers import Integral
from pathlib import Path, PurePath
from typing import Any, Literal

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from skavsc.datasets._tables import (
    check_files,
    clip_bunch,
    format_names,
    normalized,
    path_of,
    read_table,
    require_unique,
    require_values,
)
from skavsc.exceptions import ClipTableError

_FILES = ["filename_audio", "filename_video"]
_STEM = re.compile(r"[^-]+-(?P<city>[^\W\d]+)-(?P<location>\d+)-(?P<segment>\w+)")

_DESCR = """\
Clips in the layout of TAU Urban Audio-Visual Scenes 2021
{n_clips} clips of {n_groups} locations, subset {subset!r}, from {root}

The data set itself is published at https://doi.org/10.5281/zenodo.4477542 and described in
S. Wang, A. Mesaros, T. Heittola, T. Virtanen: A curated dataset of urban scenes for audio-visual
scene analysis, ICASSP 2021.
"""


def _read(path: Path) -> pd.DataFrame:
    table = read_table(
        path, _FILES, text=["scene_label", "identifier"], remedy="the layout needs them"
    )
    for column in _FILES:
        require_values(table[column], path, "file")
        for line, name in table[column].items():
            if os.path.isabs(name) or PurePath(os.path.normpath(name)).parts[:1] == ("..",):
                raise ClipTableError(
                    f"{path} names {name!r} in line {line}, outside of the data set; only files "
                    f"beneath its folder are read (load_clip_table reads any)"
                )
    if "scene_label" in table:
        require_values(table["scene_label"], path, "label")
    if table.empty:
        raise ClipTableError(f"{path} lists no clip")
    return table


def _stem(filename: str) -> str:
    return os.path.splitext(os.path.basename(normalized(filename)))[0]


def _locations(table: pd.DataFrame, meta: pd.DataFrame | None) -> np.ndarray:
    """Return the identifier of each clip, or its stem without the last field."""
    known: dict[str, Any] = {}
    if meta is not None and "identifier" in meta:
        names = map(normalized, meta["filename_audio"])
        known = dict(zip(names, meta["identifier"], strict=True))
    return np.array(
        [
            known.get(normalized(name)) or _stem(name).rpartition("-")[0] or _stem(name)
            for name in table["filename_audio"]
        ]
    )


def _official_folds(setup: Path, table: pd.DataFrame) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the row numbers of the train and the test clips of every fold there is."""
    rows = {normalized(name): row for row, name in enumerate(table["filename_audio"])}
    numbers = [re.fullmatch(r"fold(\d+)_train\.csv", path.name) for path in setup.glob("*.csv")]
    folds = []
    for number in sorted(int(match[1]) for match in numbers if match):
        pair = []
        for part in ("train", "evaluate"):
            path = setup / f"fold{number}_{part}.csv"
            names = [normalized(name) for name in _read(path)["filename_audio"]]
            unknown = [name for name in names if name not in rows]
            if unknown:
                raise ClipTableError(
                    f"{path} lists clips that meta.csv does not: {format_names(unknown)}"
                )
            pair.append(np.array([rows[name] for name in names]))
        folds.append((pair[0], pair[1]))
    return folds


def load_tau_urban_av(
    root: str | bytes | os.PathLike[str],
    fold: int = 1,
    subset: Literal["train", "evaluate", "test", "all"] = "train",
    *,
    on_error: Literal["raise", "missing"] = "raise",
) -> Bunch:
    """Load the clip table of TAU Urban Audio-Visual Scenes 2021 or of a set laid out like it.

    Nothing is decoded: the table holds the paths of the files. The layout is::

        root/
            meta.csv                  filename_audio  filename_video  scene_label  identifier
            audio/<scene>-<city>-<location>-<segment>.wav
            video/<scene>-<city>-<location>-<segment>.mp4
            evaluation_setup/
                fold1_train.csv       filename_audio  filename_video  scene_label
                fold1_evaluate.csv    filename_audio  filename_video  scene_label
                fold1_test.csv        filename_audio  filename_video

    Columns are found by their names, in any order, separated by tabs, commas or semicolons.
    File names may have another pattern or suffix; what they do not tell is missing (None).

    Parameters
    ----------
    root : path-like
        The folder that holds ``meta.csv``, ``audio`` and ``video``.
    fold : int, default=1
        The number of the official fold, at least 1. ``subset="all"`` does not depend on it.
    subset : {"train", "evaluate", "test", "all"}, default="train"
        The part to load: the fold's training clips, its test clips with labels
        (``"evaluate"``) or without (``"test"``), or all clips of ``meta.csv``.
    on_error : {"raise", "missing"}, default="raise"
        What to do with listed files that do not exist: raise an error, or put None in their place
        and warn once, as when only the sound was downloaded.

    Returns
    -------
    sklearn.utils.Bunch
        With the fields

        - ``X``, DataFrame of n_clips rows in the order of the list: ``audio`` and ``video``
          (paths as str, or None), ``city``, ``location`` and ``segment`` (str from the file
          name, or None).
        - ``y``, ndarray of shape (n_clips,) of str, the scenes; None where the list has no
          column of labels, as that of ``"test"``.
        - ``groups``, ndarray of shape (n_clips,) of str, the recording locations:
          ``identifier`` of ``meta.csv``, else the file name without its last field.
        - ``target_names``, list of str, the scenes of the whole set in order.
        - ``cv``, with ``subset="all"`` only: a list of (train, test) row numbers, one pair an
          official fold, to be passed as ``cv=`` of scikit-learn's tools.
        - ``DESCR``, str.

    Raises
    ------
    ClipTableError
        If a list is absent, lacks a column or a value, has a row with more cells than its
        header, names a clip twice, or names a file outside of ``root``.
    MediaNotFoundError
        If listed files do not exist; the message names the first and tells how many.

    Warns
    -----
    MissingClipWarning
        If listed files do not exist and ``on_error="missing"``.

    See Also
    --------
    load_clip_folder : Load clips from one folder per label.
    make_scenes : Render a small set in this layout.

    Notes
    -----
    Clips of one location sound and look alike, so never split one between training and
    validation: besides the official fold, use scikit-learn's ``StratifiedGroupKFold`` (or
    ``GroupShuffleSplit``) with ``groups``.

    References
    ----------
    .. [1] S. Wang, A. Mesaros, T. Heittola, T. Virtanen, "A curated dataset of urban scenes for
       audio-visual scene analysis", ICASSP 2021, arXiv:2011.00030.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn.model_selection import StratifiedGroupKFold
    >>> from skavsc.datasets import load_tau_urban_av, make_scenes
    >>> root = tempfile.TemporaryDirectory()
    >>> _ = make_scenes(root.name, n_scenes=2, n_locations=2, clips_per_location=1, duration=0.5)
    >>> train = load_tau_urban_av(root.name, fold=1, subset="train")
    >>> train.y
    array(['park', 'public_square'], ...)
    >>> everything = load_tau_urban_av(root.name, subset="all")
    >>> everything.X.shape, len(everything.cv)
    ((4, 5), 1)
    >>> splits = StratifiedGroupKFold(2).split(everything.X, everything.y, everything.groups)
    >>> root.cleanup()
    """
    if subset not in ("train", "evaluate", "test", "all"):
        raise ValueError(f"subset must be 'train', 'evaluate', 'test' or 'all', got {subset!r}")
    if subset != "all" and (isinstance(fold, bool) or not isinstance(fold, Integral) or fold < 1):
        raise ValueError(f"fold must be an integer of at least 1, got {fold!r}")
    root = Path(os.fsdecode(root))
    if not root.is_dir():
        raise ClipTableError(f"root={os.fspath(root)!r} is no folder")
    setup = root / "evaluation_setup"
    listing = root / "meta.csv" if subset == "all" else setup / f"fold{fold}_{subset}.csv"
    if not listing.is_file():
        there = sorted(path.name for path in listing.parent.glob("*.csv"))
        raise ClipTableError(
            f"{listing} does not exist (there: {there}); give as root the folder that holds "
            f"meta.csv, and a fold and subset that it has; clips of your own, in folders named "
            f"after labels, are read by load_clip_folder"
        )
    meta = _read(root / "meta.csv") if (root / "meta.csv").is_file() else None
    table = _read(listing)
    stems = [_STEM.fullmatch(_stem(name)) for name in table["filename_audio"]]
    X = pd.DataFrame(
        {
            "audio": [path_of(name, root) for name in table["filename_audio"]],
            "video": [path_of(name, root) for name in table["filename_video"]],
            **{
                field: [None if match is None else match[field] for match in stems]
                for field in ("city", "location", "segment")
            },
        },
        dtype=object,
    )
    require_unique(X, listing)
    y = table["scene_label"].to_numpy(dtype=str) if "scene_label" in table else None
    groups = _locations(table, meta)
    more: dict[str, Any] = {"cv": _official_folds(setup, table)} if subset == "all" else {}
    labelled = meta if meta is not None and "scene_label" in meta else table
    if "scene_label" in labelled:
        more["target_names"] = sorted(set(labelled["scene_label"]))
    descr = _DESCR.format(n_clips=len(X), n_groups=len(np.unique(groups)), subset=subset, root=root)
    return clip_bunch(check_files(X, on_error), y, groups, descr, **more)

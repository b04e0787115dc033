"""Which clips a model was trained on: a model file keeps digests of their files."""

from __future__ import annotations

import hashlib
import os

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skavsc.persistence import model_card

# Bytes read at the beginning and at the end of a file: to read all of it takes too long.
_PART = 65_536


def _digest(path: str | None) -> str | None:
    """Return a digest of the content of a file, or None if it is empty or cannot be read."""
    try:
        with open(path or "", "rb") as file:
            size = os.fstat(file.fileno()).st_size
            parts = [b"%d " % size, file.read(_PART)]
            file.seek(max(0, size - _PART))
            parts.append(file.read(_PART))
    except OSError:
        return None
    return hashlib.blake2b(b"".join(parts), digest_size=8).hexdigest() if size else None


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
    digests = model_card(model).description["training"].get("file_digests")
    if not isinstance(digests, str):
        return None
    known = set(digests.split())
    return np.array([not known.isdisjoint(files) for files in _digests(X)], dtype=bool)

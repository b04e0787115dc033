"""Which clips a model was trained on: a model file keeps digests of their files."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skavsc.persistence import model_card
from skavsc.pretrained import sha256_of


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
    digests = model_card(model).description["training"].get("file_digests")
    if not isinstance(digests, str):
        return None
    known = set(digests.split())
    return np.array([not known.isdisjoint(files) for files in _digests(X)], dtype=bool)

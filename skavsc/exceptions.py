"""Errors and warnings, each a subclass of the builtin that its users expect."""

from __future__ import annotations

import os
from collections.abc import Sequence

__all__ = [
    "CacheWarning",
    "ClipTableError",
    "DamagedMediaWarning",
    "MediaError",
    "MediaNotFoundError",
    "MissingClipWarning",
    "MissingModalityError",
    "MissingTrackError",
    "ModelError",
    "ModelFileError",
    "ModelVersionWarning",
    "RuntimeSkippedWarning",
    "SkavscWarning",
    "UntrainedWeightsWarning",
    "UntrustedTypeError",
    "WeightsError",
    "WeightsNotFoundError",
]


class MediaError(OSError, ValueError):
    """A sound or video file that cannot be used.

    Parameters
    ----------
    path : path-like or str
        The file, or a description of the in-memory source.
    stage : str
        What failed: ``"open"``, ``"read sound"``, ``"read picture"``, ...
    cause : str
        Why, and where possible the remedy.

    Examples
    --------
    >>> raise MediaError("a.wav", "open", "the file is empty")
    Traceback (most recent call last):
    ...
    skavsc.exceptions.MediaError: a.wav: open: the file is empty
    """

    def __init__(self, path: str | os.PathLike[str], stage: str, cause: str) -> None:
        self.path = os.fspath(path)
        self.stage = stage
        self.cause = cause
        super().__init__(f"{self.path}: {stage}: {cause}")

    def __reduce__(self) -> tuple[type[MediaError], tuple[str, str, str]]:
        # Errors travel between the processes of joblib; OSError's own way loses the fields.
        return type(self), (self.path, self.stage, self.cause)


class MediaNotFoundError(MediaError, FileNotFoundError):
    """A sound or video file that does not exist."""


class MissingTrackError(MediaError):
    """A file that lacks the sound or the picture that is to be read."""


class ClipTableError(ValueError):
    """A clip table (or the files that describe it) that cannot be used."""


class MissingModalityError(ValueError):
    """Clips without the sound or the picture that an estimator needs."""


class ModelFileError(ValueError):
    """A model file that cannot be used, or an estimator that cannot be put into one."""


class UntrustedTypeError(ModelFileError, TypeError):
    """A model file with types that are not known to be safe.

    Parameters
    ----------
    message : str
        What is wrong, and the remedy.
    types : list of str
        The types.
    """

    def __init__(self, message: str, types: list[str]) -> None:
        self.types = types
        super().__init__(message, types)

    def __str__(self) -> str:
        return str(self.args[0])


class WeightsError(ValueError):
    """Network weights that do not fit the network they are meant for."""


class ModelError(WeightsError):
    """A network file that cannot be run, or that does not fit its input."""


class WeightsNotFoundError(WeightsError, FileNotFoundError):
    """Network weights that are not on disk and cannot be downloaded."""


class SkavscWarning(UserWarning):
    """Base of all warnings of this package."""


class CacheWarning(SkavscWarning):
    """A cache that cannot be written, so that its features are computed again."""


class DamagedMediaWarning(SkavscWarning):
    """A file of which a part is missing or cannot be decoded; the rest is used."""


class MissingClipWarning(SkavscWarning):
    """Clips that could not be read, or that are left out because they miss a modality.

    Parameters
    ----------
    message : str
        The text of the warning.
    errors : sequence of MediaError, default=()
        Why files could not be read, one error per file.
    """

    def __init__(self, message: str, errors: Sequence[MediaError] = ()) -> None:
        super().__init__(message)
        self.errors = tuple(errors)


class ModelVersionWarning(SkavscWarning):
    """A model file that was written with other versions of the packages that it needs."""


class RuntimeSkippedWarning(SkavscWarning):
    """An installed runtime that does not start, so that ``runtime="auto"`` takes another one."""


class UntrainedWeightsWarning(SkavscWarning):
    """An image network with random weights, whose features say little about images."""

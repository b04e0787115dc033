"""Opening a media file, and the one place that turns every failure into ``MediaError``."""

from __future__ import annotations

import contextlib
import math
import os
import stat
import time
import traceback
from collections.abc import Iterator
from typing import Any, BinaryIO

import av

from skavsc.exceptions import MediaError, MediaNotFoundError, MissingTrackError

_KINDS = {"read sound": "sound or video", "read picture": "video"}
# Kinds of errors that no content of a file leads to.
_MISTAKES = (AssertionError, AttributeError, ImportError, NameError, TypeError)


class UnusableError(Exception):
    """The cause for which a file cannot be used; ``media_errors`` adds the file."""

    error_type: type[MediaError] = MediaError


class NoTrackError(UnusableError):
    """The track that is to be read is not in the file."""

    error_type = MissingTrackError


def check_positive(*, optional: tuple[str, ...] = (), **values: float | None) -> None:
    """Raise ValueError for a parameter that is not greater than 0 and finite.

    Parameters
    ----------
    optional : tuple of str, default=()
        The parameters that may be None.
    **values : float or None
        The parameters by name.
    """
    for name, value in values.items():
        if value is None and name in optional:
            continue
        if value is None or not (value > 0 and math.isfinite(value)):
            or_none = ", or None" if name in optional else ""
            raise ValueError(f"{name}={value!r} must be greater than 0 and finite{or_none}")


@contextlib.contextmanager
def media_errors(path: str | os.PathLike[str], stage: str) -> Iterator[None]:
    """Turn any exception of a decoder or of another dependency into ``MediaError``.

    Damaged files make the libraries beneath raise anything, from ``IndexError`` to
    ``MemoryError``. Interruptions, which are no ``Exception``, and our own mistakes pass.
    """
    try:
        yield
    except MediaError:
        raise
    except UnusableError as error:
        raise error.error_type(path, stage, str(error)) from error.__cause__
    except MemoryError as error:
        cause = "its content does not fit into memory; give duration= to read a part of it"
        raise MediaError(path, stage, cause) from error
    except av.error.FFmpegError as error:
        reason = error.strerror or error
        cause = f"not a {_KINDS[stage]} file, or a damaged one (FFmpeg: {reason})"
        raise MediaError(path, stage, cause) from error
    except Exception as error:
        if _is_mistake(error):
            raise
        cause = f"the file is damaged ({type(error).__name__}: {error})"
        raise MediaError(path, stage, cause) from error


def _is_mistake(error: Exception) -> bool:
    """Return whether an error comes from the code of this package, whatever is in the file.

    Of other kinds, as IndexError, we cannot tell: compiled functions leave no trace of their own,
    and the values that they get come from the file.
    """
    if not isinstance(error, _MISTAKES):
        return False
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return str(frame.f_globals.get("__name__")).startswith("skavsc.")


@contextlib.contextmanager
def open_media(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a regular, non-empty file, and raise if it changes before it is closed.

    Decoders are given the open file and not its name, so that odd names (``a:b.mp4``,
    ``http://...``, bytes that are no UTF-8) mean nothing to them.

    Parameters
    ----------
    path : path-like
        The file.

    Yields
    ------
    binary file
        The open file.

    Raises
    ------
    MediaNotFoundError
        If there is no such file.
    MediaError
        If it is no regular file, is empty, cannot be opened or changes meanwhile.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from skavsc.media import open_media
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = Path(folder.name, "empty.wav")
    >>> path.touch()
    >>> with open_media(path) as file:
    ...     file.read(4)
    Traceback (most recent call last):
    ...
    skavsc.exceptions.MediaError: ...empty.wav: open: the file is empty (0 bytes)
    >>> folder.cleanup()
    """
    try:
        # Asked before opening: opening a pipe would wait for a writer.
        kind = os.stat(path).st_mode
        if stat.S_ISDIR(kind):
            raise MediaError(path, "open", "this is a directory; name a media file inside it")
        if not stat.S_ISREG(kind):
            raise MediaError(path, "open", "this is not a regular file; copy it to one first")
        file = open(path, "rb")  # noqa: SIM115
    except FileNotFoundError:
        raise MediaNotFoundError(path, "open", "there is no such file") from None
    except OSError as error:
        if isinstance(error, MediaError):
            raise
        raise MediaError(path, "open", error.strerror or str(error)) from error
    except ValueError as error:
        raise MediaError(repr(path), "open", str(error)) from error
    with file:
        before = os.fstat(file.fileno())
        if not before.st_size:
            raise MediaError(path, "open", "the file is empty (0 bytes)")
        yield file
        after = os.fstat(file.fileno())
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise MediaError(path, "read", "the file changed while it was read; try again later")


class Deadline:
    """The time at which reading a file is given up.

    Parameters
    ----------
    time_limit : float
        Seconds from now.
    """

    def __init__(self, time_limit: float) -> None:
        self.time_limit = time_limit
        self._end = time.monotonic() + time_limit

    def check(self) -> None:
        """Raise ``UnusableError`` once the time is over."""
        if time.monotonic() > self._end:
            raise self.error()

    def error(self) -> UnusableError:
        """Return the error of a file that takes too long."""
        return UnusableError(
            f"reading takes longer than time_limit={self.time_limit:g} s; raise it or give a "
            "shorter duration="
        )


# Titles in some old encoding are no reason to refuse a file. PyAV 19 never does.
_LENIENT = {} if int(av.__version__.split(".")[0]) >= 19 else {"metadata_errors": "replace"}


def open_container(file: BinaryIO, deadline: Deadline, **options: str) -> Any:
    """Open a file with FFmpeg, from its first byte.

    FFmpeg reads from the number of the open file, and the whitelist keeps playlists from making
    it open other files or addresses. The options also hold while it looks into the streams.
    """
    os.lseek(file.fileno(), 0, os.SEEK_SET)
    try:
        return av.open(
            "fd:",
            options={"fd": str(file.fileno()), "protocol_whitelist": "fd", **options},
            timeout=deadline.time_limit,
            **_LENIENT,
        )
    except av.error.ExitError as error:  # FFmpeg's sign of the timeout
        raise deadline.error() from error


def choose_streams(container: Any) -> tuple[Any, Any]:
    """Choose the picture and the sound as players do, both of the same program.

    Returns
    -------
    picture, sound : PyAV streams or None
        Cover art is no picture.
    """
    cover = av.stream.Disposition.attached_pic
    pictures = [stream for stream in container.streams.video if not stream.disposition & cover]
    picture = container.streams.best("video")
    if picture not in pictures:
        picture = pictures[0] if pictures else None
    return picture, container.streams.best("audio", related=picture)

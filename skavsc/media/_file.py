"""What sound and picture share: opening a file, and the clock of its streams."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, BinaryIO

from skavsc.exceptions import MediaError, MediaNotFoundError


@contextlib.contextmanager
def open_media(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a regular, non-empty file that stays as it is until it is closed.

    Decoders are given the open file and not its name, so that odd names (``a:b.mp4``,
    ``http://...``, bytes that are no UTF-8) mean nothing to them.
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


def clock_zero(container: Any) -> Fraction:
    """Give the time stamp, in seconds, that counts as 0 for all streams of a container.

    It is where the earliest stream begins, as in players: a recording may start at any time
    stamp. Negative ones are the run-in of a codec, to be dropped, and not the beginning.
    """
    return max(Fraction(container.start_time or 0, 1_000_000), Fraction(0))

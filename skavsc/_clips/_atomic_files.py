"""Files that are complete or absent, whenever their writers are killed.

A file is written in a folder of unfinished files and renamed when it is complete. Its writer holds
a lock on it meanwhile, and the kernel drops the lock when the writer dies, in whatever way.
So an unfinished file that nobody locks is what a killed process has left, and may be removed.
On file systems without locks such files stay.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


def _create(folder: Path) -> BinaryIO:
    """Create a file and lock it."""
    while True:
        try:
            # Not by tempfile: its files cannot be read by other users of a shared cache.
            file = open(folder / secrets.token_hex(8), "xb")  # noqa: SIM115
        except FileNotFoundError:
            folder.mkdir(parents=True, exist_ok=True)
            continue
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:
            return file
        file.close()  # Another process removed it before it was locked.


class UnfinishedFile:
    """A file that does not have its final name yet.

    Parameters
    ----------
    file : binary file
        The file to write to.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file = file

    def finish(self, target: Path) -> None:
        """Rename the file to its final name, in place of a file that has it already."""
        self.file.flush()
        try:
            os.replace(self.file.name, target)
        except FileNotFoundError:
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(self.file.name, target)


@contextlib.contextmanager
def unfinished_file(folder: Path) -> Iterator[UnfinishedFile]:
    """Create a file that is removed unless ``finish`` is called.

    Parameters
    ----------
    folder : pathlib.Path
        The folder of unfinished files, on the file system of the final name.

    Yields
    ------
    UnfinishedFile
        The file.
    """
    file = _create(folder)
    try:
        yield UnfinishedFile(file)
    except BaseException:
        # What the buffer still holds may not be writable either, and would hide the error.
        with contextlib.suppress(OSError):
            file.close()
        raise
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(file.name)
        file.close()


def remove_abandoned(folder: Path) -> None:
    """Remove what killed processes have left in a folder of unfinished files."""
    try:
        paths = [entry.path for entry in os.scandir(folder)]
    except OSError:
        return
    for path in paths:
        # An error means: being written, just finished, another user's, or no locks here.
        with contextlib.suppress(OSError), open(path, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(path)

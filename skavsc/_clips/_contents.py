"""What a source holds, as a digest: the part of a key that stands for the clip itself."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from skavsc._clips._files import unfinished_file
from skavsc.exceptions import MediaError
from skavsc.media import open_media

# Time stamps are as coarse as 2 s on some file systems.
_SETTLED_NS = 2_000_000_000


def digest(*parts: bytes) -> str:
    """Give 40 hexadecimal digits that stand for a sequence of bytes objects."""
    hasher = hashlib.blake2b(digest_size=20)
    for part in parts:
        hasher.update(len(part).to_bytes(8, "little"))
        hasher.update(part)
    return hasher.hexdigest()


def file_of(source: Any) -> tuple[Any, bytes] | None:
    """Give the file of a source and how it is to be read; None for one in memory."""
    if isinstance(source, str | os.PathLike):
        return source, b""
    if hasattr(source, "cache_source"):
        # Frames not yet decoded.
        path, reading = source.cache_source()
        return path, json.dumps(reading, sort_keys=True).encode()
    return None


def _array_digest(source: Any) -> str:
    parts = source if isinstance(source, tuple) else (source,)
    described: list[bytes] = []
    for part in parts:
        array = np.ascontiguousarray(part)
        if array.dtype.hasobject:
            # The bytes of such an array are addresses.
            described += [b"object", joblib.hash(array).encode()]
        else:
            described += [f"{array.dtype.str}{array.shape}".encode(), array.tobytes()]
    return digest(*described)


class Contents:
    """Digests of the contents of sources, remembered for files.

    Parameters
    ----------
    folder : pathlib.Path
        Where the digests of files are remembered, one small file a path.
    unfinished : pathlib.Path
        Where files are written.

    Notes
    -----
    So as not to read every clip again on a warm start, the digest of a file is remembered
    together with its size, its inode and the times of its last modification (mtime) and last
    change (ctime), as in Git's index; it counts while these are the same. Size and mtime alone
    would miss ``cp -p``, ``rsync -t`` and ``touch -r``, which set the mtime back; the ctime cannot
    be set.

    What no time stamp can show is a second change within the same tick of the clock that stamps
    files. Git calls such entries racily clean and does not trust them. Nor are they written
    here: a digest is remembered only if the file had been left alone for two seconds, the
    coarsest tick in use, when its reading began. A younger file, or one with a time in the
    future, is read again each time. This assumes that the clocks of this machine and of the
    file system differ by less than two seconds, or that files do not change twice within a tick.
    """

    def __init__(self, folder: Path, unfinished: Path) -> None:
        self._folder = str(folder)
        self._unfinished = unfinished

    def known(self, source: Any) -> str | None:
        """Give a source's digest if no file has to be read for that."""
        found = file_of(source)
        if found is None:
            return _array_digest(source)
        path, reading = found
        try:
            seen = _seen(os.stat(path))
            with open(self._memo(path), "rb", buffering=0) as file:
                *was, content = file.read().split()
        except (OSError, ValueError):
            return None
        return digest(content, reading) if was == seen else None

    def digest(self, source: Any) -> str:
        """Give a source's digest.

        Parameters
        ----------
        source : path-like, object with a method ``cache_source``, array or tuple of arrays
            A file, frames of a file, or a clip in memory.

        Returns
        -------
        str
            40 hexadecimal digits.

        Raises
        ------
        MediaError
            If a file cannot be read, or changes while it is read.
        """
        known = self.known(source)
        found = file_of(source)
        if known is not None or found is None:
            return known or _array_digest(source)
        path, reading = found
        began = time.time_ns()
        try:
            with open_media(path) as file:
                stat = os.fstat(file.fileno())
                hasher = hashlib.file_digest(file, _hasher)  # type: ignore[arg-type]
        except MediaError:
            raise
        except OSError as error:
            raise MediaError(path, "read", error.strerror or str(error)) from error
        content = hasher.hexdigest().encode()
        if max(stat.st_mtime_ns, stat.st_ctime_ns) + _SETTLED_NS < began:
            self._remember(path, b" ".join([*_seen(stat), content]))
        return digest(content, reading)

    def _memo(self, path: Any) -> str:
        name = digest(os.fsencode(os.path.abspath(path)))
        return f"{self._folder}/{name[:2]}/{name}"

    def _remember(self, path: Any, line: bytes) -> None:
        try:
            with unfinished_file(self._unfinished) as memo:
                memo.file.write(line)
                memo.finish(Path(self._memo(path)))
        except OSError as error:
            # A cache that may only be read still serves what it holds.
            if error.errno not in {errno.EACCES, errno.EPERM, errno.EROFS}:
                raise


def _hasher() -> Any:
    return hashlib.blake2b(digest_size=20)


def _seen(stat: os.stat_result) -> list[bytes]:
    # Not the device: its number changes when network drives are mounted again.
    values = (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)
    return [b"%d" % value for value in values]

"""The features of many clips in one file that is memory-mapped."""

from __future__ import annotations

import contextlib
import math
import os
import secrets
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from skavsc._clips._atomic_files import UnfinishedFile, unfinished_file
from skavsc._clips._cache import ClipCache, Features, digest, npy_header

MmapMode = Literal["r", "r+", "c"]


def _name(keys: Sequence[str | None]) -> str:
    """Return the name for the features of many clips, rows of NaN for those without key."""
    return digest(*((key or "missing").encode() for key in keys))


def _path(cache: ClipCache, keys: Sequence[str | None]) -> Path:
    return cache.folder / "arrays" / f"{_name(keys)}.npy"


def _trailer(header: bytes, checksums: bytes, name: str) -> bytes:
    """Return what follows the array: the CRC-32 of each row, the name, and the CRC-32 of all."""
    content = checksums + name.encode()
    return content + zlib.crc32(header + content).to_bytes(4, "little")


class ArrayFile:
    """Features of many clips that are written row by row, in any order.

    Rows are written to the file, and not through a memory map: pages of a map that were touched
    count as memory of the process, and a full disk would kill it there instead of raising an error.

    The file is a .npy file followed by a checksum a row and by its name, the digest of the keys
    of its rows, so that a damaged file, or one that was swapped with another, is noticed.

    Parameters
    ----------
    new : UnfinishedFile
        The file.
    cache : ClipCache
        The cache that the file belongs to.
    n_clips : int
        The number of rows.
    shape : tuple of int
        The shape of a row.
    mode : {"r", "r+", "c"}
        The mode that the result is mapped in.
    """

    def __init__(
        self,
        new: UnfinishedFile,
        cache: ClipCache,
        n_clips: int,
        shape: tuple[int, ...],
        mode: MmapMode,
    ) -> None:
        self._new = new
        self._cache = cache
        self._mode = mode
        self._header = npy_header((n_clips, *shape))
        self._row_size = 4 * math.prod(shape)
        self._checksums = np.zeros(n_clips, dtype="<u4")
        new.file.write(self._header)

    def write(self, row: int, features: Features) -> None:
        """Write a row."""
        data = np.ascontiguousarray(features, "<f4").data
        self._checksums[row] = zlib.crc32(data)
        with _naming_the_folder(self._cache):
            self._new.file.seek(len(self._header) + row * self._row_size)
            self._new.file.write(data)

    def finish(self, keys: Sequence[str | None]) -> Features:
        """Rename the file to its final name, and map it."""
        file = self._new.file
        target = _path(self._cache, keys)
        if self._mode == "r+":
            target = target.with_stem(f"{target.stem}-{secrets.token_hex(4)}")
        else:
            os.fchmod(file.fileno(), os.fstat(file.fileno()).st_mode & ~0o222)
        with _naming_the_folder(self._cache):
            file.seek(len(self._header) + len(self._checksums) * self._row_size)
            file.write(_trailer(self._header, self._checksums.tobytes(), _name(keys)))
            self._new.finish(target)
        array: Features = np.load(target, mmap_mode=self._mode)
        return array


@contextlib.contextmanager
def new_array_file(
    cache: ClipCache, n_clips: int, shape: tuple[int, ...], mode: MmapMode
) -> Iterator[ArrayFile]:
    """Create a file for features, which is removed unless it is finished; see `ArrayFile`."""
    with contextlib.ExitStack() as stack:
        with _naming_the_folder(cache):
            new = stack.enter_context(unfinished_file(cache.unfinished))
            file = ArrayFile(new, cache, n_clips, shape, mode)
        yield file


@contextlib.contextmanager
def _naming_the_folder(cache: ClipCache) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        cause = (
            f"{error.strerror or error}; mmap_mode needs a place for its file, and the folder of "
            f"memory= cannot be written: make room, get the permission, or name another folder"
        )
        raise OSError(error.errno, cause, str(cache.root)) from error


def open_array_file(
    sources: Sequence[Any],
    keys: Sequence[str | None],
    shape: tuple[int, ...],
    cache: ClipCache,
    mode: MmapMode,
) -> Features | None:
    """Map the file of the same clips, if there is one that is whole and all keys are known.

    The file is named by the keys of its rows, and thus by all that its values depend on. It is
    shared by all who read the same rows ("r") or change them in memory only ("c"), and nobody may
    write to it. "r+" may, and so gets a new file each time, which is the caller's to keep or to
    delete. The file is read once from beginning to end, to compare its checksums.
    """
    unknown = any(
        key is None and source is not None for key, source in zip(keys, sources, strict=True)
    )
    if mode == "r+" or unknown:
        return None
    path = _path(cache, keys)
    try:
        if not _is_whole(path, keys, shape):
            return None
        array: Features = np.load(path, mmap_mode=mode)
    except (OSError, ValueError, EOFError):
        return None
    return array


def _is_whole(path: Path, keys: Sequence[str | None], shape: tuple[int, ...]) -> bool:
    header, row_size = npy_header((len(keys), *shape)), 4 * math.prod(shape)
    with path.open("rb") as file:
        if file.read(len(header)) != header:
            return False
        rows = (zlib.crc32(file.read(row_size)) for _ in keys)
        checksums = np.fromiter(rows, dtype="<u4", count=len(keys))
        return file.read() == _trailer(header, checksums.tobytes(), _name(keys))

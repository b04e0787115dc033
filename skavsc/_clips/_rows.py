"""Where the rows of a result go: into memory, or into a file that is memory-mapped at last."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from skavsc._clips._cache import ClipCache, Features, npy_header
from skavsc._clips._files import UnfinishedFile, unfinished_file

MmapMode = Literal["r", "r+", "c"]


class Rows(Protocol):
    """A result on its way."""

    def write(self, row: int, features: Features) -> None:
        """Set a row."""

    def finish(self, keys: Sequence[str | None]) -> Features:
        """Give the result, all rows of which are set; ``keys`` are those of the rows."""


class RowsInMemory:
    """A result in memory.

    Parameters
    ----------
    n_clips : int
        The number of rows.
    shape : tuple of int
        The shape of a row.
    """

    def __init__(self, n_clips: int, shape: tuple[int, ...]) -> None:
        self._array = np.empty((n_clips, *shape), dtype=np.float32)

    def write(self, row: int, features: Features) -> None:
        """Set a row."""
        self._array[row] = features

    def finish(self, keys: Sequence[str | None]) -> Features:
        """Give the result."""
        return self._array


class RowsOnDisk:
    """A result in a file beneath the cache's folder.

    Rows are written to the file, and not through a memory map: what is touched of a map counts
    as memory of the process, and a full disk would kill it there instead of raising an error.

    Parameters
    ----------
    new : UnfinishedFile
        The file.
    cache : ClipCache
        The cache, which names the file.
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
        new.file.write(self._header)

    def write(self, row: int, features: Features) -> None:
        """Set a row."""
        with self._cache.writing():
            self._new.file.seek(len(self._header) + row * features.nbytes)
            self._new.file.write(np.ascontiguousarray(features, "<f4").data)

    def finish(self, keys: Sequence[str | None]) -> Features:
        """Give the file its final name and map it."""
        file = self._new.file
        target = self._cache.array_file(keys)
        if self._mode == "r+":
            target = target.with_stem(f"{target.stem}-{secrets.token_hex(4)}")
        else:
            os.fchmod(file.fileno(), os.fstat(file.fileno()).st_mode & ~0o222)
        with self._cache.writing():
            file.flush()
            # There is no checksum that would notice what a power cut left out.
            os.fsync(file.fileno())
            self._new.finish(target)
        return _mapped(target, self._mode)


@contextlib.contextmanager
def open_rows(
    n_clips: int, shape: tuple[int, ...], cache: ClipCache | None, mode: MmapMode | None
) -> Iterator[Rows]:
    """Make a place for a result.

    Parameters
    ----------
    n_clips : int
        The number of rows.
    shape : tuple of int
        The shape of a row.
    cache : ClipCache or None
        The cache, needed for a mode.
    mode : {"r", "r+", "c"} or None
        The mode to map the result in; None for one in memory.

    Yields
    ------
    RowsInMemory or RowsOnDisk
        The place.
    """
    if mode is None or cache is None:
        yield RowsInMemory(n_clips, shape)
        return
    with contextlib.ExitStack() as stack:
        with cache.writing():
            new = stack.enter_context(unfinished_file(cache.unfinished))
            rows = RowsOnDisk(new, cache, n_clips, shape, mode)
        yield rows


def finished_rows(
    sources: Sequence[Any],
    keys: Sequence[str | None],
    shape: tuple[int, ...],
    cache: ClipCache,
    mode: MmapMode,
) -> Features | None:
    """Map the finished file of the same rows, if there is one and all keys are known.

    The file of a result is named by the keys of its rows, and thus by all that its values depend
    on. It is shared by all who ask for the same rows to read them ("r") or to change them in
    memory alone ("c"), and nobody may write to it. Who asks for "r+" may, and so gets a new file
    each time, which is the caller's to keep or to delete.
    """
    unknown = any(
        key is None and source is not None for key, source in zip(keys, sources, strict=True)
    )
    if mode == "r+" or unknown:
        return None
    try:
        array = _mapped(cache.array_file(keys), mode)
    except (OSError, ValueError, EOFError):
        return None
    fits = array.shape == (len(keys), *shape) and array.dtype == np.dtype("<f4")
    return array if fits else None


def _mapped(path: Path, mode: MmapMode) -> Features:
    array: Features = np.load(path, mmap_mode=mode)
    return array

"""Features on disk, one file a clip, keyed by content, parameters and feature version."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import math
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skavsc._clips._contents import Contents, digest, file_of
from skavsc._clips._files import remove_remains, unfinished_file
from skavsc.exceptions import MediaError

Features = NDArray[np.float32]


@functools.lru_cache(maxsize=64)
def npy_header(shape: tuple[int, ...]) -> bytes:
    """Give the beginning of a .npy file of float32 numbers."""
    header = io.BytesIO()
    fields = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, fields)
    return header.getvalue()


class ClipCache:
    """A folder of features that several processes, machines and users may share.

    Parameters
    ----------
    location : path-like
        The folder; made when first written to. What is kept lies in ``skavsc`` beneath it.
    name : str
        The kind of feature, a folder of its own.
    version : int
        Raised whenever the values of the feature change, so that old files are not used.
    params : dict of JSON values
        The parameters that the feature depends on.

    Notes
    -----
    *Key.* The features of a clip are known by a digest of what the clip holds (see
    ``Contents``), of the parameters and of the version. Names and times of media files do not
    matter: a clip that is moved, copied or renamed keeps its features.

    *Files.* Features are a .npy file in single precision, followed by the CRC-32 of it all. A
    file of another shape or checksum is damaged and counts as none, so that it is computed
    again and replaced. As files appear under their names only when they are complete, damage
    comes from outside: from disks, power cuts (nothing is forced to the disk at once) or people.

    *Sharing.* There is no lock on the cache. Two processes that miss the same clip both compute
    it and write the same file, the later in place of the earlier.

    *Room.* Nothing is ever thrown away but what killed processes have left unfinished. Any file
    or folder in the cache may be deleted at any time, at the price of computing it again; but
    arrays of ``mmap_mode`` (in ``arrays``) not while they are in use.
    """

    def __init__(
        self, location: str | os.PathLike[str], name: str, version: int, params: dict[str, Any]
    ) -> None:
        # Absolute, because workers may have been started in another folder.
        self.root = Path(os.path.abspath(location)) / "skavsc"
        self.folder = self.root / f"{name}-v{version}"
        self.unfinished = self.root / "unfinished"
        self._features = str(self.folder)
        self._contents = Contents(self.root / "digests", self.unfinished)
        self._params = json.dumps(params, sort_keys=True).encode()

    def known_key(self, source: Any) -> str | None:
        """Give the key of a clip if no file has to be read for that."""
        content = self._contents.known(source)
        return None if content is None else digest(self._params, content.encode())

    def key(self, source: Any) -> str:
        """Give the key of a clip, or raise MediaError if its file cannot be read."""
        with self.writing():
            return digest(self._params, self._contents.digest(source).encode())

    def load(self, key: str, shape: tuple[int, ...]) -> Features | None:
        """Give the features kept under a key, or None; a damaged file counts as none."""
        try:
            with open(self._file(key), "rb", buffering=0) as file:
                content = file.read()
        except OSError:
            return None
        header = npy_header(shape)
        end = len(header) + 4 * math.prod(shape)
        if len(content) != end + 4 or not content.startswith(header):
            return None
        if zlib.crc32(memoryview(content)[:end]) != int.from_bytes(content[end:], "little"):
            return None
        return np.frombuffer(content, "<f4", math.prod(shape), len(header)).reshape(shape)

    def store(self, source: Any, key: str, features: Features) -> None:
        """Keep the features of a clip, unless its file has changed since its key was made.

        Parameters
        ----------
        source : path-like, object with a method ``cache_source``, array or tuple of arrays
            The clip.
        key : str
            Its key, made before it was read.
        features : ndarray, float32
            Its features.

        Raises
        ------
        MediaError
            If the file has changed, so that the features may be those of another content.
        OSError
            If the cache cannot be written; it names the folder.
        """
        found = file_of(source)
        if found is not None and self.key(source) != key:
            cause = "the file changed while it was read; try again later"
            raise MediaError(found[0], "read", cause)
        header, data = npy_header(features.shape), np.ascontiguousarray(features, "<f4").data
        checksum = zlib.crc32(data, zlib.crc32(header))
        with self.writing(), unfinished_file(self.unfinished) as new:
            new.file.writelines([header, data, checksum.to_bytes(4, "little")])
            new.finish(Path(self._file(key)))

    def array_file(self, keys: Sequence[str | None]) -> Path:
        """Give the file for the features of many clips, with NaN rows for those without key."""
        name = digest(*((key or "missing").encode() for key in keys))
        return self.folder / "arrays" / f"{name}.npy"

    def remove_remains(self) -> None:
        """Remove what killed processes have left unfinished."""
        remove_remains(self.unfinished)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Say in errors which folder cannot be written."""
        try:
            yield
        except MediaError:
            raise
        except OSError as error:
            cause = (
                f"{error.strerror or error}; the cache of memory= cannot be written: make room, "
                f"get the permission, or name another folder"
            )
            raise OSError(error.errno, cause, str(self.root)) from error

    def _file(self, key: str) -> str:
        return f"{self._features}/{key[:2]}/{key}.npy"

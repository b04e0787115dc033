"""Features on disk, one file per clip, keyed by content, parameters and feature version."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import json
import math
import os
import time
import zlib
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray

from skavsc._clips._atomic_files import remove_abandoned, unfinished_file
from skavsc.exceptions import MediaError
from skavsc.media import open_media

Features = NDArray[np.float32]

# The coarsest time stamps in use, those of FAT, count in steps of 2 s.
_TIME_STAMP_NS = 2_000_000_000


@functools.lru_cache(maxsize=64)
def npy_header(shape: tuple[int, ...]) -> bytes:
    """Return the beginning of a .npy file of float32 numbers."""
    header = io.BytesIO()
    fields = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, fields)
    return header.getvalue()


def digest(*parts: bytes) -> str:
    """Return 40 hexadecimal digits that identify a sequence of bytes objects."""
    hasher = _hasher()
    for part in parts:
        hasher.update(len(part).to_bytes(8, "little"))
        hasher.update(part)
    return str(hasher.hexdigest())


def _hasher() -> Any:
    return hashlib.blake2b(digest_size=20)


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


def _file_of(source: Any) -> tuple[Any, bytes] | None:
    """Return the file of a source and how it is read; None for a source in memory."""
    if isinstance(source, str | os.PathLike):
        return source, b""
    if hasattr(source, "cache_source"):
        # Frames not yet decoded.
        path, reading = source.cache_source()
        return path, json.dumps(reading, sort_keys=True).encode()
    return None


def _identity(stat: os.stat_result) -> list[bytes]:
    # Not the device: its number changes when network drives are mounted again.
    values = (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)
    return [b"%d" % value for value in values]


class ContentDigests:
    """Digests of the contents of sources, remembered for files.

    Parameters
    ----------
    folder : pathlib.Path
        Where the digests of files are remembered, one small file a path.
    unfinished : pathlib.Path
        Where unfinished files are written.

    Notes
    -----
    To avoid reading every clip again on a warm start, the digest of a file is remembered
    together with its size, its inode and the times of its last modification (mtime) and last
    change (ctime), as in Git's index; it counts while these are the same. Size and mtime alone
    would miss ``cp -p``, ``rsync -t`` and ``touch -r``, which set the mtime back; the ctime cannot
    be set.

    No time stamp shows a second change within the same tick of the clock that stamps files. Git
    calls such entries racily clean and does not trust them. Here they are not written: a digest
    is remembered only if the file had not changed for two seconds, the coarsest tick in use, when
    its reading began. A younger file, or one with a time in the future, is read again each time.
    This assumes that the clocks of this machine and of the file system differ by less than two
    seconds, or that files do not change twice within a tick.
    """

    def __init__(self, folder: Path, unfinished: Path) -> None:
        self._folder = str(folder)
        self._unfinished = unfinished

    def remembered(self, source: Any) -> str | None:
        """Return the digest of a source, or None if its file must be read for that."""
        found = _file_of(source)
        if found is None:
            return _array_digest(source)
        path, reading = found
        try:
            identity = _identity(os.stat(path))
            with open(self._memo(path), "rb", buffering=0) as file:
                *remembered, content = file.read().split()
        except (OSError, ValueError):
            return None
        return digest(content, reading) if remembered == identity else None

    def compute(self, source: Any) -> str:
        """Return the digest of a source.

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
        remembered = self.remembered(source)
        found = _file_of(source)
        if remembered is not None or found is None:
            return remembered or _array_digest(source)
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
        if max(stat.st_mtime_ns, stat.st_ctime_ns) + _TIME_STAMP_NS < began:
            # Where the cache can only be read, the file is read again next time.
            with contextlib.suppress(OSError), unfinished_file(self._unfinished) as memo:
                memo.file.write(b" ".join([*_identity(stat), content]))
                memo.finish(Path(self._memo(path)))
        return digest(content, reading)

    def _memo(self, path: Any) -> str:
        name = digest(os.fsencode(os.path.abspath(path)))
        return f"{self._folder}/{name[:2]}/{name}"


class ClipCache:
    """A folder of features that several processes, machines and users may share.

    Parameters
    ----------
    location : path-like
        The folder; created when first written to. The features are in ``skavsc`` beneath it.
    name : str
        The kind of feature, a folder of its own.
    version : int
        Raised whenever the values of the feature change, so that old files are not used.
    params : dict of JSON values
        The parameters that the feature depends on.

    Notes
    -----
    *Key.* The features of a clip are found by a digest of what the clip holds (see
    ``ContentDigests``), of the parameters and of the version. Names and times of media files do
    not matter: a clip that is moved, copied or renamed keeps its features.

    *Files.* Features are a .npy file in single precision, followed by the CRC-32 of the key and
    of the file. A damaged file, or one of another key or shape, counts as absent, so that it is
    computed again and replaced. As files get their names only when they are complete, damage
    comes from outside: from disks, power cuts (nothing is forced to the disk at once) or people.

    *Sharing.* There is no lock on the cache. Two processes that miss the same clip both compute
    it and write the same file, the later in place of the earlier.

    *Room.* Nothing is ever removed but what killed processes have left unfinished. Any file
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
        self._digests = ContentDigests(self.root / "digests", self.unfinished)
        self._params = json.dumps(params, sort_keys=True).encode()

    def remembered_key(self, source: Any) -> str | None:
        """Return the key of a clip, or None if its file must be read for that."""
        content = self._digests.remembered(source)
        return None if content is None else digest(self._params, content.encode())

    def key(self, source: Any) -> str:
        """Return the key of a clip, or raise MediaError if its file cannot be read."""
        return digest(self._params, self._digests.compute(source).encode())

    def load(self, key: str, shape: tuple[int, ...]) -> Features | None:
        """Return the features of a key, or None if there are none that are whole."""
        try:
            with open(self._file(key), "rb", buffering=0) as file:
                content = file.read()
        except OSError:
            return None
        header = npy_header(shape)
        end = len(header) + 4 * math.prod(shape)
        if len(content) != end + 4 or not content.startswith(header):
            return None
        checksum = zlib.crc32(memoryview(content)[:end], zlib.crc32(key.encode()))
        if checksum != int.from_bytes(content[end:], "little"):
            return None
        return np.frombuffer(content, "<f4", math.prod(shape), len(header)).reshape(shape)

    def store(self, source: Any, key: str, features: Features) -> None:
        """Store the features of a clip, unless its file has changed since its key was computed.

        Parameters
        ----------
        source : path-like, object with a method ``cache_source``, array or tuple of arrays
            The clip.
        key : str
            Its key, computed before it was read.
        features : ndarray, float32
            Its features.

        Raises
        ------
        MediaError
            If the file has changed, so that the features may be those of another content.
        OSError
            If the cache cannot be written.
        """
        found = _file_of(source)
        if found is not None and self.key(source) != key:
            cause = "the file changed while it was read; try again later"
            raise MediaError(found[0], "read", cause)
        header, data = npy_header(features.shape), np.ascontiguousarray(features, "<f4").data
        checksum = zlib.crc32(data, zlib.crc32(header, zlib.crc32(key.encode())))
        with unfinished_file(self.unfinished) as new:
            new.file.writelines([header, data, checksum.to_bytes(4, "little")])
            new.finish(Path(self._file(key)))

    def remove_abandoned(self) -> None:
        """Remove what killed processes have left unfinished."""
        remove_abandoned(self.unfinished)

    def _file(self, key: str) -> str:
        return f"{self.folder}/{key[:2]}/{key}.npy"

"""Features on disk, one file a clip, keyed by content, parameters and feature version."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skavsc.exceptions import MediaError, MediaNotFoundError


def _digest(*parts: bytes) -> str:
    hasher = hashlib.blake2b(digest_size=20)
    for part in parts:
        hasher.update(len(part).to_bytes(8, "little"))
        hasher.update(part)
    return hasher.hexdigest()


def _write_atomically(target: Path, write: Any) -> None:
    """Write beside the target, then rename: readers see the whole file or none."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


class ClipCache:
    """A directory of features that several processes may share.

    Parameters
    ----------
    location : path-like
        The directory; made when first written to.
    name : str
        The kind of feature, a folder of its own.
    version : int
        Raised whenever the values of the feature change, so that old files are not used.
    params : dict of JSON values
        The parameters that the feature depends on.

    Notes
    -----
    A file is known by its content. So as not to read every file again on a warm start, the
    digest of a file is remembered under its path, size, modification time and inode, as Git does.
    """

    def __init__(
        self, location: str | os.PathLike[str], name: str, version: int, params: dict[str, Any]
    ) -> None:
        self.root = Path(location) / "skavsc"
        self.folder = self.root / f"{name}-v{version}"
        self._params = json.dumps(params, sort_keys=True).encode()

    def key(self, source: Any) -> str:
        """Give the key of a clip: its content and the parameters."""
        return _digest(self._params, self._content(source).encode())

    def load(self, key: str) -> NDArray[Any] | None:
        """Give the features kept under a key, or None; a damaged file counts as none."""
        try:
            return np.load(self._file(key), allow_pickle=False)
        except FileNotFoundError:
            return None
        except (ValueError, EOFError, OSError):
            # Such a file was not written by us (writes are atomic): compute it again.
            return None

    def store(self, key: str, features: NDArray[Any]) -> None:
        """Keep features under a key."""
        _write_atomically(self._file(key), lambda file: np.save(file, features))

    def new_array_file(self) -> Path:
        """Reserve a file for a memory-mapped array of many clips."""
        folder = self.folder / "arrays"
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=folder, suffix=".npy")
        os.close(handle)
        return Path(name)

    def _file(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.npy"

    def _content(self, source: Any) -> str:
        """Give the digest of what a source holds."""
        if isinstance(source, str | os.PathLike):
            return self._file_digest(Path(source))
        if hasattr(source, "cache_source"):
            # A lazy source (frames not yet decoded): its file and how it is to be read.
            path, reading = source.cache_source()
            return _digest(self._file_digest(Path(path)).encode(), json.dumps(reading).encode())
        parts = source if isinstance(source, tuple) else (source,)
        arrays = [np.ascontiguousarray(part) for part in parts]
        return _digest(
            *(f"{a.dtype.str}{a.shape}".encode() + a.tobytes() for a in arrays),
        )

    def _file_digest(self, path: Path) -> str:
        try:
            stat = path.stat()
            seen = [stat.st_size, stat.st_mtime_ns, stat.st_ino]
            where = _digest(os.fsencode(path.resolve()))
            memo = self.root / "digests" / where[:2] / where
            with contextlib.suppress(FileNotFoundError, ValueError, KeyError, TypeError):
                known = json.loads(memo.read_bytes())
                if known["seen"] == seen:
                    return str(known["digest"])
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=20))
        except FileNotFoundError:
            raise MediaNotFoundError(path, "open", "there is no such file") from None
        except OSError as error:
            raise MediaError(path, "open", error.strerror or str(error)) from error
        text = json.dumps({"seen": seen, "digest": digest.hexdigest()}).encode()
        _write_atomically(memo, lambda file: file.write(text))
        return digest.hexdigest()

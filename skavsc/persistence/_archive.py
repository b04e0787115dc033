"""The archive of a model file: written as a whole or not at all, checked before it is used.

A model file is a skops file, which is a ZIP archive of ``schema.json`` and arrays, with two more
kinds of members: the description ``skavsc.json``, and ``weights/<sha256>``. Its comment holds the
version of the format and the checksum of all bytes before the checksum.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import os
import re
import secrets
import stat
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skavsc.exceptions import ModelFileError

# To be raised when a file is written that earlier versions would not understand; see
# docs/maintainers/model_files.md.
FORMAT = 1

_COMMENT = re.compile(rb"skavsc-model ([0-9]{1,9}) sha256:([0-9a-f]{64})\Z")
_DIGEST_LENGTH = 64
_MEMBER = re.compile(
    r"schema\.json|skavsc\.json|[0-9]{1,20}\.npy|[0-9a-f-]{36}\.bin|weights/[0-9a-f]{64}"
)
# What skops may be told to make. Sparse matrices are missing: they are archives of their own.
_LOADERS = {
    "BytesNode",
    "ConstructorFromReduceNode",
    "DTypeNode",
    "DefaultDictNode",
    "DictNode",
    "FunctionNode",
    "JsonNode",
    "ListNode",
    "LossNode",
    "MaskedArrayNode",
    "NdArrayNode",
    "ObjectNode",
    "RandomGeneratorNode",
    "RandomStateNode",
    "SetNode",
    "SliceNode",
    "TreeNode",
    "TupleNode",
    "TypeNode",
}
# Earlier protocols of skops are known to let types through.
_LOWEST_PROTOCOL = 2


class Archive:
    """A model file in memory whose members have been checked.

    Parameters
    ----------
    data : bytes
        The file.

    Raises
    ------
    ModelFileError
        If it is damaged, of a newer format, or holds what a model file never does.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        _check_whole(data)
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
            members = self._zip.infolist()
        except Exception as error:  # zipfile raises what it comes upon; the file is the cause
            raise ModelFileError(f"it is no ZIP archive: {error}") from error
        for member in members:
            _check_member(member)
        names = [member.filename for member in members]
        name, count = max(Counter(names).items(), key=lambda item: item[1], default=("", 0))
        if count > 1:
            raise ModelFileError(f"the member {name!r} is there {count} times")
        if sum(member.file_size for member in members) > len(data):
            raise ModelFileError("its members overlap")
        self.names = frozenset(names)
        self.description = self._json("skavsc.json")
        self.schema = self._json("schema.json")
        for name in names:
            if name.endswith(".npy"):
                _check_array(name, self.read(name))
        protocol = self.schema.get("protocol")
        if type(protocol) is not int or protocol < _LOWEST_PROTOCOL:
            raise ModelFileError(f"the protocol of skops is {protocol!r}, not {_LOWEST_PROTOCOL}")
        for node in self.nodes():
            self._check_node(node)

    def read(self, name: str) -> bytes:
        """Return the content of a member."""
        if name not in self.names:
            raise ModelFileError(f"the member {name!r} is missing")
        try:
            return self._zip.read(name)
        except Exception as error:  # zipfile raises what it comes upon; the file is the cause
            raise ModelFileError(f"the member {name!r} is damaged: {error}") from error

    def array(self, node: Any) -> NDArray[Any]:
        """Return the array of a node of the schema."""
        if not isinstance(node, dict) or node.get("type") != "numpy":
            raise ModelFileError("there is something else where an array should be")
        return np.load(io.BytesIO(self.read(str(node.get("file")))), allow_pickle=False)

    def nodes(self) -> Iterator[dict[str, Any]]:
        """Iterate over the objects that the schema describes."""
        waiting: list[Any] = [self.schema]
        while waiting:
            item = waiting.pop()
            if isinstance(item, dict):
                if "__loader__" in item:
                    yield item
                waiting.extend(item.values())
            elif isinstance(item, list):
                waiting.extend(item)

    def _json(self, name: str) -> dict[str, Any]:
        try:
            content = json.loads(self.read(name))
        except (ValueError, RecursionError) as error:
            raise ModelFileError(f"{name} is no JSON: {error}") from error
        if not isinstance(content, dict):
            raise ModelFileError(f"{name} holds a {type(content).__name__} and not an object")
        return content

    def _check_node(self, node: dict[str, Any]) -> None:
        loader = node["__loader__"]
        if loader not in _LOADERS:
            raise ModelFileError(f"{loader!r} is no kind of object that a model file may hold")
        if not (isinstance(node.get("__class__"), str) and isinstance(node.get("__module__"), str)):
            raise ModelFileError(f"an object of the kind {loader} has no type")
        file = node.get("file")
        if file is not None and file not in self.names:
            raise ModelFileError(f"the member {file!r} is missing")


def build(skops_file: bytes, description: dict[str, Any], weights: dict[str, Path]) -> bytes:
    """Build a model file.

    Parameters
    ----------
    skops_file : bytes
        The estimator as skops has written it.
    description : dict
        What ``skavsc.json`` holds.
    weights : dict of pathlib.Path
        The files of weights by their sha256.

    Returns
    -------
    bytes
        The file.
    """
    buffer = io.BytesIO(skops_file)
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_STORED) as archive:
        for digest, path in weights.items():
            archive.write(path, f"weights/{digest}")
        archive.writestr("skavsc.json", json.dumps(description, indent=1))
        archive.comment = b"skavsc-model %d sha256:" % FORMAT + b"0" * _DIGEST_LENGTH
    content = buffer.getvalue()[:-_DIGEST_LENGTH]
    return content + hashlib.sha256(content).hexdigest().encode()


def read_file(path: Path) -> bytes:
    """Return the bytes of a regular file; anything else, such as a pipe, might never end."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ModelFileError("it is no regular file")
    return path.read_bytes()


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file such that at any moment the former one, or all of the new one, is there.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    data : bytes
        Its content.

    Raises
    ------
    OSError
        If it cannot be written: the disk is full, the folder is missing, ...
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    try:
        with open(beside, "xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(beside, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        if isinstance(error, OSError):
            raise OSError(
                error.errno,
                f"{error.strerror}; nothing was saved, the former file is unchanged",
                str(path),
            ) from error
        raise


def _check_whole(data: bytes) -> None:
    found = _COMMENT.search(data[-128:])
    if found is None:
        raise ModelFileError("it is no model file of skavsc, or its end is missing")
    version = int(found[1])
    if version > FORMAT:
        raise ModelFileError(
            f"its format is {version}, newer than {FORMAT}, the newest that this version of "
            f"skavsc can read; install a newer skavsc"
        )
    if version < 1:
        raise ModelFileError(f"there is no format {version}")
    if hashlib.sha256(data[:-_DIGEST_LENGTH]).hexdigest().encode() != found[2]:
        raise ModelFileError("its checksum is wrong: the file was damaged or changed")


def _check_member(member: zipfile.ZipInfo) -> None:
    name = member.orig_filename
    if name != member.filename or not _MEMBER.fullmatch(name):
        raise ModelFileError(f"{name!r} is no name that a member may have")
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        raise ModelFileError(f"the member {name!r} is a link or another special file")
    if member.flag_bits & 1:
        raise ModelFileError(f"the member {name!r} is encrypted")
    if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
        # Model files are never compressed, so none can unpack to more than its own size.
        raise ModelFileError(f"the member {name!r} is compressed")


def _check_array(name: str, data: bytes) -> None:
    """Raise unless a member is an array of plain values, and as large as it says."""
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        readers = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }
        shape, _, dtype = readers[version](stream)
        size = math.prod(shape) * dtype.itemsize
    except Exception as error:  # NumPy evaluates the header as Python, with the errors of that
        raise ModelFileError(f"the member {name!r} is no array: {error}") from error
    if dtype.hasobject:
        raise ModelFileError(f"the array {name!r} is of Python objects, which only pickle reads")
    if any(length < 0 for length in shape) or size != len(data) - stream.tell():
        raise ModelFileError(
            f"the array {name!r} says that it has {size} bytes, and has {len(data) - stream.tell()}"
        )

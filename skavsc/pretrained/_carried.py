"""The files that embedders name by their parameters, and that their pickles carry."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skavsc._clips import unfinished_file
from skavsc.exceptions import WeightsNotFoundError
from skavsc.pretrained._download import cache_folder, find_weights, sha256_of
from skavsc.pretrained._keras import ARCHITECTURES
from skavsc.pretrained._meant import find_model
from skavsc.pretrained._registry import REGISTRY

# Parameter -> (where its file is, its sha256, its bytes).
Carried = dict[str, tuple[str, str, NDArray[np.uint8]]]


class CarriesFiles:
    """Base of the embedders: a pickle of a fitted one holds the files of its network.

    So it works on a machine that does not have them. Model files, which have members for them,
    ask for the state alone.

    Examples
    --------
    >>> from skavsc import ImageEmbedder
    >>> from skavsc.pretrained import CarriesFiles
    >>> issubclass(ImageEmbedder, CarriesFiles)
    True
    """

    def __reduce__(self) -> tuple[Any, ...]:
        carried: Carried = {}
        if hasattr(self, "digest_"):
            for network, parameter, value in file_references(self):
                path = os.path.abspath(referenced_file(network, parameter, value))
                carried[parameter] = path, sha256_of(path), np.fromfile(path, np.uint8)
        state = super().__getstate__()
        return _with_files, (type(self), state, carried)


def _with_files(cls: Any, state: dict[str, Any], carried: Carried) -> Any:
    embedder: Any = cls.__new__(cls)
    embedder.__setstate__(state)
    for parameter, (path, digest, content) in carried.items():
        if not (os.path.isfile(path) and sha256_of(path) == digest):
            kept = kept_file(digest, file_suffix(path), content.tobytes())
            setattr(embedder, parameter, str(kept))
    return embedder


def file_references(embedder: Any) -> Iterator[tuple[str | None, str, str]]:
    """Iterate over the parameters of an embedder that name files.

    Parameters
    ----------
    embedder : CarriesFiles
        The embedder.

    Yields
    ------
    network : str or None
        The network that the file is of; None where it is the whole network, or the weights of
        one that is no name.
    parameter : str
        The parameter.
    value : str
        Its value; empty where the file is the published one of the network.

    Examples
    --------
    >>> from skavsc import ImageEmbedder
    >>> from skavsc.pretrained import file_references
    >>> list(file_references(ImageEmbedder("network.onnx")))
    [(None, 'model', 'network.onnx')]
    """
    model, weights = embedder.model, embedder.weights
    if not isinstance(model, str | os.PathLike):
        if weights is not None:
            yield None, "weights", os.fspath(weights)
        return
    model = os.fspath(model)
    published = REGISTRY.get(model)
    if published is not None and published.architecture is not None:
        own = model.removeprefix(f"{published.architecture}-")
        yield published.architecture, "weights", os.fspath(weights or own)
    elif published is not None:
        yield model, "weights", os.fspath(weights or "")
    else:
        if model not in ARCHITECTURES:
            yield None, "model", model
        if weights is not None:
            network = model if model in ARCHITECTURES else None
            yield network, "weights", os.fspath(weights)


def referenced_file(network: str | None, parameter: str, value: str) -> Path:
    """Return the file that a parameter names.

    Parameters
    ----------
    network, parameter, value : str
        What `file_references` yields.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    WeightsNotFoundError
        If there is no such file.

    Examples
    --------
    >>> import tempfile
    >>> from skavsc.pretrained import referenced_file
    >>> with tempfile.NamedTemporaryFile(suffix=".onnx") as file:
    ...     referenced_file(None, "model", file.name).suffix
    '.onnx'
    """
    if network is None:
        path = Path(value).expanduser()
    elif network in ARCHITECTURES:
        path = find_weights(network, value)
    else:
        path = Path(find_model(network, value or None).model)
    if not path.is_file():
        raise WeightsNotFoundError(f"{parameter}={value!r} is no file")
    return path


def kept_file(digest: str, suffix: str, content: bytes) -> Path:
    """Return a file of some content in the user's cache folder, written if it is not there.

    Parameters
    ----------
    digest : str
        The sha256 of the content.
    suffix : str
        What the name of the file ends in.
    content : bytes
        The content.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    OSError
        If it cannot be written.

    Examples
    --------
    >>> import hashlib, os, tempfile
    >>> from unittest import mock
    >>> from skavsc.pretrained import kept_file
    >>> digest = hashlib.sha256(b"content").hexdigest()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with mock.patch.dict(os.environ, SKAVSC_CACHE_DIR=folder):
    ...         content = kept_file(digest, ".npz", b"content").read_bytes()
    >>> content
    b'content'
    """
    path = cache_folder("model_files") / f"{digest}{suffix}"
    if not (path.is_file() and sha256_of(path) == digest):
        try:
            with unfinished_file(path.parent) as part:
                part.file.write(content)
                part.finish(path)
        except OSError as error:
            cause = (
                f"{error.strerror}; the frozen networks inside a model are written there: set "
                "SKAVSC_CACHE_DIR to a folder that can be written"
            )
            raise OSError(error.errno, cause, str(path)) from error
    return path


_SUFFIXES = (".weights.h5", ".h5", ".npz", ".keras", ".onnx", ".tflite")


def file_suffix(name: str) -> str:
    """Return what the name of a file of weights ends in.

    Parameters
    ----------
    name : str
        The name.

    Returns
    -------
    str
        Its end, such as ``".weights.h5"``.

    Raises
    ------
    ValueError
        If it is no such name.

    Examples
    --------
    >>> from skavsc.pretrained import file_suffix
    >>> file_suffix("squeezenet.weights.h5")
    '.weights.h5'
    """
    for suffix in _SUFFIXES:
        if name.endswith(suffix):
            return suffix
    raise ValueError(f"{name!r} is no file of weights: it ends in none of {_SUFFIXES}")

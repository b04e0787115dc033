"""What an embedder names by its parameters: a network, and files, which pickles carry."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skavsc._clips import unfinished_file
from skavsc.exceptions import WeightsNotFoundError
from skavsc.pretrained._download import cache_folder, fetch, find_weights, sha256_of
from skavsc.pretrained._keras import ARCHITECTURES
from skavsc.pretrained._network import FrozenNetwork
from skavsc.pretrained._registry import (
    REGISTRY,
    ModelFile,
    PublishedModel,
    class_names,
    known_file,
)

# Parameter -> (where its file is, its sha256, its bytes).
Carried = dict[str, tuple[str, str, NDArray[np.uint8]]]

_SUFFIXES = (".weights.h5", ".h5", ".npz", ".keras", ".onnx", ".tflite")


class Meant(NamedTuple):
    """The network that an embedder's ``model`` and ``weights`` name.

    Parameters
    ----------
    model : str, path-like or keras.Model
        A file, an architecture of ours or a Keras model.
    published : PublishedModel or None
        What is known of it.
    file : ModelFile or None
        The published file that it is.

    Examples
    --------
    >>> from skavsc.pretrained import find_model
    >>> meant = find_model("vgg16-places365")
    >>> meant.published.licence, meant.is_file
    ('MIT (code), CC BY (weights of Places365)', False)
    """

    model: Any
    published: PublishedModel | None
    file: ModelFile | None

    @property
    def is_file(self) -> bool:
        """Whether it is a file that is run as it is, without Keras."""
        return isinstance(self.model, str) and self.model.endswith((".onnx", ".tflite"))

    def output_alias(self, output: str | None) -> str | None:
        """Return the file's tensor for a plain name, by default the published embedding."""
        if output is None and self.published is not None:
            output = self.published.output
        aliases = {} if self.file is None else self.file.outputs
        return output if output is None else aliases.get(output, output)


def labels_of(
    meant: Meant, network: FrozenNetwork, output: str, n_features: int
) -> tuple[str, ...] | None:
    """Return the class names of an output's features.

    Parameters
    ----------
    meant : Meant
        What is known of the network.
    network : FrozenNetwork
        The network.
    output : str
        The output.
    n_features : int
        How many features it gives.

    Returns
    -------
    tuple of str or None
        The names; None if the output is no scores of classes, or their names are not known.

    Examples
    --------
    >>> import keras
    >>> from skavsc.pretrained import find_model, labels_of, open_keras
    >>> inputs = keras.Input((4,))
    >>> model = keras.Model(inputs, keras.layers.Dense(2, name="vector")(inputs))
    >>> labels_of(find_model(model), open_keras(model), "vector", n_features=2) is None
    True
    """
    if meant.published is not None and meant.published.labels is not None:
        scores = meant.output_alias("scores")
        return class_names(meant.published.labels) if output == scores else None
    names = network.class_names()
    if names is None or len(names) != n_features:
        return None
    return names if output in [tensor.name for tensor in network.outputs] else None


def find_model(model: Any, weights: str | os.PathLike[str] | None = None) -> Meant:
    """Find the network of a name, a file or an object; a published file is downloaded.

    Parameters
    ----------
    model : str, path-like or keras.Model
        A name of the registry, a file or a Keras model.
    weights : path-like, optional
        The file of a named network, in place of the published one.

    Returns
    -------
    Meant
        What it is, and what is known of it.

    Raises
    ------
    WeightsNotFoundError
        If the file is not there and cannot be fetched.

    Examples
    --------
    >>> from skavsc.pretrained import find_model
    >>> find_model("vgg16-places365").model
    'vgg16'
    >>> find_model("lost.onnx")
    Traceback (most recent call last):
    ...
    skavsc.exceptions.WeightsNotFoundError: model='lost.onnx' is no file
    """
    if not isinstance(model, str | os.PathLike):
        return Meant(model, None, None)
    name = os.fspath(model)
    published = REGISTRY.get(name)
    if published is not None and published.architecture is not None:
        return Meant(published.architecture, published, published.files[0])
    if published is not None:
        path = fetch(published) if weights is None else Path(weights).expanduser()
        if not path.is_file():
            raise WeightsNotFoundError(f"weights={os.fspath(path)!r} is no file")
        name = os.fspath(path)
    if not name.endswith((".onnx", ".tflite")):
        return Meant(name, published, None)
    path = Path(name).expanduser()
    if not path.is_file():
        raise WeightsNotFoundError(f"model={name!r} is no file")
    known = known_file(_digest(os.path.abspath(path), path.stat().st_mtime_ns))
    if known is None:
        return Meant(str(path), published, None)
    return Meant(str(path), *known)


@functools.lru_cache(maxsize=16)
def _digest(path: str, stamp: int) -> str:
    return sha256_of(path)


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

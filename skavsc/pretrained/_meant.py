"""The network that an embedder's ``model`` and ``weights`` name: by name, file or object."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any, NamedTuple

from skavsc.exceptions import WeightsNotFoundError
from skavsc.pretrained._download import fetch, sha256_of
from skavsc.pretrained._network import FrozenNetwork
from skavsc.pretrained._registry import (
    REGISTRY,
    ModelFile,
    PublishedModel,
    class_names,
    known_file,
)


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

"""The files of frozen networks that an estimator needs, carried in a model file or named by it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from skavsc.exceptions import ModelFileError, WeightsNotFoundError
from skavsc.persistence._archive import Archive, write_atomically
from skavsc.persistence._trust import objects
from skavsc.pretrained import (
    ARCHITECTURES,
    REGISTRY,
    cache_folder,
    find_model,
    find_weights,
    sha256_of,
)

_SUFFIXES = (".weights.h5", ".h5", ".npz", ".keras", ".onnx", ".tflite")


def needed_files(estimator: Any) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Iterate over the files of frozen networks that an estimator needs, with what is known.

    Parameters
    ----------
    estimator : object
        The estimator.

    Yields
    ------
    path : pathlib.Path
        The file.
    description : dict
        Its name, sha256, size, address and licence, and the parameter that names it.
    """
    for network, parameter, value in _references(estimator):
        if network is None:
            path = Path(value).expanduser()
        elif network in ARCHITECTURES:
            path = find_weights(network, value)
        else:
            path = Path(find_model(network, value or None).model)
        if not path.is_file():
            raise WeightsNotFoundError(f"{parameter}={value!r} is no file")
        published = REGISTRY.get(f"{network}-{value}" if value else str(network))
        file = published.files[0] if published is not None and published.files else None
        _suffix(path.name)
        yield (
            path,
            {
                "network": network,
                "parameter": parameter,
                "value": value,
                "name": path.name,
                "sha256": sha256_of(path),
                "size": path.stat().st_size,
                "address": None if file is None else file.url,
                "licence": None if published is None else published.licence,
            },
        )


def restore_files(estimator: Any, archive: Archive, folder: str | os.PathLike[str] | None) -> None:
    """Point an estimator to the files of its frozen networks.

    Parameters
    ----------
    estimator : object
        The estimator, changed in place.
    archive : Archive
        The model file; files that it holds are written to the user's cache folder.
    folder : path-like or None
        A folder with the files that it does not hold.

    Raises
    ------
    WeightsNotFoundError
        If a file is neither in the model file nor in the folder.
    """
    described = {
        (item["network"], item["parameter"], item["value"]): item
        for item in archive.description["weights"]
    }
    for item in list(objects(estimator)):
        for reference in _references_of(item):
            if reference not in described:
                raise ModelFileError(f"the weights of {type(item).__name__} are not described")
            setattr(item, reference[1], str(_restored(described[reference], archive, folder)))


def _restored(
    file: dict[str, Any], archive: Archive, folder: str | os.PathLike[str] | None
) -> Path:
    digest, suffix = file["sha256"], _suffix(file["name"])
    if f"weights/{digest}" in archive.names:
        path = cache_folder("model_files") / f"{digest}{suffix}"
        if not (path.is_file() and sha256_of(path) == digest):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, archive.read(f"weights/{digest}"))
        if sha256_of(path) != digest:
            raise ModelFileError(f"the weights {file['name']!r} are not those that are described")
        return path
    for path in [] if folder is None else sorted(Path(folder).iterdir()):
        fits = path.is_file() and path.stat().st_size == file["size"]
        if fits and path.name.endswith(suffix) and sha256_of(path) == digest:
            return path.resolve()
    address = file["address"] and f", from {file['address']}"
    raise WeightsNotFoundError(
        f"it was saved without the weights {file['name']} (sha256 {digest}"
        f"{address or ''}); put that file into a folder and pass weights=<folder>"
        + ("" if folder is None else f"; it is not in {os.fspath(folder)}")
    )


def _references(estimator: Any) -> Iterator[tuple[str | None, str, str]]:
    for item in list(objects(estimator)):
        yield from _references_of(item)


def _references_of(item: Any) -> Iterator[tuple[str | None, str, str]]:
    """Iterate over (network, parameter, value) of the parameters that name files.

    The network is None where the parameter is the path of a whole network. The value is empty
    where the file is the published one of the network.
    """
    if not (type(item).__module__.startswith("skavsc.") and hasattr(item, "digest_")):
        return
    if not hasattr(item, "model"):
        return
    model, weights = os.fspath(item.model), item.weights
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


def _suffix(name: str) -> str:
    for suffix in _SUFFIXES:
        if name.endswith(suffix):
            return suffix
    raise ModelFileError(f"{name!r} is no file of weights: it ends in none of {_SUFFIXES}")

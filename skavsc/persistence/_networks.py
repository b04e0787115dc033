"""The files of frozen networks that an estimator needs, carried in a model file or named by it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from skavsc.exceptions import ModelFileError, WeightsNotFoundError
from skavsc.persistence._archive import Archive
from skavsc.persistence._trust import objects
from skavsc.pretrained import (
    REGISTRY,
    CarriesFiles,
    file_references,
    file_suffix,
    kept_file,
    referenced_file,
    sha256_of,
)


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
        path = referenced_file(network, parameter, value)
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
        path = kept_file(digest, suffix, archive.read(f"weights/{digest}"))
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
    if isinstance(item, CarriesFiles) and hasattr(item, "digest_"):
        yield from file_references(item)


def _suffix(name: str) -> str:
    try:
        return file_suffix(name)
    except ValueError as error:
        raise ModelFileError(str(error)) from error

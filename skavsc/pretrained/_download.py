"""Files of published networks: where they are kept, and how they are fetched and checked."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from skavsc.exceptions import WeightsNotFoundError
from skavsc.pretrained._registry import REGISTRY, ModelFile, PublishedModel


def cache_folder(kind: str) -> Path:
    """Return the folder of this user for fetched and converted networks.

    It is ``$SKAVSC_CACHE_DIR`` where that is set, else the usual cache folder of the system.

    Parameters
    ----------
    kind : str
        The name of the folder inside, such as ``"weights"``.

    Returns
    -------
    pathlib.Path
        The folder, which need not exist.

    Examples
    --------
    >>> from skavsc.pretrained import cache_folder
    >>> cache_folder("weights").name
    'weights'
    """
    import pooch

    return Path(os.environ.get("SKAVSC_CACHE_DIR") or pooch.os_cache("skavsc")) / kind


def sha256_of(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file, as hexadecimal digits.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    str
        The digest, 64 digits.

    Examples
    --------
    >>> import tempfile
    >>> from skavsc.pretrained import sha256_of
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     sha256_of(file.name)[:16]
    'e3b0c44298fc1c14'
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(model: PublishedModel) -> Path:
    """Return the file of a published network, fetched if it is not in the cache folder.

    Parameters
    ----------
    model : PublishedModel
        The network.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    WeightsNotFoundError
        If there is no address, or what comes from it is not the file. Nothing is kept then.

    Examples
    --------
    >>> from skavsc.pretrained import REGISTRY, fetch
    >>> fetch(REGISTRY["openl3-audio"])
    Traceback (most recent call last):
    ...
    skavsc.exceptions.WeightsNotFoundError: no address of a file of openl3-audio ...
    """
    if not model.files or model.files[0].url is None:
        raise WeightsNotFoundError(
            f"no address of a file of {model.name} that can be run here is known; get it from "
            f"{model.source}, save it as .onnx, .tflite or .keras, and pass weights=<path of the "
            f"file>"
        )
    file = model.files[0]
    target = cache_folder("weights") / file.name
    advice = (
        f"fetch {file.url} elsewhere and put it at {target}, or pass weights=<path of the file>"
    )
    if target.is_file():
        problem = _difference(target, file)
        if problem is None:
            return target
        raise WeightsNotFoundError(f"{target} is not the file of {model.name}: {problem}; {advice}")
    import pooch

    def check(path: str, action: str, _: object) -> str:
        problem = _difference(Path(path), file)
        if problem is not None:
            Path(path).unlink()
            raise ValueError(problem)
        return path

    try:
        return Path(
            pooch.retrieve(
                file.url,
                known_hash=file.sha256,
                fname=file.name,
                path=target.parent,
                processor=check,
            )
        )
    except (OSError, ValueError) as error:
        # requests' errors are OSErrors; a wrong checksum is a ValueError.
        raise WeightsNotFoundError(
            f"the file of {model.name} is not at {target} and could not be downloaded from "
            f"{file.url} ({type(error).__name__}: {error}); {advice}"
        ) from error


_BEGINNINGS = {".tflite": (4, b"TFL3"), ".h5": (0, b"\x89HDF\r\n\x1a\n"), ".keras": (0, b"PK")}


def _difference(path: Path, file: ModelFile) -> str | None:
    """Return how a file on disk differs from the one of the registry, or None."""
    size = path.stat().st_size
    if file.size is not None and size != file.size:
        return f"it has {size} bytes and not {file.size}"
    with open(path, "rb") as stream:
        beginning = stream.read(512)
    if beginning.lstrip()[:1] == b"<":
        return "it is a web page (a login page?) and no network"
    offset, magic = _BEGINNINGS.get(path.suffix, (0, b""))
    if beginning[offset : offset + len(magic)] != magic:
        return f"it does not begin like a {path.suffix} file"
    if file.sha256 is not None and sha256_of(path) != file.sha256:
        return f"its sha256 is not {file.sha256}"
    return None


def find_weights(architecture: str, weights: str | os.PathLike[str]) -> Path:
    """Return the file of weights of a published name or a path, downloaded if needed.

    Parameters
    ----------
    architecture : str
        The network.
    weights : str or path-like
        The name of published weights, such as ``"places365"``, or a path.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    WeightsNotFoundError
        If there is no such file, or it can be neither found nor downloaded.

    Examples
    --------
    >>> from skavsc.pretrained import find_weights
    >>> find_weights("vgg16", "lost.h5")
    Traceback (most recent call last):
    ...
    skavsc.exceptions.WeightsNotFoundError: weights='lost.h5' is neither a file nor ...
    """
    model = REGISTRY.get(f"{architecture}-{os.fspath(weights)}")
    if model is not None:
        return fetch(model)
    path = Path(weights).expanduser()
    if not path.is_file():
        raise WeightsNotFoundError(
            f"weights={os.fspath(weights)!r} is neither a file nor the name of published weights "
            f"for {architecture} ({published_names(architecture) or 'there are none'})"
        )
    return path


def published_names(architecture: str) -> list[str]:
    """Return the names of the weights that are published for a network of ours.

    Parameters
    ----------
    architecture : {"vgg16", "squeezenet11"}
        The network.

    Returns
    -------
    list of str
        The names, in the order of the registry.

    Examples
    --------
    >>> from skavsc.pretrained import published_names
    >>> published_names("vgg16")
    ['places365']
    """
    return [
        name.removeprefix(f"{architecture}-")
        for name, model in REGISTRY.items()
        if model.architecture == architecture
    ]

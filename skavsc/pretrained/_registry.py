"""Published weights of image networks: what is known of them, and where they lie."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from skavsc.exceptions import WeightsNotFoundError


@dataclass(frozen=True)
class PublishedWeights:
    """A file of weights that can be fetched by name.

    Parameters
    ----------
    architecture : str
        The network that it fits.
    name : str
        The name by which ``weights=`` asks for it.
    url : str
        The address.
    layout : str
        How the file is organised.
    size : int, optional
        The size in bytes, where known.
    sha256 : str, optional
        The checksum, where known: the file is then checked after the download.
    """

    architecture: str
    name: str
    url: str
    layout: str
    size: int | None = None
    sha256: str | None = None

    @property
    def file_name(self) -> str:
        """The last part of the address."""
        return self.url.rsplit("/", 1)[1]


REGISTRY = {
    (entry.architecture, entry.name): entry
    for entry in (
        PublishedWeights(
            architecture="vgg16",
            name="places365",
            url="https://github.com/GKalliatakis/Keras-VGG16-places365/releases/download/v1.0/"
            "vgg16-places365_weights_tf_dim_ordering_tf_kernels_notop.h5",
            layout="Keras 2 HDF5: a group a layer (block1_conv1 to block5_pool), HWIO kernels",
        ),
    )
}


def published_names(architecture: str) -> list[str]:
    """Give the names of the weights that are published for a network."""
    return sorted(name for network, name in REGISTRY if network == architecture)


def cache_folder(kind: str) -> Path:
    """Give the folder of this user for fetched weights and converted networks.

    It is ``$SKAVSC_CACHE_DIR`` where that is set, else the usual cache folder of the system.
    """
    import pooch

    return Path(os.environ.get("SKAVSC_CACHE_DIR") or pooch.os_cache("skavsc")) / kind


def find_weights(architecture: str, weights: str | os.PathLike[str]) -> Path:
    """Give the file of weights meant by a published name or a path, fetching it if needed.

    Parameters
    ----------
    architecture : str
        The network.
    weights : str or path-like
        A name of the registry, or a path.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    WeightsNotFoundError
        If there is no such file, or it can be neither found nor downloaded.
    """
    entry = REGISTRY.get((architecture, os.fspath(weights)))
    if entry is not None:
        return _fetch(entry)
    path = Path(weights).expanduser()
    if not path.is_file():
        raise WeightsNotFoundError(
            f"weights={os.fspath(weights)!r} is neither a file nor the name of published weights "
            f"for {architecture} ({published_names(architecture) or 'there are none'})"
        )
    return path


def _fetch(entry: PublishedWeights) -> Path:
    import pooch

    target = cache_folder("weights") / entry.file_name
    if target.is_file() and entry.sha256 is None:
        return target
    try:
        return Path(
            pooch.retrieve(
                entry.url,
                known_hash=entry.sha256,
                fname=entry.file_name,
                path=target.parent,
            )
        )
    except (OSError, ValueError) as error:
        # requests' errors are OSErrors; a wrong checksum is a ValueError.
        raise WeightsNotFoundError(
            f"the weights {entry.name!r} of {entry.architecture} are not at {target} and could "
            f"not be downloaded from {entry.url} ({type(error).__name__}: {error}); fetch that "
            f"file elsewhere and put it at {target}, or pass weights=<path of the file>"
        ) from error

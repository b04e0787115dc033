"""Weights into networks: files of three layouts, and seeded random ones."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skavsc.exceptions import WeightsError

Arrays = list[NDArray[np.float32]]


def _read_npz(path: Path) -> dict[str, Arrays]:
    """Read arrays named ``layer/kernel`` and ``layer/bias``; a layer's name may hold slashes."""
    layers: dict[str, Arrays] = {}
    with np.load(path, allow_pickle=False) as file:
        for key in file.files:
            layers.setdefault(key.rpartition("/")[0].replace("/", "_"), []).append(file[key])
    return layers


def _read_hdf5(path: Path) -> dict[str, Arrays]:
    """Read the layout of Keras 2: a group a layer, the order of its arrays in an attribute."""
    import h5py  # type: ignore[import-untyped]

    with h5py.File(path, "r") as file:
        root = file.get("model_weights", file)
        if "layer_names" not in root.attrs:
            raise WeightsError(
                f"{path} has no layer names, so it is no Keras 2 weights file; a Keras 3 file "
                f"must be named *.weights.h5"
            )
        return {
            _text(name): [
                np.asarray(root[_text(name)][_text(array)])
                for array in root[_text(name)].attrs["weight_names"]
            ]
            for name in root.attrs["layer_names"]
        }


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def _differences(network: Any, found: dict[str, Arrays]) -> list[str]:
    """Say which layers of a network a file lacks or has in other shapes."""
    differences = []
    for layer in network.layers:
        shapes = [tuple(weight.shape) for weight in layer.weights]
        if not shapes:
            continue
        if not found.get(layer.name):
            differences.append(f"{layer.name} is not in the file")
        elif [array.shape for array in found[layer.name]] != shapes:
            in_file = [array.shape for array in found[layer.name]]
            differences.append(f"{layer.name} is {in_file} in the file, not {shapes}")
    return differences


def load_weights(network: Any, path: Path) -> None:
    """Load a file into a network.

    Parameters
    ----------
    network : keras.Model
        The network, changed in place.
    path : pathlib.Path
        ``.npz`` (``layer/kernel``, ``layer/bias``), ``.h5`` (Keras 2) or ``.weights.h5``
        (Keras 3). Layers that the network lacks, such as a classifying head, are left out.

    Raises
    ------
    WeightsError
        If the file is damaged or of another layout, or layers or shapes differ.
    """
    try:
        if path.name.endswith(".weights.h5"):
            network.load_weights(path)
            return
        found = _read_npz(path) if path.suffix == ".npz" else _read_hdf5(path)
    except WeightsError:
        raise
    except Exception as error:
        # Whatever h5py, zipfile and Keras raise, the file is the cause.
        raise WeightsError(f"{path} cannot be read as weights: {error}") from error
    differences = _differences(network, found)
    if differences:
        raise WeightsError(
            f"{path} does not fit {network.name}: {'; '.join(differences[:5])}"
            + (f"; and {len(differences) - 5} more layers" if len(differences) > 5 else "")
            + f"; the file holds {[name for name, arrays in found.items() if arrays][:20]}"
        )
    for layer in network.layers:
        if layer.weights:
            layer.set_weights(found[layer.name])


def draw_weights(network: Any, seed: int) -> None:
    """Fill a network with He-normal kernels and zero biases.

    They come from NumPy, so that they are the same on every backend of Keras.
    """
    rng = np.random.default_rng(seed)
    for layer in network.layers:
        arrays = []
        for weight in layer.weights:
            shape = tuple(weight.shape)
            scale = np.sqrt(2 / np.prod(shape[:-1])) if len(shape) > 1 else 0.0
            arrays.append(scale * rng.standard_normal(shape, dtype=np.float32))
        if arrays:
            layer.set_weights(arrays)


def weights_digest(network: Any) -> str:
    """Give a checksum of a network's structure and weights."""
    hasher = hashlib.blake2b(digest_size=20)
    for weight in network.get_weights():
        hasher.update(str(weight.shape).encode())
        hasher.update(np.ascontiguousarray(weight).tobytes())
    return hasher.hexdigest()

"""Weights into networks: files of three layouts, and seeded random ones."""

from __future__ import annotations

import contextlib
import functools
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skavsc.exceptions import WeightsError


@dataclass(frozen=True)
class _Stored:
    """An array in a file, not read yet."""

    shape: tuple[int, ...]
    read: Callable[[], NDArray[Any]]


_Layers = dict[str, list[_Stored]]


@contextlib.contextmanager
def _open_npz(path: Path) -> Iterator[_Layers]:
    """Find arrays named ``layer/kernel`` and ``layer/bias``; a layer's name may hold slashes."""
    layers: _Layers = {}
    with np.load(path, allow_pickle=False) as file:
        for key in file.files:
            with file.zip.open(f"{key}.npy") as member:
                version = np.lib.format.read_magic(member)
                read = {
                    (1, 0): np.lib.format.read_array_header_1_0,
                    (2, 0): np.lib.format.read_array_header_2_0,
                }[version]
                shape, _, dtype = read(member)
            stored = _Stored(shape, functools.partial(file.__getitem__, key))
            _check_numbers(key, dtype)
            layers.setdefault(key.rpartition("/")[0].replace("/", "_"), []).append(stored)
        yield layers


@contextlib.contextmanager
def _open_hdf5(path: Path) -> Iterator[_Layers]:
    """Find the arrays of Keras 2's layout: a group a layer, their order in an attribute."""
    import h5py  # type: ignore[import-untyped]

    with h5py.File(path, "r") as file:
        _check_datasets(file)
        root = file.get("model_weights", file)
        if "layer_names" not in root.attrs:
            raise WeightsError(
                f"{path} has no layer names, so it is no Keras 2 weights file; a Keras 3 file "
                f"must be named *.weights.h5"
            )
        layers: _Layers = {}
        for name in map(_text, root.attrs["layer_names"]):
            datasets = [root[name][_text(array)] for array in root[name].attrs["weight_names"]]
            layers[name] = [_Stored(d.shape, functools.partial(np.asarray, d)) for d in datasets]
        yield layers


def _check_datasets(group: Any, largest: float = np.inf) -> None:
    """Refuse what lies in other files, what is no array of numbers, and what is too large."""
    import h5py

    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise WeightsError(f"{group.file.filename}: {name!r} is a link to another place")
        item = group[name]
        if isinstance(item, h5py.Group):
            _check_datasets(item, largest)
        elif item.external or item.is_virtual:
            raise WeightsError(f"{group.file.filename}: {name!r} is kept in another file")
        elif item.size is not None and item.size > largest:
            raise WeightsError(
                f"{group.file.filename}: {item.name!r} of shape {item.shape} is larger than any "
                f"array of the network"
            )
        else:
            _check_numbers(item.name, item.dtype)


def _check_numbers(name: str, dtype: Any) -> None:
    if dtype.kind not in "fiu":
        raise WeightsError(f"the array {name!r} is of {dtype} and not of numbers")


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def _differences(network: Any, found: _Layers) -> list[str]:
    """Return messages on the layers of a network that a file lacks or has in other shapes."""
    differences = []
    for layer in network.layers:
        shapes = [tuple(weight.shape) for weight in layer.weights]
        if not shapes:
            continue
        in_file = [stored.shape for stored in found.get(layer.name, [])]
        if not in_file:
            differences.append(f"{layer.name} is not in the file")
        elif in_file != shapes:
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
            import h5py

            with h5py.File(path, "r") as file:
                largest = max((weight.size for weight in network.get_weights()), default=0)
                _check_datasets(file, largest)
            network.load_weights(path)
            return
        with (_open_npz if path.suffix == ".npz" else _open_hdf5)(path) as found:
            # Before anything is read: a small file may promise arrays of gigabytes.
            differences = _differences(network, found)
            if differences:
                raise WeightsError(
                    f"{path} does not fit {network.name}: {'; '.join(differences[:5])}"
                    + (f"; and {len(differences) - 5} more layers" if differences[5:] else "")
                    + f"; the file holds {[name for name, arrays in found.items() if arrays][:20]}"
                )
            arrays = {
                layer.name: [stored.read() for stored in found[layer.name]]
                for layer in network.layers
                if layer.weights
            }
    except WeightsError:
        raise
    except Exception as error:
        # Whatever h5py, zipfile and Keras raise, the file is the cause.
        raise WeightsError(f"{path} cannot be read as weights: {error}") from error
    for layer in network.layers:
        if layer.weights:
            layer.set_weights(arrays[layer.name])


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
    """Return a checksum of a network's weights and their shapes."""
    hasher = hashlib.blake2b(digest_size=20)
    for weight in network.get_weights():
        hasher.update(str(weight.shape).encode())
        hasher.update(np.ascontiguousarray(weight).tobytes())
    return hasher.hexdigest()

"""Frozen networks of any kind, run in one way."""

from __future__ import annotations

import functools
import os
import threading
from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skavsc.exceptions import ModelError, WeightsError, WeightsNotFoundError
from skavsc.pretrained._download import sha256_of


class Tensor(NamedTuple):
    """An input or output of a network.

    Parameters
    ----------
    name : str
        The name in the file.
    shape : tuple of (int or None)
        The shape; None for an axis of any length.
    dtype : numpy.dtype
        The type.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: np.dtype[Any]


class FrozenNetwork(ABC):
    """A network that is run and never trained; the same for every kind of file.

    It can be pickled, whatever it has open, and called from several threads.

    Attributes
    ----------
    name : str
        What errors call it.
    digest : str
        The checksum of structure and weights.
    input : Tensor
        What it takes.
    outputs : tuple of Tensor
        What it gives.

    Examples
    --------
    >>> import keras
    >>> from skavsc.pretrained import FrozenNetwork, open_keras
    >>> inputs = keras.Input((4,))
    >>> network = open_keras(keras.Model(inputs, keras.layers.Dense(2)(inputs)))
    >>> isinstance(network, FrozenNetwork), network.example_shape(n_axes=1)
    (True, (4,))
    """

    name: str
    digest: str
    input: Tensor
    outputs: tuple[Tensor, ...]

    @abstractmethod
    def run(self, inputs: NDArray[Any], output: str) -> NDArray[Any]:
        """Run the network once on a batch of the size that it takes."""

    def class_names(self) -> tuple[str, ...] | None:
        """Return the class names in the file, or None."""
        return None

    def __call__(self, examples: NDArray[Any], output: str) -> NDArray[np.float32]:
        """Run on any number of examples.

        A network of a fixed batch is run in turns of that many, the last filled up with zeros; one
        without a batch axis on an example at a time.

        Parameters
        ----------
        examples : ndarray of shape (n, *example)
            What the network takes, as ``example_shape`` says.
        output : str
            The name of an output.

        Returns
        -------
        ndarray of shape (n, *features), float32
            What it gives.

        Raises
        ------
        ModelError
            If the network does not take such examples, or gives something else than one row an
            example.
        """
        examples = self._checked(examples)
        if len(self.input.shape) < examples.ndim:
            results = [self.run(example, output) for example in examples]
            rows = [r[0] if r.ndim > 1 and len(r) == 1 else r for r in results]
            return np.stack(rows).astype(np.float32, copy=False)
        size = self.input.shape[0] or len(examples)
        results = []
        for start in range(0, len(examples), size):
            part = examples[start : start + size]
            batch = part
            if len(part) < size:
                batch = np.zeros((size, *part.shape[1:]), part.dtype)
                batch[: len(part)] = part
            result = self.run(batch, output)
            if len(result) != size:
                raise ModelError(
                    f"{self.name}: output {output!r} has {len(result)} rows for {size} examples "
                    f"of shape {part.shape[1:]}; there must be one each: give the window that "
                    f"makes one, or another output"
                )
            results.append(result[: len(part)])
        return np.concatenate(results).astype(np.float32, copy=False)

    def _checked(self, examples: NDArray[Any]) -> NDArray[Any]:
        takes = self.input.shape[max(len(self.input.shape) - examples.ndim + 1, 0) :]
        fits = len(self.input.shape) in (examples.ndim - 1, examples.ndim) and all(
            size in (None, given) for size, given in zip(takes, examples.shape[1:], strict=True)
        )
        if not fits:
            raise ModelError(
                f"{self.name} takes {describe(self.input)}, and not examples of shape "
                f"{examples.shape[1:]}"
            )
        if self.input.dtype.kind in "iu" and examples.dtype != self.input.dtype:
            raise ModelError(
                f"{self.name} takes whole numbers, {describe(self.input)}, and not "
                f"{examples.dtype}; images go to it as they are (preprocessing='none')"
            )
        return np.ascontiguousarray(examples, dtype=self.input.dtype)

    def example_shape(self, n_axes: int) -> tuple[int | None, ...]:
        """Return the shape of an example with a given number of axes, without the batch axis.

        Parameters
        ----------
        n_axes : int
            The axes of an example: 1 for a waveform, 2 for a spectrogram, 3 for an image.

        Returns
        -------
        tuple of (int or None)
            The shape; it may have axes of length 1 besides.
        """
        shape = self.input.shape
        return shape if len(shape) <= n_axes else shape[1:]

    def output_named(self, output: str | None) -> str:
        """Return the name of the output to use: the given one, or the only one.

        Parameters
        ----------
        output : str or None
            A name.

        Returns
        -------
        str
            The name.

        Raises
        ------
        ModelError
            If there is no such output, or several and none is named.
        """
        names = [tensor.name for tensor in self.outputs]
        if output is None:
            if len(names) == 1:
                return names[0]
            raise ModelError(
                f"{self.name} has the outputs {', '.join(map(describe, self.outputs))}; name one: "
                f"output={names[0]!r}"
            )
        if output not in names:
            raise ModelError(
                f"output={output!r} is no output of {self.name}; it has "
                f"{', '.join(map(describe, self.outputs))}"
            )
        return output


def describe(tensor: Tensor) -> str:
    """Write a tensor as in errors: name, type and shape.

    Parameters
    ----------
    tensor : Tensor
        An input or output of a network.

    Returns
    -------
    str
        The description.

    Examples
    --------
    >>> import keras
    >>> from skavsc.pretrained import describe, open_keras
    >>> sound = keras.Input((800,), name="sound")
    >>> describe(open_keras(keras.Model(sound, keras.layers.Dense(2)(sound))).input)
    "'sound' (float32, shape (any, 800))"
    """
    shape = ", ".join("any" if size is None else str(size) for size in tensor.shape)
    return f"{tensor.name!r} ({np.dtype(tensor.dtype).name}, shape ({shape}))"


def only_input(name: str, inputs: list[Tensor]) -> Tensor:
    """Return the only input of a network, or raise ModelError."""
    if len(inputs) != 1:
        raise ModelError(
            f"{name} has {len(inputs)} inputs ({', '.join(map(describe, inputs))}); a frozen "
            f"network must have one"
        )
    return inputs[0]


class FileNetwork(FrozenNetwork):
    """A network in a file that is run as it is; what is open is neither pickled nor copied.

    Parameters
    ----------
    path : str
        The file.
    digest : str
        Its sha256.
    n_threads : int
        The number of threads of one run.
    """

    def __init__(self, path: str, digest: str, n_threads: int) -> None:
        self.path = path
        self.name = os.path.basename(path)
        self.digest = digest
        self.n_threads = n_threads
        self.lock = threading.Lock()
        self.open()

    @abstractmethod
    def open(self) -> None:
        """Open the file, and note what the network takes and gives."""

    def __reduce__(self) -> tuple[Any, ...]:
        return open_file, (self.path, self.n_threads, self.digest)


def open_file(path: str, n_threads: int = 1, digest: str | None = None) -> FileNetwork:
    """Open an ``.onnx`` or ``.tflite`` file, or take the network from those in use.

    Parameters
    ----------
    path : str
        The file.
    n_threads : int, default=1
        The number of threads of one run.
    digest : str, optional
        The sha256 that the file must have.

    Returns
    -------
    FileNetwork
        The network.

    Raises
    ------
    WeightsNotFoundError
        If there is no such file.
    ModelError
        If it cannot be run.
    WeightsError
        If the file is another one than expected.
    ImportError
        If the packages of its runtime are not installed.

    Examples
    --------
    >>> from skavsc.pretrained import open_file
    >>> open_file("lost.onnx")
    Traceback (most recent call last):
    ...
    skavsc.exceptions.WeightsNotFoundError: there is no file ...lost.onnx
    """
    path = os.path.abspath(path)
    try:
        stat = os.stat(path)
    except FileNotFoundError:
        raise WeightsNotFoundError(f"there is no file {path}") from None
    network = _opened(path, n_threads, (stat.st_mtime_ns, stat.st_size, stat.st_ino))
    if digest is not None and network.digest != digest:
        raise WeightsError(
            f"the file {path} has changed since fit; fit again, or put the former file back"
        )
    return network


@functools.lru_cache(maxsize=4)
def _opened(path: str, n_threads: int, stamp: tuple[int, ...]) -> FileNetwork:
    from skavsc.pretrained._file_networks import OnnxNetwork, TFLiteNetwork

    kind = OnnxNetwork if path.endswith(".onnx") else TFLiteNetwork
    return kind(path, sha256_of(path), n_threads)

"""Image networks of every kind as functions from frames to features."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray

from skavsc.exceptions import ModelError
from skavsc.pretrained import (
    ARCHITECTURES,
    REGISTRY,
    FrozenNetwork,
    KerasNetwork,
    Meant,
    choose_runtime,
    compiled_network,
    describe,
    find_model,
    labels_of,
    open_file,
    open_keras,
)

#: The runtime of files that are run as they are.
_OWN_RUNTIMES = {".onnx": "onnxruntime", ".tflite": "litert"}


@dataclass(frozen=True)
class ImageNetwork:
    """An image network, and what stands before and after it.

    Parameters
    ----------
    network : FrozenNetwork
        The network.
    meant : Meant
        What is known of it.
    output : str
        The output.
    pooling : {"avg", "max"}
        How maps become features.
    mode : str or pair of (mean, scale)
        The preprocessing, as in `skavsc.networks.ImagePreprocessing`.
    """

    network: FrozenNetwork
    meant: Meant
    output: str
    pooling: str
    mode: Any

    @classmethod
    def open(
        cls,
        model: Any,
        weights: str | os.PathLike[str] | None,
        output: str | None,
        pooling: str,
        preprocessing: Any,
        seed: int,
    ) -> ImageNetwork:
        """Open the network that the parameters name; ``seed`` is for random weights."""
        named = isinstance(model, str | os.PathLike)
        published = REGISTRY.get(os.fspath(model)) if named else None
        if published is not None and published.modality != "visual":
            raise ModelError(f"model={model!r} takes sound; use AudioEmbedder")
        meant = find_model(model, weights)
        name = meant.output_alias(output)
        network: FrozenNetwork
        if meant.is_file:
            if weights is not None and published is None:
                raise ModelError(
                    f"weights={os.fspath(weights)!r}, but the file {meant.model} holds its "
                    f"weights; pass weights=None"
                )
            network = open_file(meant.model, joblib.cpu_count())
        else:
            if published is None:
                chosen = weights
            elif published.architecture is None:
                chosen = None  # find_model has taken the file as the whole network
            else:
                own = published.name.removeprefix(f"{published.architecture}-")
                chosen = own if weights is None else weights
            network = open_keras(meant.model, chosen, seed, name)
            # Of several outputs it has kept the one that was named.
            name = None
        opened = cls(network, meant, network.output_named(name), pooling, "none")
        opened._check_input()
        return cls(network, meant, opened.output, pooling, opened._mode(preprocessing))

    @property
    def channels_first(self) -> bool:
        """Whether images are (3, height, width) and not (height, width, 3)."""
        shape = self.network.example_shape(3)
        # Only exports from PyTorch leave the number of colours open.
        return shape[-1] != 3 and shape[0] in (3, None)

    @property
    def image_size(self) -> tuple[int | None, int | None]:
        """Height and width that the network takes; None for any."""
        shape = self.network.example_shape(3)
        height, width = shape[1:] if self.channels_first else shape[:2]
        return height, width

    def size_for(self, given: tuple[int, int] | None) -> tuple[int, int]:
        """Check the size of the given images; for None, return one that the network takes."""
        takes = self.image_size
        if given is None:
            published = self.meant.published
            usual = (published and published.image_size) or 224
            return takes[0] or usual, takes[1] or usual
        if any(size not in (None, own) for size, own in zip(takes, given, strict=True)):
            height, width = (size or own for size, own in zip(takes, given, strict=True))
            raise ModelError(
                f"{self.network.name} takes {describe(self.network.input)}: images {height} pixels "
                f"high and {width} wide, and not {given[0]} and {given[1]}; sample them with "
                f"VideoFrameSampler(size=({height}, {width}))"
            )
        return given

    def choose_runtime(
        self, runtime: str | None, precision: str, batch_size: int, size: tuple[int, int]
    ) -> tuple[str, str]:
        """Return the runtime and the precision to use; None is Keras for a Keras network."""
        if isinstance(self.network, KerasNetwork):
            pooling = self.keras_pooling
            return choose_runtime(
                self.network, pooling, runtime or "keras", precision, batch_size, size
            )
        own = _OWN_RUNTIMES[os.path.splitext(self.meant.model)[1]]
        if runtime not in (None, "auto", own):
            raise ModelError(
                f"runtime={runtime!r}, but {self.network.name} is run by {own}; use runtime=None"
            )
        if precision == "bfloat16":
            raise ModelError(
                f"precision={precision!r}, but {self.network.name} is a file that is run as it "
                f"is; use precision='float32' or 'auto'"
            )
        return own, "float32"

    def batch_size(self, wanted: int) -> int:
        """Return the number of images that go through the network at once."""
        shape = self.network.input.shape
        return (shape[0] or wanted) if len(shape) == 4 else 1

    @property
    def keras_pooling(self) -> str | None:
        """The pooling over positions; None for a Keras network that gives features."""
        return self.pooling if len(self.network.outputs[0].shape) == 4 else None

    def n_features(self, size: tuple[int, int]) -> int:
        """Return the number of features; a file is run once for it."""
        if isinstance(self.network, KerasNetwork):
            return int(self.network.model.output_shape[-1])
        shape = (self.batch_size(1), *size, 3)
        return self._run_file(np.zeros(shape, np.uint8)).shape[1]

    def labels(self, n_features: int) -> NDArray[np.str_] | None:
        """Return the class names of the features, or None."""
        names = labels_of(self.meant, self.network, self.output, n_features)
        return None if names is None else np.asarray(names)

    def function(
        self, runtime: str, precision: str, batch_size: int, size: tuple[int, int]
    ) -> Callable[[NDArray[Any]], NDArray[np.float32]]:
        """Return a function from a batch of frames to features.

        Parameters
        ----------
        runtime, precision : str
            What `choose_runtime` returned.
        batch_size : int
            The number of frames of a batch.
        size : tuple of (int, int)
            Their height and width.

        Returns
        -------
        callable
            From RGB of 0 to 255 (batch_size, height, width, 3) to (batch_size, n_features).
        """
        if isinstance(self.network, KerasNetwork):
            run = compiled_network(
                self.network, self.keras_pooling, runtime, precision, batch_size, size
            )
            return lambda frames: run(preprocess(frames, self.mode))
        return self._run_file

    def _run_file(self, frames: NDArray[Any]) -> NDArray[np.float32]:
        if self.network.input.dtype == np.uint8:
            images: NDArray[Any] = frames
            if frames.dtype != np.uint8:
                images = np.clip(np.rint(frames), 0, 255).astype(np.uint8)
        else:
            images = preprocess(frames, self.mode)
        if self.channels_first:
            images = images.transpose(0, 3, 1, 2)
        found = self.network(images, self.output)
        if found[0].size == max(found.shape[1:], default=0):
            return found.reshape(len(found), -1)
        if found.ndim != 4:
            raise ModelError(
                f"output {self.output!r} of {self.network.name} gives {found.shape[1:]} for an "
                f"image; name one that gives features, or maps of them, with output="
            )
        positions = (2, 3) if self._maps_channels_first(found.shape[1:]) else (1, 2)
        return found.max(positions) if self.pooling == "max" else found.mean(positions)

    def _maps_channels_first(self, shape: tuple[int, ...]) -> bool:
        # Converters turn the input around, and not always what is cut off inside: maps are as
        # square as the images are, and where that does not tell, they are laid out as these.
        square_first, square_last = shape[1] == shape[2], shape[0] == shape[1]
        return square_first if square_first != square_last else self.channels_first

    def _check_input(self) -> None:
        network = self.network
        if isinstance(network, KerasNetwork):
            takes, gives = network.input.shape, network.outputs[0].shape
            if len(takes) != 4 or takes[-1] != 3 or len(gives) not in (2, 4):
                raise ModelError(
                    f"the network {network.name} goes from {takes} to {gives}; it must go from "
                    f"images (n, height, width, 3) to maps (n, rows, columns, n_features) or to "
                    f"(n, n_features)"
                )
            return
        shape = network.example_shape(3)
        colours_fit = len(shape) == 3 and (shape[-1] == 3 or shape[0] in (3, None))
        if not colours_fit or not (
            network.input.dtype == np.uint8 or network.input.dtype.kind == "f"
        ):
            raise ModelError(
                f"{network.name} takes {describe(network.input)}; an image network must take "
                f"images (height, width, 3) or (3, height, width), uint8 or of floating point"
            )

    def _mode(self, preprocessing: Any) -> Any:
        """Return the preprocessing to use, and check that the network can have it."""
        whole = self.meant.is_file and self.network.input.dtype == np.uint8
        if isinstance(preprocessing, str) and preprocessing == "auto":
            published = self.meant.published
            if whole:
                return "none"
            if published is not None and published.preprocessing is not None:
                return published.preprocessing
            if not self.meant.is_file:
                named = isinstance(self.meant.model, str)
                return ARCHITECTURES.get(self.meant.model, "none") if named else "none"
            raise ModelError(
                f"how images for {self.network.name} are prepared is not known; pass "
                f"preprocessing='imagenet', 'clip', 'places365', a pair of (mean, scale), or "
                f"'none' for RGB of 0 to 255"
            )
        if whole and preprocessing != "none":
            raise ModelError(
                f"preprocessing={preprocessing!r}, but {self.network.name} takes whole numbers "
                f"(uint8), RGB of 0 to 255 as it is; pass preprocessing='none' or 'auto'"
            )
        from skavsc.networks import colours

        if isinstance(preprocessing, str):
            return preprocessing
        colours(preprocessing)  # raises an error that says what a pair is
        mean, scale = (tuple(map(float, part)) for part in preprocessing)
        return mean, scale


def preprocess(frames: NDArray[Any], mode: Any) -> NDArray[np.float32]:
    """Preprocess images as `skavsc.networks.ImagePreprocessing` does, in NumPy for every runtime.

    Parameters
    ----------
    frames : ndarray of shape (n, height, width, 3)
        RGB of 0 to 255.
    mode : str or pair of (mean, scale)
        The mode of that layer.

    Returns
    -------
    ndarray of shape (n, height, width, 3), float32
        What the network takes.
    """
    from skavsc.networks import colours

    reverse, means, factors = colours(mode)
    images = frames.astype(np.float32, copy=False)
    if mode == "none":
        return images
    if reverse:
        images = images[..., ::-1]
    return (images - np.asarray(means, np.float32)) * np.asarray(factors, np.float32)

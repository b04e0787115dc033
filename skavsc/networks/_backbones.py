"""Image networks without their heads: VGG16 and SqueezeNet 1.1, and what their inputs need."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
from keras import layers, ops

from skavsc.networks._colours import colours

#: Fire module -> (filters that squeeze, filters of each of the two that expand).
_FIRES = {
    2: (16, 64),
    3: (16, 64),
    4: (32, 128),
    5: (32, 128),
    6: (48, 192),
    7: (48, 192),
    8: (64, 256),
    9: (64, 256),
}


@keras.saving.register_keras_serializable(package="skavsc")
class ImagePreprocessing(layers.Layer):
    """Bring RGB images of 0 to 255 to the colours that a network was trained on.

    The layer has no parameters. It accepts any number of axes before height, width and colour,
    so it can stand before a time-distributed network.

    Parameters
    ----------
    mode : str or pair of (mean, scale), default="places365"
        ``"places365"``: blue, green, red order minus 104.006, 116.669, 122.679, for VGG16.
        ``"squeezenet-places365"``: the same order minus 105.448, 112.969, 116.674, divided by
        255, for SqueezeNet 1.1. ``"imagenet"``, ``"clip"``: RGB minus the means, divided by the
        standard deviations, of those training sets. ``"none"``: RGB of 0 to 255 as it is. A
        pair: (image - mean) / scale, of red, green and blue.
    **kwargs : dict
        The options of every Keras layer (``name``, ``dtype``).

    Raises
    ------
    ValueError
        If ``mode`` is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from skavsc.networks import ImagePreprocessing
    >>> red = np.array([[[255, 0, 0]]], dtype="uint8")
    >>> np.round(np.asarray(ImagePreprocessing()(red)), 3)
    array([[[-104.006, -116.669,  132.321]]], dtype=float32)
    """

    def __init__(self, mode: Any = "places365", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        colours(mode)
        self.mode = mode

    def call(self, inputs: Any) -> Any:
        """Convert images of shape (..., height, width, 3)."""
        images = ops.cast(inputs, self.compute_dtype)
        if self.mode == "none":
            return images
        reverse, means, factors = colours(self.mode)
        images = ops.flip(images, axis=-1) if reverse else images
        centred = images - ops.cast(ops.array(means), self.compute_dtype)
        return centred * ops.cast(ops.array(factors), self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the output, which is that of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make this layer again."""
        return {**super().get_config(), "mode": self.mode}


@contextlib.contextmanager
def channels_last() -> Iterator[None]:
    """Build layers that take channels last, whatever Keras's global setting is."""
    kept = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_last")
    try:
        yield
    finally:
        keras.config.set_image_data_format(kept)


@channels_last()
def vgg16_base(
    input_shape: tuple[int | None, int | None, int] = (224, 224, 3), name: str = "vgg16"
) -> keras.Model:
    """Build the convolutional base of VGG16, up to and with its last max-pooling.

    Layers are named as in Keras's own VGG16 (``block1_conv1`` to ``block5_pool``), so the
    published files without top layers fit. It expects preprocessed images
    (`ImagePreprocessing`) and has no pooling head and 14,714,688 parameters.

    Parameters
    ----------
    input_shape : tuple of (int or None, int or None, int), default=(224, 224, 3)
        Height and width in pixels, at least 32, or None for any; and the number of colours.
    name : str, default="vgg16"
        The name of the model.

    Returns
    -------
    keras.Model
        From images (n, height, width, 3) to maps (n, height // 32, width // 32, 512), untrained.

    References
    ----------
    K. Simonyan and A. Zisserman, "Very deep convolutional networks for large-scale image
    recognition", ICLR 2015.

    Examples
    --------
    >>> from skavsc.networks import vgg16_base
    >>> vgg16_base((64, 64, 3)).output_shape
    (None, 2, 2, 512)
    """
    images = keras.Input(input_shape, name="images")
    base = keras.applications.VGG16(
        include_top=False, weights=None, input_tensor=images, input_shape=input_shape
    )
    # Keras's own takes a list of one, and warns of an array.
    return keras.Model(images, base.output, name=name)


@channels_last()
def squeezenet11_base(
    input_shape: tuple[int | None, int | None, int] = (224, 224, 3), name: str = "squeezenet11"
) -> keras.Model:
    """Build SqueezeNet 1.1 up to its last fire module, without the classifying convolution.

    Batch normalisation is taken to be folded into the kernels; a leaky ReLU of slope 0.55
    follows each convolution, as in the published Places365 network. It expects preprocessed
    images (`ImagePreprocessing`, mode ``"squeezenet-places365"``) and has 722,496 parameters.

    Parameters
    ----------
    input_shape : tuple of (int or None, int or None, int), default=(224, 224, 3)
        Height and width in pixels, at least 32, or None for any; and the number of colours.
    name : str, default="squeezenet11"
        The name of the model.

    Returns
    -------
    keras.Model
        From images (n, height, width, 3) to maps (n, rows, columns, 512), untrained; 13 rows
        and columns for images of 224 pixels. The layers are ``conv1`` and, for each fire module
        i of 2 to 9, ``fire{i}_squeeze1x1``, ``fire{i}_expand1x1`` and ``fire{i}_expand3x3``.

    References
    ----------
    F. N. Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and
    < 0.5 MB model size", arXiv:1602.07360, 2016.

    Examples
    --------
    >>> from skavsc.networks import squeezenet11_base
    >>> squeezenet11_base().output_shape
    (None, 13, 13, 512)
    """

    def convolution(x: Any, filters: int, size: int, name: str, **options: Any) -> Any:
        x = layers.Conv2D(filters, size, name=name, **{"padding": "same", **options})(x)
        return layers.LeakyReLU(0.55, name=f"{name}_leaky")(x)

    def pooling(x: Any, name: str) -> Any:
        return layers.MaxPooling2D(3, strides=2, name=name)(x)

    inputs = keras.Input(input_shape, name="images")
    # Padding "same" with stride 2 would add a row and column at the end only.
    x = layers.ZeroPadding2D(1, name="conv1_pad")(inputs)
    x = convolution(x, 64, 3, "conv1", strides=2, padding="valid")
    x = pooling(x, "pool1")
    for fire, (squeeze, expand) in _FIRES.items():
        narrow = convolution(x, squeeze, 1, f"fire{fire}_squeeze1x1")
        wide = [
            convolution(narrow, expand, size, f"fire{fire}_expand{size}x{size}") for size in (1, 3)
        ]
        x = layers.Concatenate(axis=-1, name=f"fire{fire}_concat")(wide)
        if fire in (3, 5):
            x = pooling(x, f"pool{fire}")
    return keras.Model(inputs, x, name=name)

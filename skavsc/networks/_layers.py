"""The layers that Keras does not have, and the block that the audio network repeats."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from skavsc.networks._normalisation import FusedBatchNormalization


@keras.saving.register_keras_serializable(package="skavsc")
class BlockScaling(layers.Layer):
    """Scale each block to [-1, 1], jointly over its bands, frames and channels.

    The smallest value of a block becomes -1 and the largest 1; a constant block becomes 0. In
    decibels a change of gain adds a constant, so what leaves this layer does not depend on how
    loud the recording was made. The layer has no weights, and as a part of the network it scales
    alike in training and deployment.

    Parameters
    ----------
    **kwargs : dict
        Keyword arguments of `keras.layers.Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> block = np.array([-80.0, -60.0, -40.0]).reshape(1, 3, 1, 1)
    >>> np.asarray(BlockScaling()(block)).ravel()
    array([-1.,  0.,  1.], dtype=float32)
    """

    def call(self, inputs: Any) -> Any:
        """Scale a batch of blocks."""
        axes = tuple(range(1, len(inputs.shape)))
        low = ops.min(inputs, axis=axes, keepdims=True)
        high = ops.max(inputs, axis=axes, keepdims=True)
        constant = high <= low
        # Dividing by a stand-in where the block is constant keeps NaN out of the gradient too.
        extent = ops.where(constant, ops.ones_like(high), high - low)
        scaled = 2.0 * (inputs - low) / extent - 1.0
        return ops.where(constant, ops.zeros_like(scaled), scaled)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the output, which is that of the input."""
        return input_shape


@keras.saving.register_keras_serializable(package="skavsc")
class ELUInFloat32(layers.ELU):
    """Keras's exponential linear unit, which computes in float32 where its maps are in bfloat16.

    TensorFlow has no fast exponential in bfloat16: with maps changed to float32 and back, the unit
    takes two thirds of the time. In other precisions this is Keras's own layer, to the bit.

    Parameters
    ----------
    **kwargs : dict
        Keyword arguments of ``keras.layers.ELU``.

    Examples
    --------
    >>> import numpy as np
    >>> maps = np.array([[-1.0, 2.0]])
    >>> np.asarray(ELUInFloat32(dtype="mixed_bfloat16")(maps)).astype(float).round(3)
    array([[-0.633,  2.   ]])
    """

    def call(self, inputs: Any) -> Any:
        """Apply the unit to a batch of maps."""
        if self.compute_dtype != "bfloat16":
            return super().call(inputs)
        return ops.cast(super().call(ops.cast(inputs, "float32")), "bfloat16")


@keras.saving.register_keras_serializable(package="skavsc")
class Recalibration(layers.Layer):
    """Weight maps by channel and by position, and add the two (scSE).

    In bfloat16 the weights are added before maps are multiplied by them, which reads and writes
    whole maps half as often. In float32 the order is that of the published numbers.

    Parameters
    ----------
    **kwargs : dict
        Keyword arguments of `keras.layers.Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> maps = np.ones((1, 1, 2, 3))
    >>> by_channel, by_position = np.full((1, 1, 1, 3), 0.5), np.full((1, 1, 2, 1), 0.25)
    >>> np.asarray(Recalibration()([maps, by_channel, by_position]))[0, 0]
    array([[0.75, 0.75, 0.75],
           [0.75, 0.75, 0.75]], dtype=float32)
    """

    def call(self, inputs: Any) -> Any:
        """Weight a batch of maps, given with its weights by channel and by position."""
        maps, by_channel, by_position = inputs
        if self.compute_dtype == "bfloat16":
            return maps * (by_channel + by_position)
        return maps * by_channel + maps * by_position

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the output, which is that of the maps."""
        return input_shape[0]


@keras.saving.register_keras_serializable(package="skavsc")
class MeanOfScores(keras.initializers.Initializer):
    """Begin a softmax layer on joined class probabilities as the mean rule.

    Each class's score starts as ``sharpness`` times the sum of the probabilities that the joined
    branches give to this class, so that the layer is right where its branches agree before it
    has seen an example. From random weights at the published learning rate it would take some
    ten thousand steps to get there: half an hour on the full data set, never on a small one.

    Parameters
    ----------
    sharpness : float, default=2.0
        The weight of each probability; three sure branches give a probability of 0.98 among
        ten classes.

    Examples
    --------
    >>> import numpy as np
    >>> np.asarray(MeanOfScores(2.0)((4, 2)))
    array([[2., 0.],
           [0., 2.],
           [2., 0.],
           [0., 2.]], dtype=float32)
    """

    def __init__(self, sharpness: float = 2.0) -> None:
        self.sharpness = sharpness

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        """Return a kernel of shape (n_branches * n_classes, n_classes)."""
        n_inputs, n_classes = shape
        kernel = ops.tile(ops.eye(n_classes, dtype=dtype), (n_inputs // n_classes, 1))
        return self.sharpness * kernel

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make this initializer again."""
        return {"sharpness": self.sharpness}


def squeeze_excite(x: Any, *, reduction: int, name: str) -> Any:
    """Recalibrate by channel and by position at once (scSE).

    Parameters
    ----------
    x : KerasTensor of shape (batch, bands, frames, filters)
        The feature maps.
    reduction : int
        How many times fewer units the channel branch has in its middle, at most ``filters``.
    name : str
        The prefix of the names of the layers.

    Returns
    -------
    KerasTensor of the shape of x
        The sum of the maps weighted by channel and of the maps weighted by position.

    References
    ----------
    Roy, Navab, Wachinger: Recalibrating fully convolutional networks with spatial and channel
    "squeeze and excitation" blocks. IEEE Transactions on Medical Imaging 38 (2), 2019.
    """
    filters = x.shape[-1]
    plain = {"use_bias": False, "kernel_initializer": "he_normal"}
    squeezed = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_squeeze")(x)
    squeezed = layers.Dense(
        filters // reduction, activation="relu", name=f"{name}_channel_reduce", **plain
    )(squeezed)
    by_channel = layers.Dense(
        filters, activation="sigmoid", name=f"{name}_channel_excite", **plain
    )(squeezed)
    by_position = layers.Conv2D(
        1, 1, activation="sigmoid", name=f"{name}_position_excite", **plain
    )(x)
    # TensorFlow adds gradients in the order of the layers' names: the last bit depends on it.
    return Recalibration(name=f"{name}_excited")([x, by_channel, by_position])


def standard_post_block(x: Any, filters: int, *, reduction: int, momentum: float, name: str) -> Any:
    """Apply a Conv-StandardPOST block: a residual block, scSE after the sum, the shortcut again.

    Parameters
    ----------
    x : KerasTensor of shape (batch, bands, frames, channels)
        The input.
    filters : int
        The number of filters of each convolution.
    reduction : int
        The reduction ratio of the channel branch of scSE.
    momentum : float
        The momentum of the moving statistics of batch normalisation.
    name : str
        The prefix of the names of the layers; the output's layer is ``{name}_output``.

    Returns
    -------
    KerasTensor of shape (batch, bands, frames, filters)

    References
    ----------
    Naranjo-Alcazar, Perez-Castanos, Zuccarello, Cobos: Acoustic scene classification with
    squeeze-excitation residual networks. IEEE Access 8, 2020.
    """

    def convolve(inputs: Any, size: int, part: str) -> Any:
        maps = layers.Conv2D(filters, size, padding="same", name=f"{name}_{part}")(inputs)
        return FusedBatchNormalization(momentum=momentum, name=f"{name}_{part}_norm")(maps)

    shortcut = convolve(x, 1, "shortcut")
    main = ELUInFloat32(name=f"{name}_elu1")(convolve(x, 3, "conv1"))
    main = convolve(main, 3, "conv2")
    y = ELUInFloat32(name=f"{name}_elu2")(layers.Add(name=f"{name}_residual")([main, shortcut]))
    y = squeeze_excite(y, reduction=reduction, name=name)
    return layers.Add(name=f"{name}_output")([y, shortcut])

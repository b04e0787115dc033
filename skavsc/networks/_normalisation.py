"""Batch normalisation by the kernel that Keras does not call."""

from __future__ import annotations

import functools
from typing import Any

import keras
from keras import layers, ops

# TensorFlow's kernel takes this in place of less.
_LEAST_EPSILON = 1.001e-5


@keras.saving.register_keras_serializable(package="skavsc")
class FusedBatchNormalization(layers.BatchNormalization):
    """Keras's batch normalisation, by one kernel on TensorFlow in bfloat16.

    Keras computes it by a dozen operations that each read and write whole maps, in bfloat16
    after changing them to float32: a third of the time of a training step of the audio network.
    TensorFlow's fused kernel reads maps in bfloat16 and sums in float32. Elsewhere, and in
    float32, this is Keras's own layer, to the bit.

    Parameters
    ----------
    **kwargs : dict
        Keyword arguments of ``keras.layers.BatchNormalization``.

    Examples
    --------
    >>> import numpy as np
    >>> maps = np.array([1.0, 3.0]).reshape(1, 1, 2, 1)
    >>> np.asarray(FusedBatchNormalization(epsilon=0.0)(maps, training=True)).ravel()
    array([-1.,  1.], dtype=float32)
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalise a batch of maps."""
        plain = self.axis in (-1, 3) and self.scale and self.center and mask is None
        if (
            keras.backend.backend() != "tensorflow"
            or self.compute_dtype != "bfloat16"
            or len(inputs.shape) != 4
            or not plain
            or getattr(self, "renorm", False)  # not there in older Keras
            or self.epsilon < _LEAST_EPSILON
        ):
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        normalise = functools.partial(
            tf.compat.v1.nn.fused_batch_norm,
            inputs,
            ops.convert_to_tensor(self.gamma),
            ops.convert_to_tensor(self.beta),
            epsilon=self.epsilon,
        )
        if not (training and self.trainable):
            moving = map(ops.convert_to_tensor, (self.moving_mean, self.moving_variance))
            return normalise(*moving, is_training=False)[0]
        outputs, mean, variance = normalise(is_training=True)
        # The kernel estimates the variance of the population, Keras takes that of the batch.
        n_values = ops.cast(ops.prod(ops.shape(inputs)[:-1]), variance.dtype)
        variance = variance * (n_values - 1) / n_values
        for moving, value in [(self.moving_mean, mean), (self.moving_variance, variance)]:
            moving.assign(moving * self.momentum + value * (1.0 - self.momentum))
        return outputs

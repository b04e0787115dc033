"""Adam without the leak that Keras's own has on TensorFlow."""

from __future__ import annotations

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="skavsc")
class Adam(keras.optimizers.Adam):
    """Keras's Adam, which on a single device takes the gradients as they are.

    On TensorFlow Keras has the gradients summed over devices even where there is one. TensorFlow
    does that by a function with a gradient of its own, and enters that gradient in a list which
    it never takes anything off: with it the whole graph of a training step stays in memory,
    some 10 to 30 MB for each network that was ever trained in the process.

    Parameters
    ----------
    *args, **kwargs : objects
        As for keras.optimizers.Adam.

    Examples
    --------
    >>> from skavsc.training import Adam
    >>> round(float(Adam(0.002).learning_rate), 4)
    0.002
    """

    def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> Any:
        # Called on TensorFlow only.
        if self._distribution_strategy.num_replicas_in_sync > 1:
            return super()._all_reduce_sum_gradients(grads_and_vars)
        return grads_and_vars

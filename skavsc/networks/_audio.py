"""The audio network: three squeeze-excitation residual blocks."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers

from skavsc.networks._layers import BlockScaling, standard_post_block

#: Name of the layer of the audio network whose output fusion takes: (12, 128), averaged over bands.
AUDIO_TAP = "audio_block3_output"


def audio_network(
    n_classes: int = 10,
    *,
    input_shape: tuple[int, int, int] = (64, 50, 3),
    filters: Sequence[int] = (32, 64, 128),
    reduction: int = 2,
    dropout: float = 0.0,
    batch_norm_momentum: float = 0.99,
) -> keras.Model:
    """Build the audio network: features of a segment to class probabilities.

    Parameters
    ----------
    n_classes : int, default=10
        Number of classes.
    input_shape : tuple of (n_bands, n_frames, n_channels), default=(64, 50, 3)
        Shape of the features of a segment in dB: by default 1 s at a hop of 20 ms.
    filters : sequence of 3 ints, default=(32, 64, 128)
        Number of filters of each of the three blocks.
    reduction : int, default=2
        Reduction ratio of squeeze and excitation: 1, 2, 4, 8 or 16 with the default filters.
    dropout : float, default=0.0
        Rate of the dropout after each pooling, in [0, 1).
    batch_norm_momentum : float, default=0.99
        Momentum of batch normalisation, in [0, 1).

    Returns
    -------
    keras.Model
        From ``(batch, *input_shape)`` to ``(batch, n_classes)`` probabilities; 323,274
        parameters with the defaults. Not compiled.

    Raises
    ------
    ValueError
        If there are not three blocks, or a block has fewer filters than the reduction ratio.

    References
    ----------
    Naranjo-Alcazar et al.: Squeeze-excitation convolutional recurrent neural networks for
    audio-visual scene classification. DCASE 2021, arXiv 2107.13180.

    Examples
    --------
    >>> audio_network().count_params()
    323274
    """
    if len(filters) != 3 or min(filters) < reduction:
        raise ValueError(
            f"filters={tuple(filters)!r} must be three numbers of at least reduction={reduction}"
        )
    inputs = keras.Input(input_shape, name="audio")
    x = BlockScaling(name="audio_scaling")(inputs)
    for block, (n_filters, pool) in enumerate(
        zip(filters, [(1, 2), (1, 2), (1, 1)], strict=True), start=1
    ):
        name = f"audio_block{block}"
        x = standard_post_block(
            x, n_filters, reduction=reduction, momentum=batch_norm_momentum, name=name
        )
        x = layers.MaxPooling2D(pool, name=f"{name}_pool")(x)
        x = layers.Dropout(dropout, name=f"{name}_dropout")(x)
    x = layers.GlobalAveragePooling2D(name="audio_average")(x)
    outputs = layers.Dense(n_classes, activation="softmax", name="audio_scores")(x)
    return keras.Model(inputs, outputs, name="audio_network")

"""A transformer encoder over the steps of embeddings of sound, picture or both."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable(package="skavsc")
class StepMask(layers.Layer):
    """Detect missing steps, which hold NaN, and replace NaN by 0.

    Parameters
    ----------
    **kwargs : dict
        Keyword arguments of `keras.layers.Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> steps, present = StepMask()(np.array([[[1.0, 2.0], [np.nan, np.nan]]]))
    >>> np.asarray(steps).tolist(), np.asarray(present).tolist()
    ([[[1.0, 2.0], [0.0, 0.0]]], [[True, False]])
    """

    def call(self, inputs: Any) -> tuple[Any, Any]:
        """Return the steps, with 0 in place of NaN, and whether each is present."""
        missing = ops.isnan(inputs)
        return (
            ops.where(missing, ops.zeros_like(inputs), inputs),
            ops.logical_not(ops.any(missing, axis=-1)),
        )


@keras.saving.register_keras_serializable(package="skavsc")
class StepEmbedding(layers.Layer):
    """Add a learned vector of its modality and position to each step.

    Parameters
    ----------
    **kwargs : dict
        Keyword arguments of `keras.layers.Layer`.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create a vector for each step."""
        self.embeddings = self.add_weight(
            shape=input_shape[1:],
            initializer=keras.initializers.RandomNormal(stddev=0.02),
            name="embeddings",
        )

    def call(self, inputs: Any) -> Any:
        """Add the vectors to steps of shape (batch, n_steps, units)."""
        return inputs + self.embeddings


@keras.saving.register_keras_serializable(package="skavsc")
class ModalityMaskDropout(layers.Layer):
    """Hide a modality of some examples in training, so that the network learns to do without.

    With probability ``rate`` an example loses one modality, drawn at random. An example that has
    steps of one modality only keeps it.

    Parameters
    ----------
    rate : float
        Share of the examples that lose a modality, in [0, 1].
    seed : int, default=None
        Seed of the random numbers.
    **kwargs : dict
        Keyword arguments of `keras.layers.Layer`.

    References
    ----------
    N. Neverova et al., "ModDrop: adaptive multi-modal gesture recognition", IEEE Transactions on
    Pattern Analysis and Machine Intelligence 38 (8), 2016.
    """

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not 0 <= rate <= 1:
            raise ValueError(f"rate={rate!r} must be in [0, 1]")
        self.rate = rate
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs: list[Any], training: bool = False) -> list[Any]:
        """Hide steps in two masks of shape (batch, n_steps)."""
        if not training or not self.rate:
            return list(inputs)
        first, second = inputs
        shape = (ops.shape(first)[0], 1)
        number = keras.random.uniform(shape, seed=self.seed_generator)
        has_both = ops.logical_and(
            ops.any(first, axis=1, keepdims=True), ops.any(second, axis=1, keepdims=True)
        )
        hide_first = ops.logical_and(has_both, number < self.rate / 2)
        hide_second = ops.logical_and(has_both, number >= 1 - self.rate / 2)
        return [
            ops.logical_and(first, ops.logical_not(hide_first)),
            ops.logical_and(second, ops.logical_not(hide_second)),
        ]

    def compute_output_spec(self, inputs: list[Any], training: bool = False) -> list[Any]:
        """Return masks of the same shapes."""
        return [keras.KerasTensor(mask.shape, "bool") for mask in inputs]

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


@keras.saving.register_keras_serializable(package="skavsc")
class MaskedAverage(layers.Layer):
    """Average over the steps that are present; 0 where there is none.

    Parameters
    ----------
    **kwargs : dict
        Keyword arguments of `keras.layers.Layer`.
    """

    def call(self, inputs: Any, present: Any) -> Any:
        """Average (batch, n_steps, units) by a mask (batch, n_steps)."""
        weights = ops.expand_dims(ops.cast(present, inputs.dtype), -1)
        total = ops.sum(inputs * weights, axis=1)
        return total / ops.maximum(ops.sum(weights, axis=1), 1)


def transformer_network(
    n_classes: int = 10,
    *,
    audio_shape: tuple[int, int] | None = (2, 1024),
    visual_shape: tuple[int, int] | None = (5, 512),
    units: int = 128,
    n_heads: int = 4,
    n_blocks: int = 2,
    dropout: float = 0.1,
    modality_dropout: float = 0.0,
    seed: int | None = None,
) -> keras.Model:
    """Build a transformer encoder: embeddings of one or both modalities to class probabilities.

    Each step of each modality is normalised, projected to ``units`` and given a learned vector of
    its modality and position; steps of both modalities attend to each other in the blocks
    (layer normalisation first), and the average over steps gives the probabilities. Steps that
    hold NaN are missing and have no influence, so that a clip may lack a modality.

    Parameters
    ----------
    n_classes : int, default=10
        Number of classes.
    audio_shape, visual_shape : tuple of (n_steps, n_features) or None
        Shape of the embeddings of a segment or clip; None for a network without this modality.
        The defaults are (2, 1024) and (5, 512).
    units : int, default=128
        Width of the blocks, a multiple of ``n_heads``; the feed-forward layers have four times
        as many units.
    n_heads : int, default=4
        Number of attention heads of a block.
    n_blocks : int, default=2
        Number of blocks.
    dropout : float, default=0.1
        Rate of the dropout in the blocks and before the probabilities, in [0, 1).
    modality_dropout : float, default=0.0
        Share of the examples that lose one of two modalities in training, in [0, 1].
    seed : int, default=None
        Seed of the dropout of modalities.

    Returns
    -------
    keras.Model
        From ``[audio, visual]`` embeddings, or from those of one modality, to ``(batch,
        n_classes)`` probabilities. Not compiled.

    Raises
    ------
    ValueError
        If both shapes are None or ``units`` is not a multiple of ``n_heads``.

    References
    ----------
    .. [1] W. Boes and H. Van hamme, "Audiovisual transformer architectures for large-scale
       classification and synchronization of weakly labeled audio events", ACM Multimedia, 2019.
    .. [2] W. Boes and H. Van hamme, "Multi-source transformer architectures for audiovisual
       scene classification", DCASE 2021 Challenge, 2021.

    Examples
    --------
    >>> network = transformer_network(audio_shape=(10, 1024), visual_shape=(50, 512))
    >>> [tuple(given.shape) for given in network.inputs], tuple(network.output.shape)
    ([(None, 10, 1024), (None, 50, 512)], (None, 10))
    """
    shapes = {"audio": audio_shape, "visual": visual_shape}
    given = {name: shape for name, shape in shapes.items() if shape is not None}
    if not given:
        raise ValueError("audio_shape and visual_shape are None; give the shape of one at least")
    if units % n_heads:
        raise ValueError(f"units={units!r} must be a multiple of n_heads={n_heads!r}")
    inputs = [keras.Input(shape, name=name) for name, shape in given.items()]
    parts, masks = [], []
    for name, steps in zip(given, inputs, strict=True):
        x, present = StepMask(name=f"{name}_mask")(steps)
        x = layers.LayerNormalization(center=False, scale=False, name=f"{name}_scaling")(x)
        x = layers.Dense(units, name=f"{name}_projection")(x)
        parts.append(StepEmbedding(name=f"{name}_position")(x))
        masks.append(present)
    if len(given) == 2:
        masks = ModalityMaskDropout(modality_dropout, seed, name="modality_dropout")(masks)
        x = layers.Concatenate(axis=1, name="steps")(parts)
        present = ops.concatenate(masks, axis=1)
    else:
        [x], [present] = parts, masks
    # All steps attend to the steps that are present.
    attended = ops.repeat(ops.expand_dims(present, 1), x.shape[1], axis=1)
    for block in range(1, n_blocks + 1):
        x = _encoder_block(
            x, attended, n_heads=n_heads, dropout=dropout, name=f"transformer_block{block}"
        )
    x = layers.LayerNormalization(name="transformer_norm")(x)
    x = MaskedAverage(name="transformer_average")(x, present)
    x = layers.Dropout(dropout, name="transformer_dropout")(x)
    outputs = layers.Dense(n_classes, activation="softmax", name="transformer_scores")(x)
    return keras.Model(
        inputs if len(inputs) > 1 else inputs[0], outputs, name="transformer_network"
    )


def _encoder_block(x: Any, attended: Any, *, n_heads: int, dropout: float, name: str) -> Any:
    units = x.shape[-1]
    normed = layers.LayerNormalization(name=f"{name}_norm1")(x)
    y = layers.MultiHeadAttention(
        n_heads, units // n_heads, dropout=dropout, name=f"{name}_attention"
    )(normed, normed, attention_mask=attended)
    x = layers.Add(name=f"{name}_add1")([x, layers.Dropout(dropout, name=f"{name}_dropout1")(y)])
    y = layers.LayerNormalization(name=f"{name}_norm2")(x)
    y = layers.Dense(4 * units, activation="gelu", name=f"{name}_expand")(y)
    y = layers.Dense(units, name=f"{name}_project")(y)
    return layers.Add(name=f"{name}_add2")([x, layers.Dropout(dropout, name=f"{name}_dropout2")(y)])

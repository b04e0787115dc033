"""The full framework: both subnetworks, early fusion of their taps and late fusion of scores."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from skavsc.networks._audio import AUDIO_TAP, audio_network
from skavsc.networks._layers import MeanOfScores
from skavsc.networks._visual import VISUAL_TAP, visual_network


def fusion_network(
    n_classes: int = 10,
    *,
    readout: str = "late",
    audio: keras.Model | None = None,
    visual: keras.Model | None = None,
    train_subnetworks: bool = False,
    units: int = 64,
) -> keras.Model:
    """Build the full framework: sound and picture of a segment to class probabilities.

    Parameters
    ----------
    n_classes : int, default=10
        Number of classes.
    readout : {"late", "early"}, default="late"
        Early fusion concatenates the taps of the subnetworks, (5, 128) of the audio and
        (5, 512) of the visual network, in front of a bidirectional GRU; late fusion
        concatenates the class probabilities of early fusion and of both subnetworks in front
        of a softmax layer.
    audio : keras.Model, optional
        Audio network, as `audio_network` builds it, trained or not. The new network shares its
        layers. By default a new one.
    visual : keras.Model, optional
        Visual network, as `visual_network` builds it, with or without a backbone.
        By default a new one with VGG16.
    train_subnetworks : bool, default=False
        Whether the layers of the subnetworks are trained too, those of the image network
        included; otherwise they are frozen.
    units : int, default=64
        Number of units of the GRU of early fusion in each direction.

    Returns
    -------
    keras.Model
        From ``[audio, visual]`` inputs to ``(batch, n_classes)`` probabilities. With the
        defaults 15,416,148 parameters (late, 272,704 trained) or 15,309,066 (early, 272,394
        trained). Not compiled.

    Raises
    ------
    ValueError
        If readout is not one of the named ones, or the taps of the subnetworks differ in their
        number of steps.

    References
    ----------
    Naranjo-Alcazar et al.: Squeeze-excitation convolutional recurrent neural networks for
    audio-visual scene classification. DCASE 2021, arXiv 2107.13180.

    Examples
    --------
    >>> network = fusion_network(visual=visual_network(backbone=None))
    >>> [tuple(i.shape) for i in network.inputs], tuple(network.output.shape)
    ([(None, 64, 50, 3), (None, 5, 512)], (None, 10))
    """
    if readout not in ("late", "early"):
        raise ValueError(f'readout={readout!r} must be "late" or "early"')
    audio = audio_network(n_classes) if audio is None else audio
    visual = visual_network(n_classes) if visual is None else visual
    for network in (audio, visual):
        network.trainable = train_subnetworks
    taps = [_audio_steps(audio), visual.get_layer(VISUAL_TAP).output]
    if taps[0].shape[1] != taps[1].shape[1]:
        raise ValueError(
            f"the audio network gives {taps[0].shape[1]} steps per segment and the visual network "
            f"{taps[1].shape[1]}; segments of 50 audio frames and 5 video frames give 5 and 5"
        )
    x = layers.Concatenate(name="early_taps")(taps)
    x = layers.Bidirectional(layers.GRU(units, return_sequences=True), name="early_gru")(x)
    x = layers.GlobalAveragePooling1D(name="early_average")(x)
    scores = layers.Dense(n_classes, activation="softmax", name="early_scores")(x)
    if readout == "late":
        x = layers.Concatenate(name="late_scores_joined")([scores, audio.output, visual.output])
        scores = layers.Dense(
            n_classes, activation="softmax", kernel_initializer=MeanOfScores(), name="late_scores"
        )(x)
    return keras.Model([audio.input, visual.input], scores, name=f"{readout}_fusion_network")


def _audio_steps(audio: keras.Model) -> Any:
    """Turn the third block's maps into one vector a video frame: (12, 128) to (5, 128)."""
    # The third block's pooling is over (1, 1): its output is the block's.
    x = ops.mean(audio.get_layer(AUDIO_TAP).output, axis=1)
    return layers.AveragePooling1D(3, strides=2, padding="valid", name="early_audio_tap")(x)

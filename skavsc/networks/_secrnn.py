"""The networks of the publication: of sound, of frames, and their early and late fusion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops, regularizers

from skavsc.networks._backbones import ImagePreprocessing, vgg16_base
from skavsc.networks._layers import BlockScaling, MeanOfScores, standard_post_block

#: Name of the layer of the audio network whose output fusion takes: (12, 128), averaged over bands.
AUDIO_TAP = "audio_block3_output"
#: Name of the layer of the visual network whose output fusion takes: (5, 512), pooled features.
VISUAL_TAP = "visual_features"


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


def visual_network(
    n_classes: int = 10,
    *,
    backbone: str | None = "vgg16",
    n_frames: int = 5,
    image_size: int | tuple[int, int] = 224,
    n_features: int = 512,
    pooling: str = "avg",
    preprocessing: str = "places365",
    scale_frames: bool = False,
    train_backbone: bool = False,
    units: int = 32,
    dropout: float = 0.5,
    l2: float = 1e-3,
) -> keras.Model:
    """Build the visual network: the frames of a segment to class probabilities.

    Parameters
    ----------
    n_classes : int, default=10
        Number of classes.
    backbone : {"vgg16", None}, default="vgg16"
        Image network in front. With None the input is the pooled features of the frames, as in
        training with a frozen image network.
    n_frames : int, default=5
        Number of frames of a segment: 1 s at 5 frames per second.
    image_size : int or tuple of (int, int), default=224
        Height and width of a frame in pixels; only with a backbone.
    n_features : int, default=512
        Number of pooled features of a frame; only without a backbone.
    pooling : {"avg", "max"}, default="avg"
        Pooling over the positions of a frame; only with a backbone.
    preprocessing : {"places365", "none"}, default="places365"
        Preprocessing of the RGB values 0 to 255 of a frame; only with a backbone.
    scale_frames : bool, default=False
        Whether the features of each frame are standardised to mean 0 and variance 1 (a layer
        without weights). The published network has no such layer; with features far from the
        order of 1 its GRU saturates and does not learn.
    train_backbone : bool, default=False
        Whether the image network is trained.
    units : int, default=32
        Number of units of the GRU in each direction.
    dropout : float, default=0.5
        Rate of the dropout before the probabilities, in [0, 1).
    l2 : float, default=1e-3
        L2 penalty of the kernel of the last layer.

    Returns
    -------
    keras.Model
        From ``(batch, n_frames, image_size, image_size, 3)`` frames (or
        ``(batch, n_frames, n_features)`` without a backbone) to ``(batch, n_classes)``
        probabilities, the average of those of the frames. 14,820,170 parameters with the
        defaults, of which 105,482 are trained. Not compiled; the image network has random
        weights.

    Raises
    ------
    ValueError
        If backbone, pooling or preprocessing is not one of the named ones.

    References
    ----------
    Naranjo-Alcazar et al.: Squeeze-excitation convolutional recurrent neural networks for
    audio-visual scene classification. DCASE 2021, arXiv 2107.13180.

    Examples
    --------
    >>> visual_network(backbone=None).count_params()
    105482
    """
    if backbone is None:
        inputs = keras.Input((n_frames, n_features), name="visual")
        x = inputs
    elif backbone == "vgg16":
        inputs = _frames_input(n_frames, image_size)
        base = vgg16_base(inputs.shape[2:])
        base.trainable = train_backbone
        x = _frame_features(inputs, base, pooling, preprocessing)
    else:
        raise ValueError(f'backbone={backbone!r} must be "vgg16" or None')
    if scale_frames:
        x = layers.LayerNormalization(center=False, scale=False, name="visual_scaling")(x)
    x = layers.Identity(name=VISUAL_TAP)(x)
    x = layers.Bidirectional(layers.GRU(units, return_sequences=True), name="visual_gru")(x)
    x = layers.Dropout(dropout, name="visual_dropout")(x)
    # Dense acts on each step of a sequence.
    x = layers.Dense(
        n_classes,
        activation="softmax",
        kernel_regularizer=regularizers.L2(l2),
        name="visual_step_scores",
    )(x)
    outputs = layers.GlobalAveragePooling1D(name="visual_scores")(x)
    return keras.Model(inputs, outputs, name="visual_network")


def with_backbone(
    network: keras.Model,
    backbone: keras.Model,
    *,
    image_size: int | tuple[int, int] = 224,
    pooling: str | None = "avg",
    preprocessing: str = "places365",
) -> keras.Model:
    """Put an image network in front of a network whose input is features of frames.

    Parameters
    ----------
    network : keras.Model
        With an input named ``visual`` of shape (n_frames, n_features), as `visual_network` and
        `fusion_network` build it.
    backbone : keras.Model
        Image network, from images to maps or features. The new network shares the layers of
        both.
    image_size : int or tuple of (int, int), default=224
        Height and width of a frame in pixels.
    pooling : {"avg", "max"} or None, default="avg"
        Pooling over the positions of maps; None for a backbone that outputs features.
    preprocessing : str, default="places365"
        Preprocessing of the RGB values 0 to 255 of a frame (see `ImagePreprocessing`).

    Returns
    -------
    keras.Model
        The same network for frames (n_frames, height, width, 3) in place of their features. A
        frame that is negative everywhere is missing: its features are 0. Not compiled.

    Raises
    ------
    ValueError
        If the backbone has another number of features than the input of the network.

    Examples
    --------
    >>> from skavsc.networks import squeezenet11_base, visual_network, with_backbone
    >>> network = visual_network(backbone=None)
    >>> backbone = squeezenet11_base((64, 64, 3))
    >>> with_backbone(network, backbone, image_size=64).input_shape
    (None, 5, 64, 64, 3)
    """
    inputs = [
        _frames_input(given.shape[1], image_size)
        if given.name == "visual"
        else keras.Input(given.shape[1:], name=given.name)
        for given in network.inputs
    ]
    parts: list[Any] = []
    for given, new in zip(network.inputs, inputs, strict=True):
        part = new
        if given.name == "visual":
            part = _frame_features(new, backbone, pooling, preprocessing)
            if part.shape[-1] != given.shape[-1]:
                raise ValueError(
                    f"{backbone.name} gives {part.shape[-1]} features a frame, {network.name} "
                    f"takes {given.shape[-1]}"
                )
        parts.append(part)
    single = len(parts) == 1
    outputs = network(parts[0] if single else parts)
    return keras.Model(inputs[0] if single else inputs, outputs, name=f"{network.name}_on_frames")


def _frames_input(n_frames: int, image_size: int | tuple[int, int]) -> Any:
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    return keras.Input((n_frames, height, width, 3), name="visual")


def _frame_features(inputs: Any, base: keras.Model, pooling: str | None, preprocessing: str) -> Any:
    """Apply an image network to every frame, as if each were an image of its own, and pool."""
    pools = {"avg": layers.GlobalAveragePooling2D, "max": layers.GlobalMaxPooling2D}
    if pooling is not None and pooling not in pools:
        raise ValueError(f"pooling={pooling!r} must be one of {sorted(pools)}")
    _, n_frames, height, width, n_colours = inputs.shape
    # One batch of all frames of all segments: what TimeDistributed means, without its cost.
    x = ops.reshape(inputs, (-1, height, width, n_colours))
    x = base(ImagePreprocessing(preprocessing, name="visual_preprocessing")(x))
    if pooling is not None:
        x = pools[pooling](name="visual_pool")(x)
    x = ops.reshape(x, (-1, n_frames, x.shape[-1]))
    present = ops.any(ops.greater_equal(inputs, 0), axis=(2, 3, 4))
    return ops.where(ops.expand_dims(present, -1), x, ops.zeros_like(x))


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

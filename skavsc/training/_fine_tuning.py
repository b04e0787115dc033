"""The last stage: a network trained as a whole, with the image network before it or without."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import keras
from sklearn.utils.validation import check_is_fitted

from skavsc.exceptions import ModelError
from skavsc.networks import with_backbone
from skavsc.pretrained import KerasNetwork
from skavsc.training._backend import default_settings
from skavsc.training._segments import TrainingSet
from skavsc.training._trainer import (
    History,
    TrainingOptions,
    compile_for_training,
    train_network,
)
from skavsc.visual import ImageEmbedder


@dataclass(frozen=True)
class Backbone:
    """An image network of our own, and what embedders do before and after it.

    Attributes
    ----------
    network : keras.Model
        From preprocessed images to maps or features.
    pooling : {"avg", "max"} or None
        The pooling over positions.
    preprocessing : str or pair of (mean, scale)
        The mode of `skavsc.networks.ImagePreprocessing`.

    Examples
    --------
    >>> import keras, numpy as np
    >>> from skavsc import ImageEmbedder
    >>> from skavsc.training import Backbone
    >>> images = keras.Input((64, 64, 3))
    >>> model = keras.Model(images, keras.layers.Conv2D(4, 3)(images))
    >>> frames = np.zeros((1, 2, 64, 64, 3), dtype=np.uint8)
    >>> embedder = ImageEmbedder(model, preprocessing="imagenet").fit(frames)
    >>> Backbone.of(embedder).pooling
    'avg'
    """

    network: keras.Model
    pooling: str | None
    preprocessing: Any

    @classmethod
    def of(cls, embedder: ImageEmbedder) -> Backbone:
        """Copy the network of a fitted embedder."""
        check_is_fitted(embedder)
        opened = embedder.open_network()
        if not isinstance(opened.network, KerasNetwork):
            raise ModelError(
                f"{opened.network.name} is a file that is run as it is; only image networks of "
                f"Keras can be trained or built into a model"
            )
        return cls(copied(opened.network.model), opened.keras_pooling, opened.mode)

    def before(self, network: keras.Model, image_size: Any) -> keras.Model:
        """Join the backbone and a network on embeddings to one on frames; layers are shared."""
        with default_settings():
            return with_backbone(
                network,
                self.network,
                image_size=image_size,
                pooling=self.pooling,
                preprocessing=self.preprocessing,
            )

    def as_embedder(self, like: ImageEmbedder, frames: Any) -> ImageEmbedder:
        """Make a fitted embedder of this network with the other parameters of another one."""
        shared = like.get_params()
        for own in ("model", "weights", "output", "pooling", "preprocessing"):
            shared.pop(own, None)
        return ImageEmbedder(
            self.network,
            pooling=like.pooling,
            preprocessing=self.preprocessing,
            **shared,
        ).fit(frames)


@dataclass(frozen=True)
class FineTuning:
    """How to train a network as a whole, after its own stage.

    Attributes
    ----------
    learning_rate : float
        The learning rate at the start.
    backbone : Backbone or None
        The image network to train too, on frames.

    Examples
    --------
    >>> from skavsc.training import FineTuning
    >>> FineTuning(learning_rate=1e-4, backbone=None)
    FineTuning(learning_rate=0.0001, backbone=None)
    """

    learning_rate: float
    backbone: Backbone | None


def fine_tune(
    network: keras.Model,
    training_set: TrainingSet,
    options: TrainingOptions,
    fine_tuning: FineTuning,
    *,
    initial_epoch: int,
) -> History:
    """Train all layers of a network, the frozen ones and the image network included.

    Parameters
    ----------
    network : keras.Model
        The compiled network, which is trained in place.
    training_set : TrainingSet
        The clips.
    options : TrainingOptions
        How the stage before was trained.
    fine_tuning : FineTuning
        What is different in this stage.
    initial_epoch : int
        Number of epochs that the network has been trained already.

    Returns
    -------
    dict of str to list of float
        The values after each epoch.
    """
    first_rate, loss = float(network.optimizer.learning_rate), network.loss
    frozen = [layer for layer in network.layers if not layer.trainable]
    whole, backbone = network, fine_tuning.backbone
    if backbone is not None:
        training_set = training_set.on_frames()
        picture = training_set.train.features.modalities["visual"]
        # It shares its layers with the network and the backbone: to train it is to train them.
        whole = backbone.before(network, picture.segment_shape[1:3])
        frozen.append(backbone.network)
    for layer in frozen:
        layer.trainable = True
    compile_for_training(whole, fine_tuning.learning_rate, loss)
    history = train_network(
        whole,
        training_set,
        replace(options, label="fine-tuning", clean_statistics=False),
        initial_epoch=initial_epoch,
    )
    for layer in frozen:
        layer.trainable = False
    compile_for_training(network, first_rate, loss)
    return history


def copied(network: keras.Model) -> keras.Model:
    """Return a network of the same weights that shares nothing with the given one.

    Parameters
    ----------
    network : keras.Model
        The network, of layers that Keras can describe.

    Returns
    -------
    keras.Model
        The copy, which is not compiled.

    Examples
    --------
    >>> import keras
    >>> from skavsc.training import copied
    >>> inputs = keras.Input((4,))
    >>> network = keras.Model(inputs, keras.layers.Dense(2)(inputs))
    >>> copied(network).layers[-1] is network.layers[-1]
    False
    """
    with default_settings():
        copy = type(network).from_config(network.get_config())
    copy.set_weights(network.get_weights())
    return copy

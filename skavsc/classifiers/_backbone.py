"""The image network of an embedder, to be trained or deployed with a network on embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from skavsc.networks._visual import with_backbone
from skavsc.pretrained import open_keras
from skavsc.visual._embedder import ImageEmbedder


@dataclass(frozen=True)
class Backbone:
    """An image network of our own, and what embedders do before and after it.

    Attributes
    ----------
    network : keras.Model
        From preprocessed images to maps or features.
    pooling : {"avg", "max"} or None
        The pooling over positions.
    preprocessing : str
        The mode of `skavsc.networks.ImagePreprocessing`.
    """

    network: keras.Model
    pooling: str | None
    preprocessing: str

    @classmethod
    def of(cls, embedder: ImageEmbedder) -> Backbone:
        """Copy the network of a fitted embedder."""
        check_is_fitted(embedder)
        live = open_keras(embedder.network, embedder.weights, embedder.seed_)
        return cls(copied(live.model), embedder._pooling(live), embedder._preprocessing())

    def before(self, network: keras.Model, image_size: Any) -> keras.Model:
        """Join the backbone and a network on embeddings to one on frames; layers are shared."""
        return with_backbone(
            network,
            self.network,
            image_size=image_size,
            pooling=self.pooling,
            preprocessing=self.preprocessing,
        )

    def as_embedder(self, like: ImageEmbedder, frames: Any) -> ImageEmbedder:
        """Make a fitted embedder of this network with the options of another."""
        shared = clone(like).get_params()
        for own in ("network", "weights", "pooling", "preprocessing"):
            shared.pop(own, None)
        return ImageEmbedder(
            self.network,
            pooling=like.pooling,
            preprocessing=self.preprocessing,
            **shared,
        ).fit(frames)


def copied(network: keras.Model) -> keras.Model:
    """Give a network of the same weights that shares nothing with the given one."""
    copy = type(network).from_config(network.get_config())
    copy.set_weights(network.get_weights())
    return copy

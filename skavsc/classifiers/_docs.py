"""The parts of docstrings that the classifiers share, written once."""

from __future__ import annotations

import textwrap
from typing import TypeVar

Class = TypeVar("Class", bound=type)

# Without the full stop, which the docstrings have, so that linters see whole sentences there.
DESCRIPTIONS = {
    "segment_frames": """
        Number of frames of one second of features, which is a segment: their rate. Features that
        carry another rate, as those of `skavsc.audio.GammatoneMelTransformer` with another
        ``hop`` do, are refused""",
    "learning_rate": "Learning rate of Adam at the start",
    "fine_tune_learning_rate": "Learning rate of Adam at the start of the last stage",
    "batch_size": """
        Maximum number of clips in a batch; batches of an epoch are of nearly equal size""",
    "patience": """
        Number of epochs without a lower validation loss after which a stage ends. The weights of
        the best epoch are restored""",
    "rate_patience": """
        Number of epochs without a lower validation loss after which the learning rate is
        halved""",
    "rate_schedule": """
        How the learning rate falls. ``"halving"``: by half where the validation loss does not
        fall, as published. ``"cosine"``: from its start to 0 over all ``epochs`` along half a
        cosine, which needs no validation; with ``validation_fraction=0`` it trains on every clip.
        Better for sets in which too few clips can be held out""",
    "augmentation": """
        What the batches go through in training (see `skavsc.training.augmentation`), in this
        order; an empty list for none. The parameters of each can be searched, as
        ``augmentation__mixup__alpha``""",
    "label_smoothing": "Share of each target that is spread over all classes, in [0, 1)",
    "class_weight": """
        Weights of the classes, as in scikit-learn. ``"balanced"`` is refused by `partial_fit`,
        which does not know all clips""",
    "validation_fraction": """
        About which share of the clips, by whole groups, is held out to stop training by, in
        [0, 0.5]. With 0 all epochs are trained and the last weights kept""",
    "starts_per_second": """
        Number of segments that begin in each second in prediction. 1: one follows the other, as
        published; more: they overlap. It must divide the ``segment_frames`` of the picture, or of
        the sound where that is alone""",
    "clip_average": """
        Mean over the segments of a clip that gives its probabilities: of probabilities, as
        published, or of their logarithms (then scaled to sum to 1), in which a segment that rules
        a class out counts as much as one that is sure of it""",
    "precision": """
        What the layers on maps of sound and of images compute in while the network is trained.
        Weights, gradients, recurrent layers and scores are float32, and so is prediction.
        bfloat16 is faster on processors with units for it, and gives another network.
        ``"auto"`` takes it where the processor has them""",
    "runtime": """
        What predicts. ``"keras"``: the network as it was trained. ``"onnxruntime"``: the same as
        an ONNX model, equal to 1e-5 and sooner for few clips; needs the extra ``onnx``. It may be
        changed after fit. A model file saved so (`skavsc.save`) needs no Keras""",
    "warm_start": """
        Whether fit goes on from the weights of the last fit. The parameters of the network must
        be those that it was built with; others, such as the learning rate, may change""",
    "embedder": """
        What X holds of the picture. None: embeddings. An embedder: frames, which it turns into
        embeddings; it is cloned and fitted, or used as it is as ``FrozenEstimator(fitted)``""",
    "verbose": "Whether to write a line per epoch to the error stream",
    "history_": "Loss and accuracy after each epoch, in training and validation",
    "keras_classifier_": """
        The wrapped network, a scikeras.wrappers.KerasClassifier; the Keras model is its
        ``model_``. Not in a classifier loaded from a model file saved for onnxruntime""",
    "embedder_": """
        The fitted embedder; after ``fine_tune="all"`` with the image network that was trained.
        Only with ``embedder``""",
    "paper": """
        Naranjo-Alcazar et al.: Squeeze-excitation convolutional recurrent neural networks for
        audio-visual scene classification. DCASE 2021, arXiv 2107.13180""",
}


def fill_docstring(cls: Class) -> Class:
    """Replace ``%(name)s`` in the docstring of a class by the shared text of that name."""
    if cls.__doc__ is not None:
        texts = {name: text.strip() for name, text in DESCRIPTIONS.items()}
        lines = []
        for given in cls.__doc__.splitlines():
            line = given
            indent = line[: len(line) - len(line.lstrip())]
            if "%(" in line:
                text = " ".join((line % texts).split())
                line = textwrap.fill(text, 100, initial_indent=indent, subsequent_indent=indent)
            lines.append(line)
        cls.__doc__ = "\n".join(lines)
    return cls

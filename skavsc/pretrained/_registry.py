"""Published networks: what is known of each, and where its file comes from."""

from __future__ import annotations

import importlib.resources
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ModelFile:
    """A file of a published network.

    Parameters
    ----------
    name : str
        The file's name in the cache folder.
    url : str, optional
        The address, where known.
    size : int, optional
        The size in bytes, where known.
    sha256 : str, optional
        The checksum, where known. A download of another checksum is not kept.
    outputs : dict of str, optional
        Plain names (``"embedding"``, ``"scores"``) of the file's tensors.
    """

    name: str
    url: str | None = None
    size: int | None = None
    sha256: str | None = None
    outputs: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PublishedModel:
    """A published network: its settings are facts of how it was trained.

    Parameters
    ----------
    name : str
        The name that an embedder's ``model`` takes.
    modality : {"audio", "visual"}
        What it embeds.
    licence : str
        The licence of code and weights.
    reference : str
        The paper.
    source : str
        The page of its makers.
    files : tuple of ModelFile
        Its files; the first is the one that is fetched.
    sample_rate : int, optional
        The sampling rate of sound, in Hz.
    window : float, optional
        The length of sound that makes an embedding, in seconds.
    image_size : int, optional
        Height and width of images, in pixels.
    preprocessing : str or pair of tuples, optional
        How images are prepared, as in `skavsc.networks.ImagePreprocessing`.
    output : str, optional
        The output that is the embedding.
    labels : str, optional
        The list of class names that belongs to the output ``"scores"``.
    architecture : str, optional
        The network of ours that the file's weights are for; None for whole networks.
    front_end : str, optional
        What it takes in place of waveforms.

    Examples
    --------
    >>> from skavsc.pretrained import REGISTRY
    >>> model = REGISTRY["yamnet"]
    >>> model.modality, model.sample_rate, model.window
    ('audio', 16000, 0.975)
    """

    name: str
    modality: str
    licence: str
    reference: str
    source: str
    files: tuple[ModelFile, ...] = ()
    sample_rate: int | None = None
    window: float | None = None
    image_size: int | None = None
    preprocessing: Any = None
    output: str | None = None
    labels: str | None = None
    architecture: str | None = None
    front_end: str | None = None


_MEDIAPIPE = "https://storage.googleapis.com/mediapipe-models"
_HUGGING_FACE = "https://huggingface.co"
_YAMNET_TFLITE = {
    "embedding": "tower0/network/layer28/reduce_mean",
    "scores": "tower0/network/layer32/final_output",
}

_MODELS = (
    PublishedModel(
        name="yamnet",
        modality="audio",
        licence="Apache-2.0",
        reference="S. Hershey et al., 'CNN architectures for large-scale audio classification', "
        "ICASSP 2017",
        source="https://github.com/tensorflow/models/tree/master/research/audioset/yamnet",
        files=(
            ModelFile(
                "yamnet.tflite",
                url=f"{_MEDIAPIPE}/audio_classifier/yamnet/float32/1/yamnet.tflite",
                size=4_126_810,
                sha256="4d8b4a53282dc83ef04e3e7dbc4fbc98082e34e44ed798e16c3a0cdd4c584faf",
                outputs=_YAMNET_TFLITE,
            ),
            # The same network as on TensorFlow Hub (lite-model/yamnet/classification/tflite/1).
            ModelFile(
                "lite-model_yamnet_classification_tflite_1.tflite",
                size=4_126_810,
                sha256="10c95ea3eb9a7bb4cb8bddf6feb023250381008177ac162ce169694d05c317de",
                outputs=_YAMNET_TFLITE,
            ),
            # That one, converted by tf2onnx with the embedding as a second output.
            ModelFile(
                "yamnet.onnx",
                size=5_077_372,
                sha256="7a84eebd6c7478084f8d1b56b66e5aee6a29c5a24971119da88abc38f09f9ee3",
            ),
        ),
        sample_rate=16_000,
        window=0.975,
        output="embedding",
        labels="audioset_521",
    ),
    PublishedModel(
        name="openl3-audio",
        modality="audio",
        licence="MIT (code), CC BY 4.0 (weights)",
        reference="A. L. Cramer et al., 'Look, listen, and learn more: design choices for deep "
        "audio embeddings', ICASSP 2019",
        source="https://github.com/marl/openl3",
        sample_rate=48_000,
        window=1.0,
    ),
    PublishedModel(
        name="openl3-image",
        modality="visual",
        licence="MIT (code), CC BY 4.0 (weights)",
        reference="A. L. Cramer et al., 'Look, listen, and learn more: design choices for deep "
        "audio embeddings', ICASSP 2019",
        source="https://github.com/marl/openl3",
        image_size=224,
    ),
    PublishedModel(
        name="panns-cnn14",
        modality="audio",
        licence="MIT (code), CC BY 4.0 (weights)",
        reference="Q. Kong et al., 'PANNs: large-scale pretrained audio neural networks for audio "
        "pattern recognition', IEEE/ACM TASLP 28, 2020",
        source="https://zenodo.org/records/3987831",
        sample_rate=32_000,
    ),
    *(
        PublishedModel(
            name=f"efficientat-{size}",
            modality="audio",
            licence="MIT",
            reference="F. Schmid, K. Koutini and G. Widmer, 'Efficient large-scale audio tagging "
            "via transformer-to-CNN knowledge distillation', ICASSP 2023",
            source="https://github.com/fschmid56/EfficientAT",
            sample_rate=32_000,
            front_end="log-mel spectrograms of 128 bands, windows of 800 samples every 320",
        )
        for size in ("mn04", "mn10")
    ),
    PublishedModel(
        name="vgg16-places365",
        modality="visual",
        licence="MIT (code), CC BY (weights of Places365)",
        reference="B. Zhou et al., 'Places: a 10 million image database for scene recognition', "
        "IEEE TPAMI 40(6), 2018",
        source="https://github.com/GKalliatakis/Keras-VGG16-places365",
        files=(
            # Keras 2's layout of HDF5: a group a layer, block1_conv1 to block5_pool.
            ModelFile(
                "vgg16-places365_weights_tf_dim_ordering_tf_kernels_notop.h5",
                url="https://github.com/GKalliatakis/Keras-VGG16-places365/releases/download/v1.0/"
                "vgg16-places365_weights_tf_dim_ordering_tf_kernels_notop.h5",
            ),
        ),
        image_size=224,
        preprocessing="places365",
        architecture="vgg16",
    ),
    PublishedModel(
        name="efficientnet-lite0",
        modality="visual",
        licence="Apache-2.0",
        reference="M. Tan and Q. V. Le, 'EfficientNet: rethinking model scaling for convolutional "
        "neural networks', ICML 2019",
        source="https://ai.google.dev/edge/mediapipe/solutions/vision/image_classifier",
        files=(
            ModelFile(
                "efficientnet_lite0.tflite",
                url=f"{_MEDIAPIPE}/image_classifier/efficientnet_lite0/float32/1/"
                "efficientnet_lite0.tflite",
            ),
        ),
        image_size=224,
        preprocessing=((127.0, 127.0, 127.0), (128.0, 128.0, 128.0)),
    ),
    PublishedModel(
        name="clip-vit-base-patch32",
        modality="visual",
        licence="MIT",
        reference="A. Radford et al., 'Learning transferable visual models from natural language "
        "supervision', ICML 2021",
        source="https://huggingface.co/openai/clip-vit-base-patch32",
        files=(
            ModelFile(
                "clip-vit-base-patch32-vision.onnx",
                url=f"{_HUGGING_FACE}/Xenova/clip-vit-base-patch32/resolve/main/onnx/"
                "vision_model.onnx",
                size=351_685_709,
                sha256="fd6e1402a588279d1723c7534d4bcba5bc0b14b47dfab0e46f8c47b8270d7d40",
            ),
        ),
        image_size=224,
        preprocessing="clip",
        output="image_embeds",
    ),
    PublishedModel(
        name="siglip-base-patch16-224",
        modality="visual",
        licence="Apache-2.0",
        reference="X. Zhai et al., 'Sigmoid loss for language image pre-training', ICCV 2023",
        source="https://huggingface.co/google/siglip-base-patch16-224",
        files=(
            ModelFile(
                "siglip-base-patch16-224-vision.onnx",
                url=f"{_HUGGING_FACE}/Xenova/siglip-base-patch16-224/resolve/"
                "4649052661e53c7000355844105f8a1792088239/onnx/vision_model.onnx",
                size=371_819_850,
                sha256="f89d41bac7f4d4b87e010a467d93f98689d708916ed22f5a07f96fdfa26f475f",
            ),
        ),
        image_size=224,
        preprocessing=((127.5, 127.5, 127.5), (127.5, 127.5, 127.5)),
        output="pooler_output",
    ),
)

#: Name -> `PublishedModel`: the networks that ``skavsc models list`` shows.
REGISTRY = {model.name: model for model in _MODELS}


def known_file(digest: str) -> tuple[PublishedModel, ModelFile] | None:
    """Return the published network that a file of this sha256 holds, or None.

    Parameters
    ----------
    digest : str
        The sha256 of the file, as hexadecimal digits.

    Returns
    -------
    tuple of (PublishedModel, ModelFile) or None
        The network and its file.

    Examples
    --------
    >>> from skavsc.pretrained import REGISTRY, known_file
    >>> model, file = known_file(REGISTRY["yamnet"].files[0].sha256)
    >>> model.name, file.name
    ('yamnet', 'yamnet.tflite')
    """
    for model in _MODELS:
        for file in model.files:
            if file.sha256 == digest:
                return model, file
    return None


def class_names(name: str) -> tuple[str, ...]:
    """Return a list of class names, in the order of the scores."""
    text = importlib.resources.files(__package__).joinpath(f"{name}.txt").read_text("utf-8")
    return tuple(text.splitlines())

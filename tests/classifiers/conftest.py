"""Features of small synthetic clips, and classifiers small enough to train in a second."""

from functools import partial

import keras
import numpy as np
import pytest

from skavsc.classifiers import AudioSceneClassifier, SECRNNClassifier, VisualSceneClassifier
from skavsc.media import write_clip
from skavsc.networks import AUDIO_TAP, VISUAL_TAP, BlockScaling
from skavsc.training import momentum_for
from skavsc.visual import VideoFrameSampler

LABELS = np.array(["bus", "park", "tram"])
COLOURS = np.array([(200, 40, 40), (40, 180, 60), (50, 60, 200)])


def synthetic_features(n_clips=36, seconds=2, n_bands=16, n_features=12, seed=0):
    """Clips of three scenes that differ in their loud bands and in some picture features."""
    rng = np.random.default_rng(seed)
    y = LABELS[np.arange(n_clips) % 3]
    groups = np.arange(n_clips) // 3
    X = np.zeros(
        n_clips,
        dtype=[
            ("audio", "f4", (n_bands, 50 * seconds, 3)),
            ("visual", "f4", (5 * seconds, n_features)),
        ],
    )
    audio, visual = X["audio"], X["visual"]
    audio[:] = rng.normal(-40, 4, size=audio.shape)
    visual[:] = rng.normal(size=visual.shape)
    for index, label in enumerate(LABELS):
        audio[y == label, index * 5 : index * 5 + 5] += 25
        visual[y == label, :, index * 4 : index * 4 + 4] += 2
    return X, y, groups


class LightAudio(AudioSceneClassifier):
    """One convolution over all bands in place of the three blocks.

    With it and with LightVisual, tests of what fits and predictions do with any network save most
    of the time, which goes into the operations of a network, few of them or many.
    """

    def _build_network(self, training_set):
        _, n_bands, _, n_channels = self.feature_shape_
        inputs = keras.Input((n_bands, self.segment_frames, n_channels), name="audio")
        x = BlockScaling(name="audio_scaling")(inputs)
        name = "audio_block1_conv1"
        x = keras.layers.Conv2D(4, (n_bands, 4), (1, 4), name=name)(x)
        momentum = momentum_for(len(training_set.train.rows), self.batch_size)
        x = keras.layers.BatchNormalization(momentum=momentum, name=f"{name}_norm")(x)
        x = keras.layers.ReLU(name=AUDIO_TAP)(x)
        x = keras.layers.GlobalAveragePooling2D()(x)
        n_classes = len(training_set.classes)
        outputs = keras.layers.Dense(n_classes, activation="softmax", name="audio_scores")(x)
        return keras.Model(inputs, outputs, name="audio_network")


class LightVisual(VisualSceneClassifier):
    """A layer on the mean over frames in place of the GRU."""

    def _build_network(self, training_set):
        inputs = keras.Input((self.segment_frames, self.feature_shape_[-1]), name="visual")
        x = inputs
        if self.scale_frames:
            x = keras.layers.LayerNormalization(center=False, scale=False)(x)
        x = keras.layers.Identity(name=VISUAL_TAP)(x)
        x = keras.layers.GlobalAveragePooling1D()(x)
        x = keras.layers.Dropout(self.dropout)(x)
        outputs = keras.layers.Dense(
            len(training_set.classes),
            activation="softmax",
            kernel_regularizer=keras.regularizers.L2(self.l2),
            name="visual_scores",
        )(x)
        return keras.Model(inputs, outputs, name="visual_network")


def audio_classifier(kind=AudioSceneClassifier, **options):
    return kind(
        **{"filters": (4, 4, 4), "epochs": 12, "learning_rate": 0.02, "random_state": 0, **options}
    )


def visual_classifier(kind=VisualSceneClassifier, **options):
    return kind(**{"units": 4, "epochs": 12, "learning_rate": 0.02, "random_state": 0, **options})


def framework(kinds=(AudioSceneClassifier, VisualSceneClassifier), **options):
    return SECRNNClassifier(
        audio_classifier(kinds[0], random_state=None),
        visual_classifier(kinds[1], random_state=None),
        **{"units": 4, "epochs": 6, "learning_rate": 0.01, "random_state": 0, **options},
    )


@pytest.fixture(scope="session")
def features():
    return synthetic_features()


@pytest.fixture(scope="session")
def new_clips():
    return synthetic_features(n_clips=18, seed=1)


BUILDERS = {"audio": audio_classifier, "visual": visual_classifier, "both": framework}


@pytest.fixture(params=list(BUILDERS))
def build(request):
    """One of the three classifiers, as a function of its options."""
    return BUILDERS[request.param]


class FittedOnDemand(dict):
    """The three classifiers by name, fitted when one is first asked for.

    Those of sound and of picture are the framework's. ``traced`` names its networks once for each
    time that their training step was traced.
    """

    def __init__(self, features, eager):
        self.features, self.eager = features, eager
        self.traced = []

    def __missing__(self, name):
        X, y, groups = self.features
        if name != "both":
            self[name] = getattr(self["both"], f"{name}_")
            return self[name]
        step, traced = keras.Model.train_step, []

        def counted(network, *args, **kwargs):
            traced.append(network.name)
            return step(network, *args, **kwargs)

        # With graphs, whoever asks.
        with pytest.MonkeyPatch.context() as patch, self.eager(False):
            patch.setattr(keras.Model, "train_step", counted)
            self[name] = framework().fit(X, y, groups=groups)
        self.traced = traced
        return self[name]


@pytest.fixture(scope="session")
def fitted(features, eager):
    """Each of the three classifiers, fitted once."""
    return FittedOnDemand(features, eager)


@pytest.fixture(scope="session")
def make_features():
    """The function ``synthetic_features(n_clips, seconds, n_bands, n_features, seed)``."""
    return synthetic_features


@pytest.fixture(scope="session")
def small_audio():
    """The function that makes a small AudioSceneClassifier of options."""
    return audio_classifier


@pytest.fixture(scope="session")
def small_visual():
    """The function that makes a small VisualSceneClassifier of options."""
    return visual_classifier


@pytest.fixture(scope="session")
def small_framework():
    """The function that makes a small SECRNNClassifier of options."""
    return framework


@pytest.fixture(scope="session")
def light_audio():
    """The function that makes an audio classifier whose network has two layers."""
    return partial(audio_classifier, LightAudio)


@pytest.fixture(scope="session")
def light_visual():
    """The function that makes a visual classifier whose network has one layer."""
    return partial(visual_classifier, LightVisual)


@pytest.fixture(scope="session")
def light_framework():
    """The function that makes a framework on both of them."""
    return partial(framework, (LightAudio, LightVisual))


@pytest.fixture(scope="session")
def films(tmp_path_factory):
    """The lazy frames of twelve films of 1 s, whose scenes differ in colour, and the labels."""
    folder = tmp_path_factory.mktemp("films")
    rng = np.random.default_rng(0)
    codes = np.arange(12) % 3
    paths = []
    for index, code in enumerate(codes):
        noise = rng.integers(-30, 30, size=(25, 48, 64, 3))
        frames = np.clip(COLOURS[code] + noise, 0, 255).astype("uint8")
        paths.append(write_clip(folder / f"{index}.mp4", frames, fps=25))
    return VideoFrameSampler(size=32, duration=1.0).transform(paths), LABELS[codes]


@pytest.fixture(scope="session")
def image_network():
    """A function that builds an image network of two layers, always with the same weights."""

    def build():
        inputs = keras.Input((None, None, 3))
        x = inputs
        for seed, stride in ((0, 4), (1, 2)):
            x = keras.layers.Conv2D(
                8,
                3,
                strides=stride,
                activation="relu",
                kernel_initializer=keras.initializers.HeNormal(seed),
            )(x)
        return keras.Model(inputs, x)

    return build

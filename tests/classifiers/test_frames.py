"""The framework on frames: embedded once, trained together with the image network, deployed."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from keras.ops import convert_to_numpy
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from skavsc.exceptions import MediaNotFoundError
from skavsc.pretrained import open_keras
from skavsc.training.augmentation import Brightness, HorizontalFlip
from skavsc.visual import ImageEmbedder, LazyFrames, VGGPlacesEmbedder

pytestmark = [
    pytest.mark.filterwarnings("ignore::skavsc.exceptions.UntrainedWeightsWarning"),
    pytest.mark.usefixtures("all_eagerly"),
]

PARTS = ("audio", "visual")


@pytest.fixture(scope="module")
def filmed(films, make_features):
    """Twelve clips of 1 s, whose scenes differ in the colour of their films."""
    X, y, _ = make_features(12, seconds=1)
    clips = np.empty(12, dtype=[("audio", "f4", X.dtype["audio"].shape), ("visual", object)])
    clips["audio"] = X["audio"]
    clips["visual"], labels = films
    assert (labels == y).all()
    return clips, y


@pytest.fixture(scope="module")
def on_frames(light_framework):
    """A function that makes a small framework with an embedder."""

    def build(embedder=None, **options):
        framework = light_framework(
            **{"validation_fraction": 0, "epochs": 3, "batch_size": 6, **options}
        )
        # The features of random image networks would saturate the GRU.
        framework.set_params(audio__epochs=1, visual__epochs=1, visual__scale_frames=True)
        return framework.set_params(embedder=embedder or VGGPlacesEmbedder(weights=None))

    return build


@pytest.fixture(scope="module", params=["small", pytest.param("vgg16", marks=pytest.mark.slow)])
def tuned(request, filmed, on_frames, image_network):
    """The framework and its image network, which was trained with it, as that was before."""
    augmentation = [HorizontalFlip(), Brightness(limit=0.2)]
    rate = {"small": 3e-3, "vgg16": 1e-5}[request.param]
    options = {"fine_tune": "all", "fine_tune_learning_rate": rate, "augmentation": augmentation}
    if request.param == "small":
        return on_frames(ImageEmbedder(image_network()), **options).fit(*filmed), image_network()
    framework = on_frames(**options).fit(*filmed)
    return framework, open_keras("vgg16", None, framework.embedder_.seed_).model


def test_fine_tuning_all_moves_every_layer(tuned):
    framework, before = tuned
    after = framework.embedder_.model
    for layer, trained in zip(before.layers, after.layers, strict=True):
        for old, new in zip(layer.get_weights(), trained.get_weights(), strict=True):
            assert not np.array_equal(old, new), layer.name


def test_fine_tuning_all_learns(tuned, filmed):
    framework, _ = tuned
    loss = framework.history_["loss"]
    assert len(loss) == 6
    # The fusion alone would not get far at that rate.
    assert loss[-1] < loss[2] - 0.1
    assert framework.score(*filmed) > 0.6


def test_frames_are_films_that_were_never_all_decoded(filmed):
    assert all(isinstance(frames, LazyFrames) for frames in filmed[0]["visual"])


def test_prediction_uses_the_image_network_that_was_trained(tuned, filmed):
    X, _ = filmed
    framework, _ = tuned
    network = framework.build_deployable(image_size=32)
    frames = np.stack([np.asarray(item) for item in X["visual"]]).astype("float32")
    deployed = convert_to_numpy(network([X["audio"], frames]))
    np.testing.assert_allclose(deployed, framework.predict_proba(X), atol=1e-4)


def test_a_pickle_predicts_the_same(tuned, filmed):
    framework, _ = tuned
    again = pickle.loads(pickle.dumps(framework))
    np.testing.assert_allclose(
        again.predict_proba(filmed[0]), framework.predict_proba(filmed[0]), atol=1e-6
    )


def embedded(clips, embedder):
    embeddings = embedder.fit_transform(clips["visual"])
    dtype = [("audio", "f4", clips.dtype["audio"].shape), ("visual", "f4", embeddings.shape[1:])]
    X = np.empty(len(clips), dtype=dtype)
    X["audio"], X["visual"] = clips["audio"], embeddings
    return X


@pytest.mark.slow
def test_without_training_the_image_network_frames_are_but_another_way_in(
    filmed, on_frames, image_network
):
    clips, y = filmed
    embedder = ImageEmbedder(image_network())
    X = embedded(clips, embedder)
    by_embeddings = on_frames().set_params(embedder=None).fit(X, y)
    parts = {name: FrozenEstimator(getattr(by_embeddings, f"{name}_")) for name in PARTS}
    by_frames = on_frames(embedder).set_params(**parts).fit(clips, y)
    expected = by_embeddings.predict_proba(X)
    np.testing.assert_array_equal(by_frames.predict_proba(clips), expected)
    deployable = by_embeddings.build_deployable(embedder.fit(clips["visual"]), image_size=(32, 32))
    frames = np.stack([np.asarray(item) for item in clips["visual"]]).astype("float32")
    deployed = convert_to_numpy(deployable([clips["audio"], frames]))
    np.testing.assert_allclose(deployed, expected, atol=1e-4)
    # The network that was handed out is the caller's own.
    deployable.set_weights([np.zeros_like(weight) for weight in deployable.get_weights()])
    np.testing.assert_array_equal(by_embeddings.predict_proba(X), expected)
    with pytest.raises(ValueError, match="pass embedder="):
        by_embeddings.build_deployable()


def test_frames_without_an_embedder_and_embeddings_with_one(filmed, features, on_frames):
    clips, y = filmed
    with pytest.raises(ValueError, match=r"visual features must be numbers"):
        on_frames().set_params(embedder=None).fit(clips, y)
    with pytest.raises(ValueError, match="must hold frames"):
        on_frames().fit(features[0], features[1])
    with pytest.raises(ValueError, match="structured array"):
        on_frames().fit(clips["audio"], y)


def test_changes_of_frames_need_frames(features, small_framework):
    for augmentation in (HorizontalFlip(), Brightness()):
        with pytest.raises(ValueError, match='only fine_tune="all" trains on frames'):
            small_framework(augmentation=[augmentation]).fit(*features[:2])


@pytest.fixture(scope="module")
def tuned_visual(films, light_visual, image_network):
    """A visual network that was trained together with its image network, alone."""
    return light_visual(
        embedder=ImageEmbedder(image_network()),
        fine_tune="all",
        fine_tune_learning_rate=1e-3,
        scale_frames=True,
        validation_fraction=0,
        epochs=2,
    ).fit(*films)


@pytest.fixture(scope="module")
def on_tuned_visual(filmed, on_frames, tuned_visual):
    """The framework on that network and its image network, as they are."""
    framework = on_frames(epochs=1).set_params(
        embedder=FrozenEstimator(tuned_visual.embedder_), visual=FrozenEstimator(tuned_visual)
    )
    return framework.fit(*filmed)


def test_a_frozen_part_brings_the_image_network_that_was_trained(
    filmed, on_tuned_visual, tuned_visual
):
    X, y = filmed
    framework = on_tuned_visual
    expected = tuned_visual.predict_proba(X["visual"])
    assert framework.embedder_ is tuned_visual.embedder_
    embeddings = tuned_visual.embedder_.transform(X["visual"])
    with_embeddings = np.empty(12, [("audio", X.dtype["audio"]), ("visual", "f4", (5, 8))])
    with_embeddings["audio"], with_embeddings["visual"] = X["audio"], embeddings
    alone = clone(framework).set_params(audio=FrozenEstimator(framework.audio_), embedder=None)
    alone.fit(with_embeddings, y)
    np.testing.assert_array_equal(alone.predict_proba(with_embeddings), framework.predict_proba(X))
    # What is trained in the last step is the framework's own.
    more = clone(framework).set_params(audio=FrozenEstimator(framework.audio_))
    more.set_params(fine_tune="all", fine_tune_learning_rate=1e-3).fit(X, y)
    before = tuned_visual.embedder_.model.get_weights()
    after = more.embedder_.model.get_weights()
    assert not any(np.array_equal(*pair) for pair in zip(before, after, strict=True))
    np.testing.assert_array_equal(tuned_visual.predict_proba(X["visual"]), expected)


def test_what_is_usable_is_told_without_decoding(filmed, on_tuned_visual):
    X, _ = filmed
    framework = on_tuned_visual
    lost = X[:3].copy()
    for row, path in enumerate(["gone.mp4", None, "gone.mp4"]):
        lost["visual"][row] = path and replace(X["visual"][row], path=path)
    assert framework.usable_clips(lost).tolist() == [True, False, True]
    with pytest.raises(MediaNotFoundError, match=r"gone\.mp4"):
        framework.predict(lost[[0, 2]])


def test_a_framework_has_one_embedder(filmed, on_frames, tuned_visual):
    framework = on_frames().set_params(visual=FrozenEstimator(tuned_visual))
    with pytest.raises(
        ValueError, match=r"trained on the embeddings of another one; pass embedder=Froz"
    ):
        framework.fit(*filmed)

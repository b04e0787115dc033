"""The visual network on frames: embedded once, then trained together with the image network."""

import os
import pickle
import signal

import keras
import numpy as np
import pytest
from keras.ops import convert_to_numpy
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.utils import get_tags

from skavsc.classifiers import VisualSceneClassifier
from skavsc.exceptions import ClipTableError, MissingClipWarning, MissingModalityError
from skavsc.training import Backbone
from skavsc.training.augmentation import Augmentation, Brightness, HorizontalFlip
from skavsc.visual import ImageEmbedder, LazyFrames

pytestmark = pytest.mark.usefixtures("all_eagerly")

EPOCHS = 2


@pytest.fixture(scope="module")
def on_frames(light_visual, image_network):
    """A function that makes a small visual classifier with an embedder."""

    def build(**options):
        return light_visual(
            **{
                "embedder": ImageEmbedder(image_network()),
                "scale_frames": True,
                "validation_fraction": 0,
                "epochs": EPOCHS,
                "batch_size": 6,
                **options,
            }
        )

    return build


@pytest.fixture(scope="module")
def frozen(films, on_frames):
    """Trained in step 2 only."""
    return on_frames().fit(*films)


@pytest.fixture(scope="module")
def tuned(films, on_frames):
    """Trained in steps 2 and 2b."""
    return on_frames(fine_tune="all", fine_tune_learning_rate=0.003).fit(*films)


def weights_of(classifier):
    return classifier.keras_classifier_.model_.get_weights()


def pairs(first, second):
    return zip(first, second, strict=True)


def test_frames_are_but_another_way_in_while_the_image_network_is_frozen(
    films, frozen, light_visual
):
    frames, y = films
    embedder = clone(frozen.embedder)
    embeddings = embedder.fit_transform(frames)
    options = {**frozen.get_params(deep=False), "embedder": None}
    by_embeddings = type(frozen)(**options).fit(embeddings, y)
    np.testing.assert_array_equal(
        frozen.predict_proba(frames), by_embeddings.predict_proba(embeddings)
    )
    assert not hasattr(by_embeddings, "embedder_")
    assert frozen.feature_shape_ == by_embeddings.feature_shape_ == (12, 5, 8)
    for before, after in pairs(
        frozen.embedder.model.get_weights(), frozen.embedder_.model.get_weights()
    ):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("form", ["array", "list", "field"])
def test_frames_may_come_in_any_form(films, frozen, form):
    frames, _ = films
    decoded = [np.asarray(item) for item in frames]
    structured = np.empty(12, dtype=[("visual", object)])
    structured["visual"] = frames
    X = {"array": np.stack(decoded), "list": decoded, "field": structured}[form]
    np.testing.assert_array_equal(frozen.predict_proba(X), frozen.predict_proba(frames))


def test_the_image_network_is_frozen_in_step_2_and_moves_in_step_2b(frozen, tuned, image_network):
    # Were it to move in step 2, so would the losses.
    assert tuned.history_["loss"][:EPOCHS] == frozen.history_["loss"]
    assert len(tuned.history_["loss"]) == 2 * EPOCHS
    first = image_network().get_weights()
    for before, after in pairs(first, tuned.embedder_.model.get_weights()):
        assert not np.array_equal(before, after)
    # The network that was given is the caller's own.
    for before, after in pairs(first, tuned.embedder.model.get_weights()):
        np.testing.assert_array_equal(before, after)


def test_step_2b_moves_the_network_on_embeddings_too(frozen, tuned):
    for before, after in pairs(weights_of(frozen), weights_of(tuned)):
        assert not np.array_equal(before, after)


@pytest.mark.slow
def test_step_2b_learns(films, on_frames):
    frames, y = films
    # Step 2 stands still, so that what is learnt is learnt in step 2b.
    options = {"learning_rate": 1e-9, "dropout": 0, "epochs": 20}
    tuned = on_frames(**options, fine_tune="all", fine_tune_learning_rate=0.01).fit(frames, y)
    loss = tuned.history_["loss"]
    np.testing.assert_allclose(loss[:20], loss[0], rtol=1e-3)
    assert loss[-1] < loss[19] - 0.3
    assert tuned.score(frames, y) > 0.9


def test_prediction_is_that_of_the_two_networks_that_were_trained_as_one(films, tuned):
    frames, _ = films
    predicted = tuned.predict_proba(frames)
    network = tuned.keras_classifier_.model_
    embeddings = tuned.embedder_.transform(frames)
    np.testing.assert_allclose(convert_to_numpy(network(embeddings)), predicted, atol=1e-6)
    whole = Backbone.of(tuned.embedder_).before(network, 32)
    decoded = np.stack([np.asarray(item) for item in frames]).astype("float32")
    np.testing.assert_allclose(convert_to_numpy(whole(decoded)), predicted, atol=1e-5)


def test_the_best_epoch_is_restored_in_both_networks(films, on_frames, eager):
    frames, y = films
    # Labels that do not fit, so that the validation loss rises at some time.
    data = frames[:3], np.roll(y[:3], 1)
    tuned = on_frames(l2=0, epochs=4, fine_tune="all", fine_tune_learning_rate=0.01)
    with eager(False):
        tuned.fit(frames, y, validation_data=data)
    losses = tuned.history_["val_loss"][4:]
    assert np.argmin(losses) < 3
    chosen = tuned.predict_proba(data[0])[np.arange(3), np.searchsorted(tuned.classes_, data[1])]
    assert -np.log(chosen).mean() == pytest.approx(min(losses), abs=1e-4)


def test_films_are_read_once_for_step_2_and_once_an_epoch_in_step_2b(films, on_frames, monkeypatch):
    frames, y = films
    read, reads = LazyFrames.read, []

    def counted(self):
        reads.append(self.path)
        return read(self)

    monkeypatch.setattr(LazyFrames, "read", counted)
    on_frames(fine_tune="all").fit(frames, y)
    # Keras looks at two batches before it begins on TensorFlow, elsewhere at one.
    looked_at = 2 if keras.backend.backend() == "tensorflow" else 1
    assert len(reads) == len(frames) * (1 + EPOCHS) + looked_at * 6


def test_changes_of_frames_take_part_in_the_last_stage_alone(films, tuned, on_frames):
    augmentation = [HorizontalFlip(), Brightness(limit=0.5)]
    options = {**tuned.get_params(deep=False), "augmentation": augmentation}
    losses, others = on_frames(**options).fit(*films).history_["loss"], tuned.history_["loss"]
    assert losses[:EPOCHS] == others[:EPOCHS]
    assert losses[EPOCHS + 1 :] != others[EPOCHS + 1 :]


def test_changes_of_frames_need_the_last_stage(films, on_frames):
    with pytest.raises(ValueError, match=r"HorizontalFlip\(\), which changes frames"):
        on_frames(augmentation=[HorizontalFlip()]).fit(*films)


class PressCtrlC(Augmentation):
    """Ctrl-C while the first batch of frames is made."""

    on_frames = True

    def __call__(self, batch, rng):
        os.kill(os.getpid(), signal.SIGINT)
        return batch


def test_interruption_of_fine_tuning_keeps_what_was_trained_before(films, frozen, on_frames):
    tuned = on_frames(fine_tune="all", augmentation=[PressCtrlC()])
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.warns(ConvergenceWarning, match="fine-tuning network was interrupted after 0"):
            tuned.fit(*films)
    finally:
        signal.signal(signal.SIGINT, before)
    np.testing.assert_allclose(
        tuned.predict_proba(films[0]), frozen.predict_proba(films[0]), atol=1e-6
    )
    assert tuned.history_ == frozen.history_


@pytest.mark.parametrize("fine_tune", [pytest.param(None, marks=pytest.mark.slow), "all"])
def test_clips_without_frames_are_left_out_and_named(films, on_frames, fine_tune):
    frames, y = films
    lacking = frames.copy()
    lacking[[0, 5]] = None
    classifier = on_frames(fine_tune=fine_tune)
    with pytest.warns(MissingClipWarning, match="2 of 12 clips"):
        classifier.fit(lacking, y)
    present = np.delete(np.arange(12), [0, 5])
    seconds = classifier.predict_proba_segments(lacking)
    assert np.isnan(seconds[[0, 5]]).all()
    np.testing.assert_allclose(
        seconds[present], classifier.predict_proba_segments(frames)[present], atol=1e-6
    )
    with pytest.raises(MissingModalityError, match="rows 0, 5"):
        classifier.predict(lacking)


def test_warm_start_goes_on_with_the_image_network_that_was_trained(films, on_frames):
    options = {"fine_tune": "all", "fine_tune_learning_rate": 0.003, "warm_start": True}
    classifier = on_frames(**options, epochs=1).fit(*films)
    first = classifier.embedder_.model.get_weights()
    classifier.set_params(fine_tune_learning_rate=1e-12).fit(*films)
    assert len(classifier.history_["loss"]) == 4
    for before, after in pairs(first, classifier.embedder_.model.get_weights()):
        np.testing.assert_allclose(after, before, atol=1e-9)


@pytest.mark.slow
def test_partial_fit_takes_one_epoch_of_each_step(films, on_frames):
    classifier = on_frames(fine_tune="all", fine_tune_learning_rate=0.003)
    for calls in (1, 2):
        before = getattr(classifier, "embedder_", classifier.embedder).model.get_weights()
        classifier.partial_fit(*films)
        assert len(classifier.history_["loss"]) == 2 * calls
        for old, new in pairs(before, classifier.embedder_.model.get_weights()):
            assert not np.array_equal(old, new)


def test_a_fit_without_embedder_forgets_the_last_ones(films, features, on_frames):
    classifier = on_frames(epochs=1).fit(*films)
    classifier.set_params(embedder=None).fit(features[0]["visual"], features[1])
    assert not hasattr(classifier, "embedder_")
    assert classifier.predict(features[0]["visual"]).shape == (36,)


def test_a_pickle_predicts_the_same(films, tuned):
    again = pickle.loads(pickle.dumps(tuned))
    np.testing.assert_array_equal(again.predict_proba(films[0]), tuned.predict_proba(films[0]))


def test_training_an_image_network_needs_one(films, on_frames):
    with pytest.raises(ValueError, match=r"embedder is None: pass one, such as embedder=VGG"):
        on_frames(embedder=None, fine_tune="all").fit(*films)


def test_a_frozen_embedder_is_used_as_it_is(films, frozen, on_frames):
    again = on_frames(embedder=FrozenEstimator(frozen.embedder_)).fit(*films)
    assert again.embedder_ is frozen.embedder_
    np.testing.assert_array_equal(again.predict_proba(films[0]), frozen.predict_proba(films[0]))


def test_embeddings_and_paths_are_refused_with_an_embedder(films, features, on_frames):
    frames, y = films
    with pytest.raises(ValueError, match=r"must hold frames.*embedder=None"):
        on_frames().fit(features[0]["visual"], features[1])
    with pytest.raises(ValueError, match=r"the field visual of X must hold frames"):
        on_frames().fit(features[0], features[1])
    with pytest.raises(ValueError, match=r"fields \['visual'\], it has \['audio'\]"):
        on_frames().fit(features[0][["audio"]], features[1])
    with pytest.raises(ClipTableError, match="put a VideoFrameSampler before it"):
        on_frames().fit([item.path for item in frames], y)


def test_frames_without_an_embedder_are_refused(films, on_frames):
    with pytest.raises(ValueError, match=r"visual features must be numbers.*embedder="):
        on_frames(embedder=None).fit(*films)


def test_tags_say_what_X_is(on_frames):
    for classifier, on_objects in (
        (on_frames(), True),
        (VisualSceneClassifier(), False),
    ):
        tags = get_tags(classifier).input_tags
        assert tags.one_d_array is on_objects
        assert tags.three_d_array is not on_objects

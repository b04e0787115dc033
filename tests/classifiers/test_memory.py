"""Networks that are kept: none is trained twice, and each is known by all that it depends on."""

import os
import pickle
import signal
import time

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from skavsc.classifiers import _memory
from skavsc.training.augmentation import Augmentation, Mixup

pytestmark = pytest.mark.usefixtures("all_eagerly")


class PressCtrlC(Augmentation):
    """Ctrl-C while the batch of some number is made; of none if that is 0."""

    number = 0

    def __call__(self, batch, rng):
        if type(self).number:
            type(self).number -= 1
            if not type(self).number:
                os.kill(os.getpid(), signal.SIGINT)
        return batch


@pytest.fixture(scope="module")
def features(make_features):
    """Few clips: one step an epoch."""
    return make_features(12)


@pytest.fixture(scope="module")
def memory(tmp_path_factory):
    return tmp_path_factory.mktemp("networks")


@pytest.fixture(scope="module")
def kept(light_framework, memory, features):
    """A fitted framework whose networks are kept."""
    X, y, groups = features
    classifier = light_framework(memory=memory, epochs=2)
    return classifier.set_params(audio__epochs=2, visual__epochs=2).fit(X, y, groups=groups)


def trained_stages(classifier, features, capfd):
    """Fit a classifier and return the labels of the networks that were trained for it."""
    X, y, groups = features
    capfd.readouterr()
    classifier.set_params(verbose=1, audio__verbose=1, visual__verbose=1)
    classifier.fit(X, y, groups=groups)
    lines = [line for line in capfd.readouterr().err.splitlines() if ": epoch" in line]
    return list(dict.fromkeys(line.split(": epoch")[0] for line in lines))


def test_a_second_fit_trains_nothing_and_is_the_same(kept, features, capfd):
    again = clone(kept).set_params(memory=joblib.Memory(str(kept.memory), verbose=0))
    assert trained_stages(again, features, capfd) == []
    X, _, _ = features
    np.testing.assert_array_equal(again.predict_proba(X), kept.predict_proba(X))
    np.testing.assert_array_equal(again.audio_.predict_proba(X), kept.audio_.predict_proba(X))
    assert again.history_ == kept.history_
    # Going on goes past the memory.
    again.set_params(warm_start=True)
    assert trained_stages(again, features, capfd) == ["audio", "visual", "sound and picture"]
    assert len(again.history_["loss"]) == 4


def test_what_is_interrupted_is_not_kept(kept, features, capfd, tmp_path):
    X, y, groups = features
    classifier = clone(kept).set_params(
        memory=tmp_path,
        audio=FrozenEstimator(kept.audio_),
        visual__augmentation=[PressCtrlC()],
        visual__epochs=8,
    )
    # A shell's background jobs ignore the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    # Batches are made ahead: some epochs are at their ends, and some are not.
    PressCtrlC.number = 6
    try:
        with pytest.raises(KeyboardInterrupt) as interruption:
            classifier.fit(X, y, groups=groups)
    finally:
        signal.signal(signal.SIGINT, before)
    assert not hasattr(interruption.value, "__notes__")  # that no epoch was trained
    capfd.readouterr()
    clone(classifier).set_params(verbose=1, visual__verbose=1).fit(X, y, groups=groups)
    err = capfd.readouterr().err
    assert "visual: epoch" in err
    assert "sound and picture: epoch" in err


def known_by(classifier):
    return joblib.hash(_memory.description(classifier))


@pytest.mark.parametrize(
    ("change", "is_another"),
    [
        ({"fusion": "early"}, True),
        ({"units": 5}, True),
        ({"visual__dropout": 0.1}, True),
        ({"audio__augmentation__mixup__alpha": 0.1}, True),
        ({"random_state": 1}, True),
        ({"verbose": 2, "audio__verbose": 2}, False),
        ({"clip_average": "geometric", "starts_per_second": 5}, False),
        ({"warm_start": True}, False),
        ({"memory": "elsewhere"}, False),
    ],
)
def test_parameters_that_make_another_network(small_framework, change, is_another):
    changed = small_framework().set_params(**change)
    assert (known_by(changed) != known_by(small_framework())) == is_another


def test_the_published_augmentation_is_known_by_its_name_or_its_list(small_audio):
    lists = [small_audio(augmentation=[Mixup(alpha=alpha)]) for alpha in (0.2, 0.2, 0.4)]
    assert known_by(lists[0]) == known_by(lists[1]) != known_by(lists[2])


def test_a_frozen_part_is_known_by_its_weights(kept, small_framework):
    def known(part):
        return known_by(small_framework().set_params(visual=FrozenEstimator(part)))

    first = known(kept.visual_)
    # Keras's archives hold the time in steps of two seconds.
    time.sleep(2.1)
    copy = pickle.loads(pickle.dumps(kept.visual_))
    assert known(copy) == first
    network = copy.keras_classifier_.model_
    network.set_weights([1.01 * weight for weight in network.get_weights()])
    assert known(copy) != first


def test_the_clips_are_part_of_the_key(features, small_visual):
    from skavsc.training import LabelledClips, TrainingSet

    X, y, _ = features
    louder = X.copy()
    louder["visual"][0, 0, 0] += 1
    hashes = []
    for given, rows in ((X, 12), (X, 12), (louder, 12), (X, 11)):
        clips = small_visual()._features(given, reset=True)
        train = LabelledClips(clips, y, None, np.arange(rows))
        hashes.append(joblib.hash(TrainingSet(train, None, np.unique(y), 0)))
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3


def test_the_key_knows_backend_and_versions():
    import importlib.metadata

    import keras

    known = _memory.environment()
    assert known["backend"] == keras.backend.backend()
    assert known["keras"] == keras.__version__
    assert known[known["backend"]] == importlib.metadata.version(known["backend"])


def test_needs_a_number_to_know_a_fit_by(kept, features):
    X, y, groups = features
    with pytest.raises(ValueError, match=r"random_state=None with memory=.*set random_state"):
        clone(kept).set_params(random_state=None).fit(X, y, groups=groups)

"""Steps that are kept: none is trained twice, and what is half trained is not kept."""

import os
import pickle
import signal
import time

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator


@pytest.fixture
def steps_of(features, capfd):
    """A function that fits a framework and gives it with the steps that were trained for it."""

    def fit(classifier):
        X, y, groups = features
        capfd.readouterr()
        classifier.fit(X, y, groups=groups)
        lines = [line for line in capfd.readouterr().err.splitlines() if ": epoch" in line]
        return classifier, list(dict.fromkeys(line.split(": epoch")[0] for line in lines))

    return fit


@pytest.fixture(scope="module")
def kept(small_framework, tmp_path_factory, features):
    """A fitted framework that says what it trains, and whose steps are kept."""
    X, y, groups = features
    memory = tmp_path_factory.mktemp("steps")
    classifier = small_framework(memory=memory, verbose=1)
    return classifier.set_params(audio__verbose=1, visual__verbose=1).fit(X, y, groups=groups)


def test_a_second_fit_trains_nothing_and_is_the_same(kept, steps_of, features):
    X, _, _ = features
    again, trained = steps_of(clone(kept))
    assert trained == []
    np.testing.assert_array_equal(again.predict_proba(X), kept.predict_proba(X))
    np.testing.assert_array_equal(again.audio_.predict_proba(X), kept.audio_.predict_proba(X))
    assert again.history_ == kept.history_


def test_is_the_same_as_without(kept, steps_of, features):
    X, _, _ = features
    plain, trained = steps_of(clone(kept).set_params(memory=None))
    assert trained == ["audio", "visual", "sound and picture"]
    np.testing.assert_array_equal(kept.predict_proba(X), plain.predict_proba(X))


@pytest.mark.parametrize(
    ("change", "trained_again"),
    [
        ({"fusion": "early"}, ["sound and picture"]),
        ({"visual__dropout": 0.1}, ["visual", "sound and picture"]),
        ({"random_state": 1}, ["audio", "visual", "sound and picture"]),
        ({"verbose": 2, "audio__verbose": 2}, []),
    ],
)
def test_trains_what_a_parameter_changes(kept, steps_of, change, trained_again):
    _, trained = steps_of(clone(kept).set_params(**change))
    assert trained == trained_again


def test_other_clips_are_trained_on(kept, features, capfd):
    X, y, groups = features
    louder = X.copy()
    louder["audio"][0, 0, :5] += 1
    clone(kept).fit(louder, y, groups=groups)
    err = capfd.readouterr().err
    assert "audio: epoch" in err
    assert "visual: epoch" not in err


def test_takes_a_joblib_memory(kept, steps_of):
    memory = joblib.Memory(str(kept.memory), verbose=0)
    _, trained = steps_of(clone(kept).set_params(memory=memory))
    assert trained == []


def test_what_is_interrupted_is_not_kept(kept, steps_of, features, monkeypatch, tmp_path):
    from skavsc.classifiers import _batches

    X, y, groups = features
    draw = _batches.CropBatches.__getitem__

    def interrupted(self, index):
        if "visual" in self.clips.streams and index >= self.steps_per_epoch:
            os.kill(os.getpid(), signal.SIGINT)
        return draw(self, index)

    elsewhere = clone(kept).set_params(memory=tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(_batches.CropBatches, "__getitem__", interrupted)
        # A shell's background jobs ignore the signal.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            with pytest.raises(KeyboardInterrupt):
                elsewhere.fit(X, y, groups=groups)
        finally:
            signal.signal(signal.SIGINT, before)
    _, trained = steps_of(clone(elsewhere))
    assert trained == ["visual", "sound and picture"]


def test_a_frozen_part_is_known_by_its_weights(kept, steps_of):
    frozen = FrozenEstimator(kept.visual_)
    first, trained = steps_of(clone(kept).set_params(visual=frozen))
    assert trained == ["sound and picture"]
    # Keras's archives hold the time in steps of two seconds.
    time.sleep(2.1)
    copy = pickle.loads(pickle.dumps(kept.visual_))
    _, trained = steps_of(clone(kept).set_params(visual=FrozenEstimator(copy)))
    assert trained == []
    network = copy.keras_classifier_.model_
    network.set_weights([1.01 * weight for weight in network.get_weights()])
    _, trained = steps_of(clone(kept).set_params(visual=FrozenEstimator(copy)))
    assert trained == ["sound and picture"]
    assert first.visual_ is kept.visual_


def test_going_on_goes_past_the_memory(kept, steps_of):
    classifier, trained = steps_of(clone(kept).set_params(warm_start=True))
    assert trained == []
    n_epochs = len(classifier.history_["loss"])
    _, trained = steps_of(classifier)
    assert trained == ["audio", "visual", "sound and picture"]
    assert len(classifier.history_["loss"]) == 2 * n_epochs


def test_needs_a_number_to_know_a_fit_by(kept, features):
    X, y, groups = features
    with pytest.raises(ValueError, match=r"random_state=None with memory=.*set random_state"):
        clone(kept).set_params(random_state=None).fit(X, y, groups=groups)

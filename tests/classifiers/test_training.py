"""How one step of the procedure is run: traced once, several steps of light networks at once."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skavsc.classifiers import _training
from skavsc.networks import audio_network, fusion_network, squeezenet11_base, visual_network
from skavsc.networks._visual import with_backbone

on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="other backends do not trace so"
)


@on_tensorflow
def test_the_training_step_is_traced_once(features, build, monkeypatch):
    X, y, groups = features
    step, traced = keras.Model.train_step, []

    def counted(self, data):
        traced.append(self.name)
        return step(self, data)

    monkeypatch.setattr(keras.Model, "train_step", counted)
    classifier = build(epochs=2).fit(X, y, groups=groups)
    networks = 3 if hasattr(classifier, "audio_") else 1
    assert len(traced) == len(set(traced)) == networks


@pytest.fixture(scope="module")
def light():
    return visual_network(3, backbone=None, n_features=12)


@on_tensorflow
@settings(deadline=None)
@given(steps_per_epoch=st.integers(1, 500))
def test_steps_at_once_divide_an_epoch(light, steps_per_epoch):
    n_at_once = _training.steps_at_once(light, steps_per_epoch)
    assert 1 <= n_at_once <= _training.MOST_STEPS_AT_ONCE
    assert steps_per_epoch % n_at_once == 0
    if steps_per_epoch <= _training.MOST_STEPS_AT_ONCE:
        assert n_at_once == steps_per_epoch


@pytest.mark.parametrize(
    "heavy",
    [
        lambda: audio_network(3, filters=(4, 4, 4)),
        lambda: fusion_network(
            3,
            audio=audio_network(3, filters=(4, 4, 4)),
            visual=visual_network(3, backbone=None, n_features=12),
        ),
        lambda: with_backbone(
            visual_network(3, backbone=None, n_features=512),
            squeezenet11_base((64, 64, 3)),
            image_size=64,
            pooling="avg",
            preprocessing="none",
        ),
    ],
    ids=["sound", "both", "frames"],
)
def test_ctrl_c_is_heard_between_heavy_steps(heavy):
    assert _training.steps_at_once(heavy(), 10) == 1


def test_how_many_steps_at_once_changes_nothing(features, small_visual, monkeypatch):
    X, y, groups = features
    learnt = []
    for most in (1, 32):
        monkeypatch.setattr(_training, "MOST_STEPS_AT_ONCE", most)
        classifier = small_visual(epochs=3, batch_size=4).fit(X, y, groups=groups)
        # On with another number of steps, and so of those at once.
        classifier.partial_fit(X[:9], y[:9])
        learnt.append((classifier.predict_proba(X), classifier.history_))
    np.testing.assert_array_equal(learnt[0][0], learnt[1][0])
    assert learnt[0][1] == learnt[1][1]

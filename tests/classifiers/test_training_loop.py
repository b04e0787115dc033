"""How a fit runs: traced once, features scanned once, several steps of light networks at once."""

import keras
import numpy as np
import pytest

from skavsc.training import _segments, _trainer


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="other backends do not trace so"
)
def test_the_training_step_is_traced_once(fitted):
    assert fitted["both"].keras_classifier_.model_.name in fitted.traced
    # Of sound, of picture, and of both.
    assert len(fitted.traced) == len(set(fitted.traced)) == 3


class Counted(np.ndarray):
    """Features that count how often they are gone through, clip by clip."""

    scans = 0

    def __iter__(self):
        type(self).scans += 1
        return super().__iter__()


@pytest.mark.usefixtures("eagerly")
def test_the_features_are_scanned_for_gaps_once_a_fit(features, light_visual, monkeypatch):
    monkeypatch.setattr(Counted, "scans", 0)
    light_visual(epochs=1).fit(features[0]["visual"].view(Counted), features[1])
    assert Counted.scans == 1


def test_the_stages_of_the_framework_share_one_scan(features, small_framework):
    clips = small_framework()._features(features[0], reset=True)
    alone = clips.only("audio").modalities["audio"]
    assert alone.usable_frames is clips.modalities["audio"].usable_frames
    assert isinstance(alone, _segments.ModalityFeatures)


def test_how_many_steps_at_once_changes_nothing(features, light_visual, monkeypatch):
    X, y, groups = features
    learnt = []
    for most in (1, 32):
        monkeypatch.setattr(_trainer, "MOST_STEPS_AT_ONCE", most)
        classifier = light_visual(epochs=2, batch_size=4).fit(X, y, groups=groups)
        # On with another number of steps, and so of those at once.
        classifier.set_params(warm_start=True, validation_fraction=0).fit(X[:9], y[:9])
        learnt.append((classifier.predict_proba(X), classifier.history_))
    np.testing.assert_array_equal(learnt[0][0], learnt[1][0])
    assert learnt[0][1] == learnt[1][1]

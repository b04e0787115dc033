"""One segment is one second: features carry their rate, and another one is refused."""

import pickle

import numpy as np
import pytest

from skavsc import AudioSceneClassifier, GammatoneMelTransformer, ModalityUnion
from skavsc._clips import rate_of, with_rate

pytestmark = pytest.mark.usefixtures("all_eagerly")

SMALL = {"filters": (2, 2, 2), "reduction": 1, "epochs": 1, "validation_fraction": 0}


@pytest.fixture(scope="module")
def waveforms():
    rng = np.random.default_rng(0)
    return [0.1 * rng.normal(size=2 * 44_100) for _ in range(4)]


@pytest.fixture(scope="module")
def fine(waveforms):
    """Features of 2 s at 100 time frames a second."""
    return GammatoneMelTransformer(n_bands=8, duration=2.0, hop=0.01).fit_transform(waveforms)


def test_another_rate_is_refused_with_the_remedy(fine):
    y = np.arange(4) % 2
    message = r"audio features have 100 frames a second, .*segment_frames=50 .* segment_frames=100"
    with pytest.raises(ValueError, match=message):
        AudioSceneClassifier(**SMALL).fit(fine, y)
    classifier = AudioSceneClassifier(**SMALL, segment_frames=100).fit(fine, y)
    assert classifier.predict_proba_segments(fine).shape == (4, 2, 2)
    usual = with_rate(np.zeros((1, 8, 100, 3), dtype=np.float32), 50)
    with pytest.raises(ValueError, match="have 50 frames a second"):
        classifier.predict(usual)


def test_the_rate_goes_through_what_scikit_learn_does_with_features(waveforms, fine):
    union = ModalityUnion([("audio", GammatoneMelTransformer(n_bands=8, duration=2.0, hop=0.01))])
    fields = union.fit_transform(waveforms)
    for features in (fine, fine[[0, 2]], pickle.loads(pickle.dumps(fine)), fields[1:]["audio"]):
        assert rate_of(features) == 100


def test_features_without_a_rate_are_taken_as_they_are(fine):
    plain = np.array(fine.tolist())
    assert rate_of(plain) is None
    AudioSceneClassifier(**SMALL).fit(plain, np.arange(4) % 2)

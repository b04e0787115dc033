"""Binaural recordings of the set that the networks are for: quiet, and different on both sides."""

from pathlib import Path

import numpy as np
import pytest

from skavsc.audio import AudioEmbedder, GammatoneMelTransformer
from skavsc.audio._filterbanks import FILTERBANKS
from skavsc.media import read_sound

SHARED = Path(__file__).resolve().parents[3] / "shared"
RECORDINGS = sorted((SHARED / "data" / "tau-audio").glob("*.flac"))
YAMNET = SHARED / "models" / "yamnet.onnx"

pytestmark = [
    pytest.mark.skipif(not RECORDINGS, reason=f"needs {SHARED / 'data' / 'tau-audio'}"),
    pytest.mark.slow,
]


@pytest.mark.parametrize("channels", ["lrd", "hpd", "mono", "stereo"])
@pytest.mark.parametrize("filterbank", FILTERBANKS)
def test_features_of_every_channel_mode_are_finite(filterbank, channels):
    transformer = GammatoneMelTransformer(filterbank, channels, duration=10.0)
    features = transformer.fit_transform(RECORDINGS)
    n_channels = {"lrd": 3, "hpd": 3, "mono": 1, "stereo": 2}[channels]
    assert features.shape == (17, 64, 500, n_channels)
    assert np.isfinite(features).all()
    # No channel is the floor, as the difference of a mono file is.
    assert (features.std(axis=(1, 2)) > 1).all()


@pytest.mark.skipif(not YAMNET.is_file(), reason=f"needs {YAMNET}")
def test_embeddings_are_finite_at_any_level():
    sounds = [read_sound(path, sample_rate=16_000)[0] for path in RECORDINGS]
    plain = AudioEmbedder(YAMNET, duration=10.0)
    expected = plain.fit_transform(RECORDINGS)
    assert expected.shape == (17, 20, 1024)
    assert np.isfinite(expected).all()
    for gain in (1e-4, 0.1, 10.0):
        assert np.isfinite(plain.transform([(gain * sound).clip(-1, 1) for sound in sounds])).all()
    levelled = AudioEmbedder(YAMNET, duration=10.0, level=-20.0).fit([])
    quiet = levelled.transform([0.1 * sound for sound in sounds])
    assert np.isfinite(quiet).all()
    # int8 networks round what they are given; rounding of the gain moves some values by a step.
    same = levelled.transform(sounds)
    assert np.abs(quiet - same).mean() < 1e-2 * np.abs(same).max()

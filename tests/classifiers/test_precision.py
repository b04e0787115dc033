"""Training in bfloat16: another network, of float32 weights and float32 predictions."""

import pickle

import keras
import numpy as np
import pytest

from skavsc.pretrained import _precision
from skavsc.visual import ImageEmbedder


def policies(network):
    """Return what the layers of a network compute in, those of nested ones too."""
    found = set()
    for layer in network.layers:
        found |= policies(layer) if isinstance(layer, keras.Model) else {layer.compute_dtype}
    return found


@pytest.fixture(scope="module")
def trained(features, small_audio, eager):
    """One epoch of all layers of the audio network."""
    X, y, groups = features
    with eager():
        return {
            precision: small_audio(precision=precision, epochs=1).fit(X, y, groups=groups)
            for precision in ("float32", "bfloat16")
        }


def test_it_learns_the_same_scenes(features, new_clips, light_audio):
    X, y, groups = features
    losses = []
    for precision in ("float32", "bfloat16"):
        classifier = light_audio(precision=precision).fit(X, y, groups=groups)
        assert classifier.score(*new_clips[:2]) > 0.9
        losses.append(classifier.history_["loss"])
    assert losses[0] != losses[1]
    np.testing.assert_allclose(*losses, atol=0.05)


def test_not_the_same_arithmetic_and_not_far_from_it(trained):
    first, other = (trained[name].history_["loss"][0] for name in ("float32", "bfloat16"))
    assert first != other
    assert abs(first - other) < 0.05


@pytest.mark.usefixtures("eagerly")
def test_what_is_trained_is_in_float32(trained, new_clips):
    lower = trained["bfloat16"]
    network = lower.keras_classifier_.model_
    assert policies(network) == {"float32"}
    assert {weight.dtype for weight in network.get_weights()} == {np.dtype("float32")}
    again = pickle.loads(pickle.dumps(lower))
    np.testing.assert_array_equal(
        again.predict_proba(new_clips[0]), lower.predict_proba(new_clips[0])
    )


@pytest.mark.slow
def test_precision_may_change_between_fits(features, small_audio):
    X, y, _ = features
    classifier = small_audio(filters=(2, 2, 2)).partial_fit(X, y)
    same = pickle.loads(pickle.dumps(classifier)).partial_fit(X, y)
    other = classifier.set_params(precision="bfloat16").partial_fit(X, y)
    assert other.history_["loss"][0] == same.history_["loss"][0]
    assert other.history_["loss"][1] != same.history_["loss"][1]


def test_what_would_change_nothing_is_refused(features, small_visual):
    X, y, _ = features
    with pytest.raises(ValueError, match=r'precision="bfloat16" would change nothing.*fine_tune'):
        small_visual(precision="bfloat16").fit(X, y)


@pytest.mark.slow
def test_the_framework_decides_for_all_stages(features, small_framework):
    X, y, groups = features
    framework = small_framework(precision="bfloat16", epochs=1)
    framework.set_params(audio__epochs=1, visual__epochs=1)
    framework.fit(X, y, groups=groups)
    assert framework.audio_.precision == "bfloat16"
    assert policies(framework.keras_classifier_.model_) == {"float32"}
    framework.set_params(audio__precision="bfloat16")
    with pytest.raises(ValueError, match="audio__precision='bfloat16' has no effect"):
        framework.fit(X, y, groups=groups)


@pytest.mark.slow
def test_fine_tuning_of_the_image_network(films, image_network, small_visual):
    X, y = films
    losses = {}
    for precision in ("float32", "bfloat16"):
        classifier = small_visual(
            precision=precision,
            epochs=1,
            fine_tune="all",
            fine_tune_learning_rate=1e-3,
            validation_fraction=0,
            embedder=ImageEmbedder(image_network()),
        ).fit(X, y)
        losses[precision] = classifier.history_["loss"]
        assert policies(classifier.embedder_.model) == {"float32"}
    # The first stage is on embeddings, the second one on frames.
    assert losses["float32"][0] == losses["bfloat16"][0]
    assert losses["float32"][1] != losses["bfloat16"][1]


@pytest.mark.usefixtures("eagerly")
def test_auto_follows_the_processor(features, small_audio, trained, monkeypatch):
    monkeypatch.setattr(_precision, "has_bfloat16_units", lambda: True)
    X, y, groups = features
    classifier = small_audio(precision="auto", epochs=1).fit(X, y, groups=groups)
    assert classifier.history_["loss"][0] == trained["bfloat16"].history_["loss"][0]

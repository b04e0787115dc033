"""Networks on embeddings of sound, picture or both."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

import skavsc
from skavsc import AudioEmbedder, LateFusionClassifier
from skavsc.classifiers import EmbeddingSceneClassifier

SMALL = {"units": 8, "epochs": 12, "learning_rate": 0.02, "n_blocks": 1, "random_state": 0}


def clips(n_clips=36, seed=0):
    """Embeddings of 2 s; the label is in both modalities, half of it in each."""
    rng = np.random.default_rng(seed)
    y = np.array(["bus", "park", "tram"])[np.arange(n_clips) % 3]
    X = np.empty(n_clips, dtype=[("audio", "f4", (4, 6)), ("visual", "f4", (10, 8))])
    for name in ("audio", "visual"):
        X[name] = rng.normal(size=X[name].shape)
        for code, label in enumerate(("bus", "park", "tram")):
            X[name][y == label, :, 2 * code : 2 * code + 2] += 3
    return X, y, np.arange(n_clips) // 3


@pytest.fixture(scope="module")
def fitted():
    X, y, groups = clips()
    X["audio"][::5] = np.nan  # some clips are silent films
    both = EmbeddingSceneClassifier("transformer", modality=None, modality_dropout=0.3, **SMALL)
    return both.fit(X, y, groups=groups)


@pytest.mark.parametrize("missing", [None, "audio", "visual"])
def test_transformer_learns_from_both_and_does_without_either(fitted, missing):
    X, y, _ = clips(seed=1)
    if missing is not None:
        X[missing] = np.nan
    assert fitted.score(X, y) > 0.9
    segments = fitted.predict_proba_segments(X)
    assert segments.shape == (36, 2, 3)
    np.testing.assert_allclose(segments.sum(axis=2), 1, rtol=1e-5)
    np.testing.assert_allclose(segments.mean(axis=1), fitted.predict_proba(X), rtol=1e-5)


def test_a_missing_modality_is_not_looked_at(fitted):
    X, _, _ = clips(seed=1)
    X["audio"][:, 0] = np.nan  # the first second is not whole
    expected = fitted.predict_proba_segments(X)
    X["audio"][:, 1] = 100
    np.testing.assert_array_equal(fitted.predict_proba_segments(X)[:, 0], expected[:, 0])
    np.testing.assert_allclose(fitted.predict_proba_segments(X)[:, 1], expected[:, 1], rtol=1e-5)


def test_a_clip_without_both_is_named(fitted):
    X, _, _ = clips(seed=1)
    X["audio"][3], X["visual"][3] = np.nan, np.nan
    with pytest.raises(ValueError, match=r"no second with sound or picture .*row 3"):
        fitted.predict(X)


@pytest.mark.slow
def test_files_and_pickles_predict_the_same(fitted, tmp_path):
    X, _, _ = clips(seed=1)
    expected = fitted.predict_proba(X)
    skavsc.save(fitted, tmp_path / "a.skavsc", sample=X[:4])
    for copy in (skavsc.load(tmp_path / "a.skavsc"), pickle.loads(pickle.dumps(fitted))):
        np.testing.assert_array_equal(copy.predict_proba(X), expected)


@pytest.mark.usefixtures("eagerly")
def test_the_published_gru_learns_from_waveforms(ramp_model):
    rng = np.random.default_rng(0)
    y = np.arange(12) % 2
    waves = [(0.05 + 0.4 * label) * rng.uniform(-1, 1, 16_000) for label in y]
    embedder = AudioEmbedder(ramp_model, sample_rate=8000, duration=2.0, hop=0.25)
    gru = EmbeddingSceneClassifier(audio_steps=4, validation_fraction=0, **SMALL)
    pipeline = make_pipeline(embedder, gru).fit(waves, y)
    assert pipeline.score(waves, y) > 0.9
    again = clone(pipeline).fit(waves, y)
    np.testing.assert_array_equal(again.predict_proba(waves), pipeline.predict_proba(waves))
    with pytest.raises(ValueError, match=r"have 4 steps a second.* set audio_steps=4"):
        clone(pipeline).set_params(embeddingsceneclassifier__audio_steps=2).fit(waves, y)


@pytest.fixture(scope="module")
def ramp_model():
    """A network of one layer, from a tenth of a second to four numbers."""
    import keras

    inputs = keras.Input((800,))
    start = keras.initializers.GlorotUniform(0)
    return keras.Model(inputs, keras.layers.Dense(4, "relu", kernel_initializer=start)(inputs))


@pytest.mark.slow
def test_branches_of_a_late_fusion_take_their_modality(fitted):
    X, y, _ = clips()
    branches = [
        ("sound", EmbeddingSceneClassifier(**SMALL, validation_fraction=0)),
        ("picture", EmbeddingSceneClassifier(modality="visual", **SMALL, validation_fraction=0)),
    ]
    fusion = LateFusionClassifier(branches, "mean").fit(X, y)
    dark = X.copy()
    dark["visual"] = np.nan
    np.testing.assert_allclose(
        fusion.predict_proba(dark), fusion.estimators_[0].predict_proba(X["audio"]), rtol=1e-6
    )
    assert fusion.score(X, y) > 0.9


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"modality": None}, 'network="gru" takes one modality'),
        ({"modality_dropout": 0.5}, "modality_dropout=0.5 has no effect"),
        ({"audio_steps": 8}, "have 4 steps on axis 1, fewer than the audio_steps=8"),
        ({"network": "transformer", "units": 9}, "units=9 must be a multiple of n_heads=4"),
        (
            {"network": "transformer", "modality": None, "visual_steps": 2},
            "modalities of X differ in duration",
        ),
    ],
)
def test_parameters_that_do_not_fit(params, message):
    X, y, _ = clips()
    with pytest.raises(ValueError, match=message):
        EmbeddingSceneClassifier(**params).fit(X, y)


def test_both_need_both_fields():
    X, y, _ = clips()
    both = EmbeddingSceneClassifier("transformer", modality=None)
    with pytest.raises(ValueError, match="structured array with the fields 'audio' and 'visual'"):
        both.fit(X["audio"], y)


@pytest.mark.parametrize("missing", [None, "audio", "visual"])
def test_onnxruntime_gives_the_same(fitted, missing):
    X, _, _ = clips(seed=1)
    if missing is not None:
        X[missing][::2] = np.nan
    expected = fitted.predict_proba(X)
    alone = pickle.loads(pickle.dumps(fitted._without_keras()))
    np.testing.assert_allclose(alone.predict_proba(X), expected, rtol=0, atol=1e-5)

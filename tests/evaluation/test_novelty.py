"""None of these: noise, silence and black pictures are no scenes, unseen locations are."""

import numpy as np
import pandas as pd
import pytest
import soundfile
from sklearn.covariance import LedoitWolf
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit
from sklearn.utils.estimator_checks import parametrize_with_checks

from skavsc.evaluation import SceneNoveltyDetector
from skavsc.media import write_clip

METHODS = ("mahalanobis", "nearest")


@parametrize_with_checks([SceneNoveltyDetector(method, cv=2) for method in METHODS])
def test_obeys_scikit_learn(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def strange(tmp_path_factory):
    """Clips of silence and black frames, and of loud noise in sound and picture."""
    folder = tmp_path_factory.mktemp("strange")
    rng = np.random.default_rng(0)
    sounds = {"silence": np.zeros(32_000), "noise": rng.uniform(-1, 1, 32_000)}
    black = np.zeros((20, 72, 96, 3), dtype=np.uint8)
    frames = {"silence": black, "noise": rng.integers(0, 256, black.shape).astype(np.uint8)}
    rows = []
    for name, sound in sounds.items():
        soundfile.write(folder / f"{name}.wav", sound, 16_000)
        video = write_clip(folder / f"{name}.mp4", frames[name], 10)
        rows.append({"audio": str(folder / f"{name}.wav"), "video": str(video)})
    return pd.DataFrame(rows)


@pytest.mark.parametrize("method", METHODS)
def test_silence_noise_and_black_frames_are_no_scenes(scenes, media_pipeline, strange, method):
    transformer = media_pipeline[0]
    features, odd = transformer.transform(scenes.X), transformer.transform(strange)
    lasts = [scenes.groups[scenes.y == label][-1] for label in scenes.target_names]
    unseen = np.isin(scenes.groups, lasts)
    detector = SceneNoveltyDetector(method, n_neighbors=2, rejection_rate=0.2, cv=2)
    detector.fit(features[~unseen], scenes.y[~unseen], scenes.groups[~unseen])
    # The classifier is sure of them all the same.
    classifier = LogisticRegression(max_iter=1000).fit(features[~unseen], scenes.y[~unseen])
    assert classifier.predict_proba(odd).max(axis=1).max() > 0.9
    assert (detector.predict(odd) == -1).all()
    assert (detector.predict(features[unseen]) == 1).mean() >= 0.5
    known = detector.score_samples(features[unseen])
    assert detector.score_samples(odd).max() < np.median(known)


@pytest.mark.parametrize("method", METHODS)
def test_rejects_as_many_new_clips_as_it_says(method):
    rng = np.random.default_rng(0)
    y = np.repeat(["bus", "park", "tram"], 200)

    def drawn():
        return rng.normal(size=(600, 4)) + 5 * np.eye(3, 4)[np.repeat(np.arange(3), 200)]

    detector = SceneNoveltyDetector(method, rejection_rate=0.1).fit(drawn(), y)
    assert (detector.predict(drawn()) == -1).mean() == pytest.approx(0.1, abs=0.05)
    assert (detector.held_out_scores_ < detector.offset_).mean() == pytest.approx(0.1, abs=0.01)


def test_distance_is_that_of_the_nearest_class():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 50)
    X = rng.normal(size=(100, 3)) * [1, 2, 3] + 8 * y[:, None]
    detector = SceneNoveltyDetector().fit(X, y)
    means = np.stack([X[y == label].mean(axis=0) for label in (0, 1)])
    scale = (X - means[y]).std(axis=0)
    covariance = LedoitWolf(assume_centered=True).fit((X - means[y]) / scale)
    new = rng.normal(size=(5, 3)) + 4
    expected = [covariance.mahalanobis((new - mean) / scale) for mean in means]
    np.testing.assert_allclose(detector.score_samples(new), -np.min(expected, axis=0))


def test_locations_are_held_out_as_a_whole():
    rng = np.random.default_rng(0)
    groups = rng.permutation(np.arange(100) // 10)
    X = rng.normal(size=(10, 3))[groups] + 0.01 * rng.normal(size=(100, 3))
    alone = SceneNoveltyDetector("nearest").fit(X)
    by_location = SceneNoveltyDetector("nearest").fit(X, groups=groups)
    # Other clips of a location are near: a threshold that is set with them is too strict.
    assert by_location.offset_ < 5 * alone.offset_


def test_a_fold_of_one_s_own():
    X = np.random.default_rng(0).normal(size=(40, 2))
    held_out = PredefinedSplit(np.where(np.arange(40) < 30, -1, 0))
    detector = SceneNoveltyDetector(cv=held_out).fit(X)
    assert np.isnan(detector.held_out_scores_[:30]).all()
    assert np.isfinite(detector.offset_)

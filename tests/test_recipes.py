"""Recipes: whole classifiers by name, on rendered clips."""

import numpy as np
import pytest
from sklearn.base import clone

import skavsc
from skavsc import make_scene_classifier, make_scenes
from skavsc.evaluation import cross_validate_scenes
from skavsc.exceptions import MissingClipWarning, MissingModalityError
from skavsc.recipes import LocationFolds


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return make_scenes(
        tmp_path_factory.mktemp("recipes") / "scenes",
        n_scenes=2,
        n_locations=4,
        clips_per_location=2,
        duration=1.0,
        size=(64, 48),
    )


def test_statistics_learn_scenes_and_do_without_a_modality(scenes, tmp_path):
    # Eight locations are too few to choose the strength inside the folds of the fusion.
    pipeline = make_scene_classifier(
        "statistics", duration=1.0, C=0.1, memory=tmp_path, random_state=0
    )
    report = cross_validate_scenes(
        pipeline,
        scenes.X,
        scenes.y,
        groups=scenes.groups,
        cv=LocationFolds(2),
        modalities=("audio", "video"),
    )
    accuracy = report.summary()["accuracy"]
    assert accuracy["clips"] > 0.8
    assert set(report.without) == {"audio", "video"}


@pytest.fixture(scope="module")
def with_networks(scenes, tiny_networks, tmp_path_factory):
    """The recipe with frozen networks, fitted."""
    sound, image = tiny_networks
    pipeline = make_scene_classifier(
        "embeddings", audio_model=sound, image_model=image, duration=1.0, C=0.1, random_state=0
    )
    pipeline.set_params(
        features__audio__sample_rate=8000,
        features__visual__embedding__preprocessing="none",
        features__audio__memory=tmp_path_factory.mktemp("cache"),
    )
    return pipeline.fit(scenes.X, scenes.y, classifier__groups=scenes.groups)


def test_embeddings_learn_scenes_and_do_without_a_modality(scenes, with_networks):
    assert with_networks.score(scenes.X, scenes.y) > 0.8
    for name in ("audio", "video"):
        assert with_networks.score(scenes.X.assign(**{name: None}), scenes.y) > 0.6
    # Features are scaled by clip.
    branch = with_networks[-1].named_estimators_["audio"]
    clip = with_networks[0].transform(scenes.X)["audio"][:2]
    expected = branch[:3].transform(clip)
    np.testing.assert_allclose(np.mean(expected**2, axis=1), 1, rtol=1e-5)


def test_embeddings_go_into_a_model_file(scenes, with_networks, tmp_path):
    skavsc.save(with_networks, tmp_path / "model.skavsc")
    loaded = skavsc.load(tmp_path / "model.skavsc")
    np.testing.assert_array_equal(
        loaded.predict_proba(scenes.X), with_networks.predict_proba(scenes.X)
    )


def test_groups_reach_the_inner_folds(scenes, tmp_path):
    # Two places a class: with groups two inner folds are possible, without them four.
    groups = np.char.add(scenes.y.astype(str), (scenes.X["location"].astype(int) % 2).astype(str))
    pipeline = make_scene_classifier(
        "statistics", modalities=["audio"], duration=1.0, memory=tmp_path
    )
    (search,) = clone(pipeline).fit(scenes.X, scenes.y, classifier__groups=groups)[-1].estimators_
    assert search.n_splits_ == 2
    (search,) = clone(pipeline).fit(scenes.X, scenes.y)[-1].estimators_
    assert search.n_splits_ == 4


def test_a_given_strength_needs_no_inner_folds(scenes, tmp_path):
    pipeline = make_scene_classifier(
        "statistics", modalities=["audio"], duration=1.0, C=0.1, memory=tmp_path
    )
    pipeline.fit(scenes.X, scenes.y, classifier__groups=scenes.groups)
    (branch,) = pipeline[-1].estimators_
    assert branch[-1].C == 0.1


@pytest.mark.parametrize("modality", ["audio", "visual"])
def test_clips_without_the_only_modality_are_left_out(scenes, tmp_path, modality):
    column = {"audio": "audio", "visual": "video"}[modality]
    broken = scenes.X.copy()
    (tmp_path / "broken.mp4").write_bytes(b"no file of media")
    broken.loc[broken.index[1], column] = str(tmp_path / "broken.mp4")
    there = np.arange(len(broken)) != 1
    pipeline = make_scene_classifier(
        "statistics", modalities=[modality], duration=1.0, C=0.01, on_error="missing"
    )
    with pytest.warns(MissingClipWarning):
        found = clone(pipeline).fit(broken, scenes.y).predict_proba(broken)
    expected = clone(pipeline).fit(broken[there], scenes.y[there]).predict_proba(broken[there])
    np.testing.assert_allclose(found[there], expected, atol=1e-6)
    frequencies = np.unique(scenes.y, return_counts=True)[1] / len(scenes.y)
    np.testing.assert_allclose(found[1], frequencies)
    missing = scenes.X.assign(**{column: scenes.X[column].where(there, None)})
    strict = clone(pipeline).set_params(classifier__missing="raise")
    with pytest.raises(MissingModalityError, match=r"rows \[1\]"):
        strict.fit(missing, scenes.y)


def test_published_is_the_framework():
    pipeline = make_scene_classifier("published", random_state=0)
    assert type(pipeline[-1]).__name__ == "SECRNNClassifier"
    assert pipeline.get_params()["features__visual__embedding__weights"] == "places365"
    assert type(make_scene_classifier("published", modalities=["audio"])[-1]).__name__ == (
        "AudioSceneClassifier"
    )


def test_embeddings_name_their_networks():
    params = make_scene_classifier().get_params()
    assert params["features__audio__model"] == "yamnet"


@pytest.mark.parametrize("modalities", [(), ("audio", "audio"), ("sound",)])
def test_modalities_that_cannot_be(modalities):
    with pytest.raises(ValueError, match="modalities="):
        make_scene_classifier("statistics", modalities=modalities)


def test_a_class_of_one_location_cannot_be_split():
    y = np.array(["park", "park", "tram", "tram"])
    with pytest.raises(ValueError, match="'park' has one recording location"):
        LocationFolds().get_n_splits(y=y, groups=[0, 0, 1, 2])


def test_folds_keep_locations_together():
    y = np.repeat(["park", "tram"], 12)
    groups = np.arange(24) // 3
    for train, test in LocationFolds(3, random_state=0).split(None, y, groups):
        assert not set(groups[train]) & set(groups[test])
        assert set(y[test]) == {"park", "tram"}

"""Predictions some clips at a time: the same numbers, and never more than two batches at once."""

import threading

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from skavsc import make_scene_classifier, make_scenes, predict_clips
from skavsc.exceptions import MediaError


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return make_scenes(
        tmp_path_factory.mktemp("scenes"), 2, 3, 1, duration=1.0, size=(64, 48), difficulty=0
    )


@pytest.fixture(scope="module")
def pipeline(scenes):
    recipe = make_scene_classifier("statistics", duration=1.0, C=1.0, random_state=0)
    return recipe.fit(scenes.X, scenes.y, classifier__groups=scenes.groups)


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_the_same_numbers_in_the_same_order(scenes, pipeline, batch_size):
    X = pd.concat([scenes.X, scenes.X[::-1]])
    X.iloc[1, X.columns.get_loc("audio")] = None
    found = predict_clips(pipeline, X, batch_size=batch_size)
    np.testing.assert_allclose(found, pipeline.predict_proba(X), atol=1e-6)


def test_clips_without_anything_are_nan(scenes, pipeline):
    X = scenes.X.assign(audio=None, video=None)
    X.iloc[[0, 4]] = scenes.X.iloc[[0, 4]]
    found = predict_clips(pipeline, X, batch_size=2)
    assert np.flatnonzero(~np.isnan(found).any(axis=1)).tolist() == [0, 4]
    np.testing.assert_allclose(found[[0, 4]], pipeline.predict_proba(X.iloc[[0, 4]]), atol=1e-6)


def test_an_error_names_file_and_batch(scenes, pipeline, tmp_path):
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"no sound")
    X = scenes.X.copy()
    X.iloc[3, X.columns.get_loc("audio")] = str(broken)
    with pytest.raises(MediaError, match=r"broken\.wav") as caught:
        predict_clips(pipeline, X, batch_size=2)
    assert caught.value.__notes__[-1] == "In the batch of clips that begins with row 2."


class Halves(TransformerMixin, BaseEstimator):
    """Half of each number; notes how many rows are in work, and waits for another batch."""

    def fit(self, X, y=None):
        self.lock_, self.meeting = threading.Lock(), None
        self.rows = self.most = 0
        return self

    def transform(self, X):
        with self.lock_:
            self.rows += len(X)
            self.most = max(self.most, self.rows)
        if self.meeting is not None:
            self.meeting.wait(timeout=60)
        with self.lock_:
            self.rows -= len(X)
        return np.asarray(X) / 2


def test_two_batches_are_in_work_at_once():
    X, y = np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) % 2
    model = make_pipeline(Halves(), LogisticRegression()).fit(X, y)
    expected = model.predict_proba(X)
    halves = model[0]
    halves.most, halves.meeting = 0, threading.Barrier(2)
    found = predict_clips(model, X, batch_size=5)
    assert halves.most == 10
    np.testing.assert_array_equal(found, expected)


def test_a_classifier_alone_and_lists():
    X, y = np.random.default_rng(0).normal(size=(9, 3)), np.arange(9) % 3
    model = LogisticRegression().fit(X, y)
    found = predict_clips(model, X.tolist(), batch_size=4)
    np.testing.assert_allclose(found, model.predict_proba(X))


@pytest.mark.parametrize(
    ("estimator", "options", "message"),
    [
        (object(), {}, "estimator"),
        (LogisticRegression(), {"batch_size": 0}, "batch_size"),
    ],
)
def test_wrong_parameters(estimator, options, message):
    with pytest.raises(ValueError, match=message):
        predict_clips(estimator, [[0.0]], **options)

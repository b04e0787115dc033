"""Drawn features of clips at recording locations, and a small set of generated media."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from skavsc import make_scenes
from skavsc.media import read_frames, read_sound

LABELS = np.array(["bus", "park", "tram"])


class SoundAndPicture(TransformerMixin, BaseEstimator):
    """Spectra of sound and colours of the picture from files; 0 where a file is not there."""

    def fit(self, X, y=None):
        return self

    def __sklearn_is_fitted__(self):
        return True

    def transform(self, X):
        features = np.zeros((len(X), 40))
        for row, (audio, video) in enumerate(zip(X["audio"], X["video"], strict=True)):
            if not pd.isna(audio):
                sound, _ = read_sound(audio, sample_rate=16_000)
                power = np.abs(np.fft.rfft(sound.mean(axis=0)[:16_000])) ** 2
                bands = [part.mean() for part in np.array_split(power, 16)]
                features[row, :16] = np.log10(np.add(bands, 1e-9))
            if not pd.isna(video):
                frames = read_frames(video, fps=1, size=(2, 4)) / 128
                features[row, 16:] = 3 * frames.mean(axis=0).ravel()
        return features


class SegmentClassifier(ClassifierMixin, BaseEstimator):
    """Logistic regression of every segment (axis 1); a clip has the mean over its segments."""

    def fit(self, X, y, groups=None):
        there = ~np.isnan(X[..., 0])
        self.model_ = LogisticRegression().fit(X[there], np.repeat(y, X.shape[1])[there.ravel()])
        self.classes_ = self.model_.classes_
        self.groups_ = groups
        return self

    def predict_proba_segments(self, X):
        probabilities = np.full((*X.shape[:2], len(self.classes_)), np.nan)
        there = ~np.isnan(X[..., 0])
        probabilities[there] = self.model_.predict_proba(X[there])
        return probabilities

    def predict_proba(self, X):
        return np.nanmean(self.predict_proba_segments(X), axis=1)

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


@pytest.fixture(scope="session")
def drawn():
    """Features of 90 clips of three labels at 30 locations: X, y and groups."""
    rng = np.random.default_rng(0)
    y = LABELS[np.arange(90) // 3 % 3]
    groups = np.array([f"location {number}" for number in np.arange(90) // 3])
    of_location = np.repeat(rng.normal(size=(30, 5)), 3, axis=0)
    centres = 1.5 * np.eye(3, 5)[np.searchsorted(LABELS, y)]
    return centres + 0.7 * of_location + 0.7 * rng.normal(size=(90, 5)), y, groups


@pytest.fixture(scope="session")
def scenes(tmp_path_factory):
    """Generated sound and video files of three scenes at five locations each."""
    folder = tmp_path_factory.mktemp("scenes")
    return make_scenes(folder, 3, 5, 2, duration=1.0, size=(96, 72))


@pytest.fixture(scope="session")
def media_pipeline():
    """A classifier from files that can do without either modality."""
    return make_pipeline(SoundAndPicture(), LogisticRegression(max_iter=1000))


@pytest.fixture(scope="session")
def segment_classifier():
    """A classifier with probabilities of segments."""
    return SegmentClassifier()

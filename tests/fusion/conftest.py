"""Clips of two modalities: as a structured array, and as a clip table of files."""

from collections import Counter
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.linear_model import LogisticRegression

from skavsc._clips import clip_sources

N_CLASSES = 4
AUDIO_SHAPE, VISUAL_SHAPE = (3, 4), (6,)


def draw_clips(n_clips, *, seed=0, sound=0.6, picture=0.8, n_classes=N_CLASSES):
    """Draw features around class means, every class in turn; groups of two clips of a class."""
    means = np.random.default_rng(99)
    rng = np.random.default_rng(seed)
    codes = np.arange(n_clips) % n_classes
    X = np.empty(n_clips, dtype=[("audio", "f4", AUDIO_SHAPE), ("visual", "f4", VISUAL_SHAPE)])
    for name, scale in [("audio", sound), ("visual", picture)]:
        shape = X.dtype[name].shape
        centres = scale * means.normal(size=(n_classes, *shape))
        X[name] = centres[codes] + rng.normal(size=(n_clips, *shape))
    y = np.array(["bus", "metro", "park", "tram", "quay"])[codes]
    groups = codes + n_classes * (np.arange(n_clips) // (2 * n_classes))
    return X, y, groups


class Flatten(TransformerMixin, BaseEstimator):
    """Rows of any shape to plain rows. Learns nothing; counts the rows that pass."""

    rows_seen: ClassVar[Counter] = Counter()

    def __init__(self, label="rows"):
        self.label = label

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        type(self).rows_seen[self.label] += len(X)
        return np.asarray(X).reshape(len(X), -1)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.allow_nan = True
        return tags


class SegmentRegression(ClassifierMixin, BaseEstimator):
    """A classifier of others that predicts segments: of arrays (clips, segments, features)."""

    modality = "audio"
    fits: ClassVar[list] = []

    def __init__(self, C=1.0):
        self.C = C

    @staticmethod
    def _whole(X):
        return ~np.isnan(X).any(axis=2)

    def usable_clips(self, X):
        return self._whole(X).any(axis=1)

    def fit(self, X, y, groups=None, sample_weight=None):
        type(self).fits.append((groups is not None, sample_weight is not None))
        clips, segments = np.nonzero(self._whole(X))
        weight = None if sample_weight is None else sample_weight[clips]
        self.model_ = LogisticRegression(C=self.C).fit(X[clips, segments], y[clips], weight)
        self.classes_ = self.model_.classes_
        return self

    def predict_proba_segments(self, X):
        whole = self._whole(X)
        result = np.full((*X.shape[:2], len(self.classes_)), np.nan)
        if whole.any():
            result[whole] = self.model_.predict_proba(X[whole])
        return result

    def predict_proba(self, X):
        assert self.usable_clips(X).all()
        return np.nanmean(self.predict_proba_segments(X), axis=1)

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


class ArrayReader(TransformerMixin, BaseEstimator):
    """One column of a clip table, paths of .npy files, to rows; NaN where there is no path."""

    files_read: ClassVar[Counter] = Counter()

    def __init__(self, column="audio", shape=AUDIO_SHAPE):
        self.column = column
        self.shape = shape

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        sources = clip_sources(X, self.column)
        rows = np.full((len(sources), int(np.prod(self.shape))), np.nan, dtype=np.float32)
        for row, source in enumerate(sources):
            if source is not None:
                type(self).files_read[source] += 1
                rows[row] = np.load(source).ravel()
        return rows

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        return tags


@pytest.fixture
def clips():
    return draw_clips(120)


@pytest.fixture
def clip_table(tmp_path):
    """Give a clip table of 48 clips on disk, their labels and groups."""
    X, y, groups = draw_clips(48)
    table = {"audio": [], "video": []}
    for row, clip in enumerate(X):
        for column, field in [("audio", "audio"), ("video", "visual")]:
            path = tmp_path / f"{column}-{row}.npy"
            np.save(path, clip[field])
            table[column].append(str(path))
    return pd.DataFrame(table), y, groups


@pytest.fixture(autouse=True)
def fresh_counts():
    Flatten.rows_seen.clear()
    ArrayReader.files_read.clear()
    SegmentRegression.fits.clear()

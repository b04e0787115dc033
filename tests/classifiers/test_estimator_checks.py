"""scikit-learn's own checks of estimators, twice.

The classifiers take clips, arrays of three or four axes, and say so in their tags; scikit-learn
then runs of its checks only the one that needs no data. So that the others hold too, each
classifier has a twin here that differs in one thing: it turns every row of the checks' tables
into a clip. All of fit, partial_fit and prediction is the classifier's own.
"""

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import validate_data

from skavsc.classifiers import AudioSceneClassifier, SECRNNClassifier, VisualSceneClassifier


@parametrize_with_checks([AudioSceneClassifier(), VisualSceneClassifier(), SECRNNClassifier()])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_checks_without_data(estimator, check):
    check(estimator)


class TableTwin:
    """Rows of a table as clips of one second."""

    def _streams(self, X, *, reset):
        X = validate_data(self, X, reset=reset, dtype="float32")
        return super()._streams(self._clips(X), reset=reset)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        tags.input_tags.three_d_array = False
        tags.input_tags.allow_nan = False
        return tags


def as_sound(X):
    """Each column is a band; two more of fixed level, or scaling to [-1, 1] would hide offsets."""
    levels = np.concatenate([X, np.tile([[-8, 8]], (len(X), 1))], axis=1)
    return np.repeat(levels[:, :, None, None], 4, axis=2).astype("float32")


def as_picture(X):
    return X[:, None, :]


class AudioTwin(TableTwin, AudioSceneClassifier):
    _clips = staticmethod(as_sound)


class VisualTwin(TableTwin, VisualSceneClassifier):
    _clips = staticmethod(as_picture)


SMALL = {"epochs": 30, "learning_rate": 0.05, "batch_size": 64, "random_state": 0}

audio = AudioTwin(filters=(2, 2, 4), segment_frames=4, validation_fraction=0, **SMALL)
visual = VisualTwin(units=2, segment_frames=1, dropout=0, l2=0, validation_fraction=0, **SMALL)

EXPECTED_FAILURES = {}


@parametrize_with_checks([audio, visual], expected_failed_checks=EXPECTED_FAILURES.get)
def test_checks_on_rows_as_clips(estimator, check):
    check(estimator)

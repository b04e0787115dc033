"""Groups and weights reach splitters and the classifiers that take them, in wrappers too."""

import warnings
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import config_context, get_config
from sklearn.base import BaseEstimator, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import make_scorer, matthews_corrcoef
from sklearn.model_selection import BaseCrossValidator, GridSearchCV, GroupKFold, StratifiedKFold
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skavsc._clips import fit_with_metadata, grouped_folds


@given(seed=st.none() | st.integers(0, 99), cv=st.sampled_from([2, np.int64(3), None]))
def test_a_number_makes_stratified_folds_of_whole_locations(seed, cv):
    y, groups = np.arange(60) % 3, np.arange(60) // 6
    folds = grouped_folds(cv, y, groups, seed)
    assert len(folds) == (5 if cv is None else cv)
    for train, test in folds:
        assert not set(groups[train]) & set(groups[test])
        assert set(y[test]) == {0, 1, 2}
    np.testing.assert_array_equal(np.sort(np.concatenate([test for _, test in folds])), range(60))


def test_only_a_seed_shuffles():
    y = np.arange(60) % 3
    plain, shuffled, same = (grouped_folds(3, y, random_state=seed) for seed in (None, 0, 0))
    for (_, test), (_, expected) in zip(plain, StratifiedKFold(3).split(y, y), strict=True):
        np.testing.assert_array_equal(test, expected)
    np.testing.assert_array_equal(shuffled[0][1], same[0][1])
    assert not np.array_equal(plain[0][1], shuffled[0][1])


@pytest.mark.parametrize("kind", ["splitter", "rows", "masks", "lists"])
def test_folds_of_any_form_become_row_numbers(kind):
    y, groups = np.arange(12) % 2, np.arange(12) // 3
    expected = list(GroupKFold(2).split(y, y, groups))
    masks = [tuple(np.isin(np.arange(12), part) for part in fold) for fold in expected]
    cv = {
        "splitter": GroupKFold(2),
        "rows": expected,
        "masks": masks,
        "lists": [(train.tolist(), test.tolist()) for train, test in expected],
    }[kind]
    for fold, given_fold in zip(grouped_folds(cv, y, groups), expected, strict=True):
        for rows, given_rows in zip(fold, given_fold, strict=True):
            np.testing.assert_array_equal(rows, given_rows)


class Recorder(LogisticRegression):
    """Notes which metadata its fits are given."""

    fits: ClassVar[set] = set()

    def fit(self, X, y, sample_weight=None, groups=None):
        type(self).fits.add((groups is not None, sample_weight is not None))
        return super().fit(X, y, sample_weight)


PIPELINE = make_pipeline(StandardScaler(), Recorder())


@pytest.fixture
def clips():
    Recorder.fits.clear()
    y = np.arange(60) % 3
    X = np.random.default_rng(0).normal(size=(60, 4)) + y[:, None]
    return X, y, np.arange(60) // 6, np.linspace(1, 2, 60)


@pytest.mark.parametrize(
    "estimator",
    [
        Recorder(),
        PIPELINE,
        make_pipeline(StandardScaler(), make_pipeline(StandardScaler(), Recorder())),
        GridSearchCV(Recorder(), {"C": [1.0]}, cv=2),
        GridSearchCV(PIPELINE, {"recorder__C": [1.0]}, cv=GroupKFold(2), scoring="neg_log_loss"),
        GridSearchCV(PIPELINE, {"recorder": [Recorder(), Recorder(C=0.1)]}, cv=2),
        GridSearchCV(Recorder(), {}, cv=2, scoring=["accuracy", "recall_macro"], refit="accuracy"),
        GridSearchCV(
            Recorder(), {}, cv=2, scoring={"mcc": make_scorer(matthews_corrcoef)}, refit="mcc"
        ),
        make_pipeline(StandardScaler(), GridSearchCV(Recorder(), {"C": [1.0]}, cv=2)),
        CalibratedClassifierCV(Recorder(), cv=2),
        CalibratedClassifierCV(PIPELINE, cv=GroupKFold(2)),
        BaggingClassifier(Recorder(), 2),
        BaggingClassifier(PIPELINE, 2),
        VotingClassifier([("a", Recorder()), ("b", PIPELINE)]),
        StackingClassifier([("a", Recorder())], Recorder(), cv=2),
    ],
)
def test_a_classifier_gets_groups_and_weights_wherever_it_stands(estimator, clips):
    X, y, groups, weight = clips
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit_with_metadata(clone(estimator), X, y, groups=groups, sample_weight=weight)
    assert Recorder.fits == {(True, True)}
    assert get_config()["enable_metadata_routing"] is False


@pytest.mark.parametrize(
    "estimator",
    [
        NearestCentroid(),
        RandomForestClassifier(3, random_state=0),
        AdaBoostClassifier(LogisticRegression(), n_estimators=2),  # routes no metadata
        make_pipeline(StandardScaler(), NearestCentroid()),
        GridSearchCV(NearestCentroid(), {}, cv=2),
    ],
)
def test_what_a_classifier_does_not_take_is_left_out(estimator, clips):
    X, y, groups, weight = clips
    fitted = fit_with_metadata(clone(estimator), X, y, groups=groups, sample_weight=weight)
    assert fitted.score(X, y) > 0.5


def test_a_search_chooses_by_weighted_scores(clips):
    X, y, _, weight = clips
    search = GridSearchCV(LogisticRegression(), {"C": [0.01, 1.0]}, cv=3, scoring="accuracy")
    weight = np.where(y == 0, 1e-9, weight)
    found = fit_with_metadata(clone(search), X, y, sample_weight=weight)
    expected = clone(search).fit(X, y, sample_weight=weight)
    for key in ("mean_test_score", "split0_test_score"):
        np.testing.assert_allclose(found.cv_results_[key], expected.cv_results_[key])


class HalvesOfGroups(BaseCrossValidator):
    """A splitter by groups that says nothing of metadata."""

    def get_n_splits(self, X=None, y=None, groups=None):
        return 2

    def _iter_test_masks(self, X=None, y=None, groups=None):
        yield groups % 2 == 0
        yield groups % 2 == 1


class RequestsUnset(BaseEstimator):
    """A splitter with parameters, whose request for groups nobody has set."""

    def get_n_splits(self, X=None, y=None, groups=None):
        return 2

    def split(self, X, y, groups=None):
        yield from HalvesOfGroups().split(X, y, groups)


class Plain:
    """A splitter that is no class of scikit-learn's."""

    get_n_splits = HalvesOfGroups.get_n_splits
    split = RequestsUnset.split


@pytest.mark.parametrize("splitter", [HalvesOfGroups(), RequestsUnset(), Plain()])
def test_any_splitter_gets_the_groups(splitter, clips):
    X, y, groups, weight = clips
    search = GridSearchCV(Recorder(), {"C": [1.0]}, cv=splitter, error_score="raise")
    found = fit_with_metadata(search, X, y, groups=groups, sample_weight=weight)
    even = groups % 2 == 0
    model = LogisticRegression().fit(X[~even], y[~even], weight[~even])
    expected = model.score(X[even], y[even], weight[even])
    assert found.cv_results_["split0_test_score"][0] == pytest.approx(expected)


def test_nothing_is_asked_of_frozen_estimators(clips):
    X, y, groups, weight = clips
    fitted = clone(PIPELINE).fit(X, y)
    Recorder.fits.clear()
    calibrated = CalibratedClassifierCV(FrozenEstimator(fitted))
    fit_with_metadata(calibrated, X, y, groups=groups, sample_weight=weight)
    assert Recorder.fits == set()
    assert not hasattr(fitted[-1], "_metadata_request")


def test_with_metadata_routing_enabled(clips):
    X, y, groups, weight = clips
    with config_context(enable_metadata_routing=True):
        fit_with_metadata(clone(PIPELINE), X, y, groups=groups, sample_weight=weight)
    assert Recorder.fits == {(True, True)}

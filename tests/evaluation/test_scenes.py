"""Cross-validated reports: figures against scikit-learn, intervals, media, comparison."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, confusion_matrix, precision_score, recall_score
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    LeaveOneGroupOut,
    PredefinedSplit,
    RepeatedStratifiedKFold,
    StratifiedGroupKFold,
    cross_val_predict,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skavsc.evaluation import (
    accuracy_interval,
    class_log_loss,
    compare_scenes,
    cross_validate_scenes,
    macro_log_loss,
    scene_report,
)


@pytest.fixture(scope="module")
def report(drawn):
    X, y, groups = drawn
    rows = np.arange(90)
    clips = pd.DataFrame({"city": np.where(rows % 2, "Lyon", "Oslo"), "row": rows})
    return cross_validate_scenes(LogisticRegression(), X, y, groups=groups, cv=3, clips=clips)


def test_probabilities_are_those_of_scikit_learn(report, drawn):
    X, y, groups = drawn
    expected = cross_val_predict(
        LogisticRegression(),
        X,
        y,
        groups=groups,
        cv=StratifiedGroupKFold(3),
        method="predict_proba",
    )
    np.testing.assert_allclose(report.probabilities, expected)
    row = report.summary().loc["clips"]
    predicted = report.classes[expected.argmax(axis=1)]
    assert row["accuracy"] == accuracy_score(y, predicted)
    assert row["macro_log_loss"] == pytest.approx(macro_log_loss(y, expected))
    assert (row["accuracy_low"], row["accuracy_high"]) == accuracy_interval(row["accuracy"], 90)
    assert row["n"] == 90
    assert row["n_locations"] == 30
    by_class = report.by_class()
    np.testing.assert_allclose(by_class["accuracy"], recall_score(y, predicted, average=None))
    np.testing.assert_allclose(by_class["precision"], precision_score(y, predicted, average=None))
    np.testing.assert_allclose(by_class["log_loss"], class_log_loss(y, expected))
    np.testing.assert_array_equal(report.confusion(), confusion_matrix(y, predicted))
    guessing = report.summary().loc["guessing"]
    assert guessing["accuracy"] == pytest.approx(1 / 3)
    assert guessing["macro_log_loss"] == pytest.approx(np.log(3))


def test_tables_by_column_location_and_fold(report):
    by_city = report.by("city")
    assert by_city.index.tolist() == ["Lyon", "Oslo"]
    assert by_city["n"].tolist() == [45, 45]
    total = report.summary().loc["clips", "accuracy"]
    assert np.average(by_city["accuracy"], weights=by_city["n"]) == pytest.approx(total)
    assert len(report.by("location")) == 30
    assert report.by("fold").index.tolist() == [0, 1, 2]
    odd = report.by(np.arange(90) % 2)
    np.testing.assert_allclose(odd["accuracy"], by_city["accuracy"][::-1])
    with pytest.raises(KeyError, match="country"):
        report.by("country")


def test_errors_are_the_surest_and_label_errors_the_least_likely(report):
    errors = report.errors()
    assert (errors["true"] != errors["predicted"]).all()
    assert errors["probability"].is_monotonic_decreasing
    assert len(errors) == round(90 * (1 - report.summary().loc["clips", "accuracy"]))
    assert (errors["row"] == errors.index).all()
    suspects = report.label_errors(5)
    assert suspects["probability_of_true"].is_monotonic_increasing
    assert (
        suspects["probability_of_true"].iloc[0] == report.predictions()["probability_of_true"].min()
    )
    assert len(suspects) == 5


def test_a_wrong_label_is_found(drawn):
    X, y, _ = drawn
    y = y.copy()
    clearest = np.flatnonzero(y == "bus")[X[y == "bus", 0].argmax()]
    y[clearest] = "park"
    model = LinearDiscriminantAnalysis()
    found = cross_validate_scenes(model, X, y, cv=5).label_errors(3)
    assert clearest in found.index


def test_the_interval_over_locations_is_wider_where_clips_of_one_are_alike():
    rng = np.random.default_rng(0)
    right = np.repeat(rng.random(40) < 0.7, 10)
    y = np.where(np.arange(400) // 10 % 2, "bus", "tram")
    own = np.where(right, 0.8, 0.3)
    y_prob = np.where((y == "bus")[:, None], np.c_[own, 1 - own], np.c_[1 - own, own])
    row = scene_report(y, y_prob, groups=np.arange(400) // 10).summary().loc["clips"]
    alone = scene_report(y, y_prob).summary().loc["clips"]
    width = row["accuracy_high_locations"] - row["accuracy_low_locations"]
    narrow = alone["accuracy_high_locations"] - alone["accuracy_low_locations"]
    assert narrow == pytest.approx(row["accuracy_high"] - row["accuracy_low"], rel=0.15)
    # Ten equal clips are worth one: the square root of ten.
    assert width == pytest.approx(np.sqrt(10) * narrow, rel=0.2)
    assert row["macro_log_loss_low_locations"] < row["macro_log_loss"]
    assert row["macro_log_loss"] < row["macro_log_loss_high_locations"]
    single = scene_report(y, y_prob, groups=np.zeros(400)).summary().loc["clips"]
    assert np.isnan(single["accuracy_low_locations"])


def test_segments_with_their_own_figures(drawn, segment_classifier):
    X, y, groups = drawn
    segments = X[:, None] + np.random.default_rng(1).normal(size=(90, 4, 5))
    segments[::3, 3] = np.nan
    pipeline = make_pipeline(FunctionTransformer(np.negative), segment_classifier)
    report = cross_validate_scenes(pipeline, segments, y, groups=groups, cv=3)
    assert report.segments.shape == (90, 4, 3)
    np.testing.assert_allclose(np.nanmean(report.segments, axis=1), report.probabilities)
    summary = report.summary()
    assert summary.loc["segments", "n"] == 330
    assert summary.loc["segments", "n_locations"] == 30
    assert summary.loc["segments", "macro_log_loss"] > summary.loc["clips", "macro_log_loss"]


def test_groups_reach_the_classifier_in_a_pipeline(drawn):
    X, y, groups = drawn

    class NeedsGroups(LogisticRegression):
        def fit(self, X, y, groups=None):
            assert groups is not None
            assert len(groups) == len(y)
            return super().fit(X, y)

    pipeline = make_pipeline(StandardScaler(), NeedsGroups())
    assert cross_validate_scenes(pipeline, X, y, groups=groups, cv=3).probabilities.shape == (90, 3)


def test_searches_are_looked_into(drawn, segment_classifier):
    X, y, groups = drawn
    search = GridSearchCV(make_pipeline(segment_classifier), {}, cv=GroupKFold(2))
    report = cross_validate_scenes(search, X[:, None], y, groups=groups, cv=2)
    np.testing.assert_allclose(report.segments[:, 0], report.probabilities)


def test_media_with_and_without_each_modality(scenes, media_pipeline):
    X = scenes.X.copy()
    X.loc[0, "audio"] = None
    report = cross_validate_scenes(
        media_pipeline, X, scenes.y, groups=scenes.groups, cv=2, modalities=("audio", "video")
    )
    summary = report.summary()
    assert summary.index.tolist() == ["clips", "without audio", "without video", "guessing"]
    # A clip that has no sound cannot be predicted without its picture.
    assert summary["n"].tolist()[:3] == [len(X), len(X), len(X) - 1]
    assert summary.loc["clips", "accuracy"] > 0.5
    np.testing.assert_allclose(report.without["audio"][0], report.probabilities[0])
    assert not np.allclose(report.without["audio"][1], report.probabilities[1])
    assert X.loc[1, "audio"] == scenes.X.loc[1, "audio"]
    with pytest.raises(ValueError, match="'smell' is no column"):
        cross_validate_scenes(
            media_pipeline, X, scenes.y, groups=scenes.groups, cv=2, modalities=("smell",)
        )


def test_fields_without_a_modality():
    rng = np.random.default_rng(0)
    y = np.repeat(["bus", "tram"], 20)
    X = np.zeros(40, dtype=[("audio", "f4", 2), ("visual", "f4", 2)])
    X["audio"] = rng.normal(size=(40, 2)) + (y == "bus")[:, None]
    X["visual"] = rng.normal(size=(40, 2))

    class Fields(LogisticRegression):
        def both(self, X):
            return np.nan_to_num(np.c_[X["audio"], X["visual"]])

        def fit(self, X, y):
            return super().fit(self.both(X), y)

        def predict_proba(self, X):
            return super().predict_proba(self.both(X))

    report = cross_validate_scenes(Fields(), X, y, cv=2, modalities=("audio", "visual"))
    loss = report.summary()["macro_log_loss"]
    assert loss["without visual"] < loss["without audio"]


def test_weight_0_is_the_same_as_absent(report):
    weights = np.where(np.arange(90) < 60, 1.0, 0.0)
    weighted = scene_report(
        report.y, report.probabilities, groups=report.groups, sample_weight=weights
    )
    part = slice(60)
    absent = scene_report(report.y[part], report.probabilities[part], groups=report.groups[part])
    pd.testing.assert_frame_equal(weighted.summary(), absent.summary())
    pd.testing.assert_frame_equal(weighted.by_class(), absent.by_class(), check_dtype=False)
    pd.testing.assert_frame_equal(weighted.errors(), absent.errors())


def test_classes_that_a_fold_lacks_have_probability_0(drawn):
    X, y, _ = drawn
    halves = np.where(y == "tram", 0, np.arange(90) % 2)
    report = cross_validate_scenes(LogisticRegression(), X, y, groups=halves, cv=LeaveOneGroupOut())
    assert (report.probabilities[y == "tram", 2] == 0).all()
    assert np.isfinite(report.summary().loc["clips", "macro_log_loss"])


def test_one_official_fold_and_clips_that_are_not_tested(drawn):
    X, y, groups = drawn
    official = PredefinedSplit(np.where(np.arange(90) < 60, -1, 0))
    clips = pd.DataFrame({"place": groups})
    report = cross_validate_scenes(LogisticRegression(), X, y, clips=clips, cv=official)
    assert np.isnan(report.probabilities[:60]).all()
    assert report.summary().loc["clips", "n"] == 30
    assert report.predictions().index.tolist() == list(range(60, 90))


def test_survives_pickling_and_says_what_matters(report):
    again = pickle.loads(pickle.dumps(report))
    pd.testing.assert_frame_equal(again.summary(), report.summary())
    text = str(report)
    accuracy = report.summary().loc["clips", "accuracy"]
    assert f"{100 * accuracy:.1f}" in text
    assert "guessing" in text
    assert "tram" in text
    assert len(repr(report)) < 100


def test_columns_may_be_in_any_order(report):
    labels = ["tram", "bus", "park"]
    order = np.searchsorted(report.classes, labels)
    other = scene_report(
        report.y, report.probabilities[:, order], labels=labels, groups=report.groups
    )
    pd.testing.assert_frame_equal(other.summary(), report.summary())


def test_workers_give_the_same(report, drawn):
    X, y, groups = drawn
    other = cross_validate_scenes(LogisticRegression(), X, y, groups=groups, cv=3, n_jobs=2)
    np.testing.assert_array_equal(other.probabilities, report.probabilities)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"groups": np.arange(3)}, "inconsistent"),
        ({"cv": RepeatedStratifiedKFold(n_splits=2, n_repeats=2)}, "more than once"),
    ],
)
def test_unusable_input_is_explained(drawn, change, message):
    X, y, _ = drawn
    with pytest.raises(ValueError, match=message):
        cross_validate_scenes(DummyClassifier(), X, y, **change)


def test_comparison_of_a_system_with_itself_and_with_guessing(report, drawn):
    X, y, groups = drawn
    same = compare_scenes(report, report)
    assert (same["difference"] == 0).all()
    assert same.loc["accuracy", "p_clips"] == 1
    chance = cross_validate_scenes(DummyClassifier(), X, y, groups=groups, cv=3)
    table = compare_scenes(report, chance)
    assert table.loc["accuracy", "p_clips"] < 1e-4
    assert table.loc["accuracy", "p_locations"] < 0.05
    assert table.loc["accuracy", "low"] > 0
    assert table.loc["macro_log_loss", "high"] < 0


def test_mcnemar_counts_the_clips_that_only_one_system_has_right():
    y = np.repeat(["bus", "tram"], 20)
    right = np.eye(2)[np.repeat([0, 1], 20)] * 0.8 + 0.1
    first, second = right.copy(), right.copy()
    first[[0, 25]] = first[[0, 25], ::-1]
    second[:9] = second[:9, ::-1]
    # Row 0 is wrong in both; row 25 in the first alone, rows 1 to 8 in the second alone.
    groups = np.arange(40) // 4
    table = compare_scenes(
        scene_report(y, first, groups=groups), scene_report(y, second, groups=groups)
    )
    assert table.loc["accuracy", "p_clips"] == pytest.approx(binomtest(8, 9).pvalue)
    # Locations 0, 1 and 2 prefer the first, location 6 the second.
    assert table.loc["accuracy", "p_locations"] == pytest.approx(binomtest(3, 4).pvalue)
    assert table.loc["accuracy", "difference"] == pytest.approx(7 / 40)


def test_reports_of_other_clips_are_not_compared(report):
    with pytest.raises(ValueError, match="differ in classes, labels, locations"):
        compare_scenes(report, scene_report(report.y[::-1], report.probabilities[::-1]))

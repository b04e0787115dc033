"""The results table: its figures, folds, groups and text."""

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GroupKFold, PredefinedSplit, StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skavsc import (
    LateFusionClassifier,
    accuracy_interval,
    format_results,
    macro_log_loss,
    results_table,
)


@pytest.fixture
def clips():
    rng = np.random.default_rng(0)
    y = np.array(["bus", "park", "tram"])[np.arange(90) % 3]
    X = rng.normal(size=(90, 5)) + 1.5 * np.eye(5)[np.arange(90) % 3]
    return X, y, np.arange(90) // 6


def test_figures_are_those_of_the_folds(clips):
    X, y, groups = clips
    model = LogisticRegression()
    table = results_table({"chance": DummyClassifier(), "model": model}, X, y, groups=groups, cv=3)
    assert table.index.tolist() == ["chance", "model"]
    row = table.loc["model"]
    accuracies, losses = [], []
    for fold, (train, test) in enumerate(StratifiedGroupKFold(3).split(X, y, groups)):
        model.fit(X[train], y[train])
        accuracies.append(accuracy_score(y[test], model.predict(X[test])))
        losses.append(macro_log_loss(y[test], model.predict_proba(X[test])))
        assert row[f"accuracy_fold{fold}"] == pytest.approx(accuracies[-1])
        assert row[f"macro_log_loss_fold{fold}"] == pytest.approx(losses[-1])
    assert row["accuracy"] == pytest.approx(np.mean(accuracies))
    assert row["accuracy_std"] == pytest.approx(np.std(accuracies))
    assert row["macro_log_loss"] == pytest.approx(np.mean(losses))
    assert row["macro_log_loss_std"] == pytest.approx(np.std(losses))
    assert row["n_clips"] == 90
    low, high = accuracy_interval(row["accuracy"], 90)
    assert (row["accuracy_low"], row["accuracy_high"]) == pytest.approx((low, high))
    assert row["fit_time"] > 0
    assert table.loc["chance", "accuracy"] < 0.5


def test_one_official_fold(clips):
    X, y, _ = clips
    official = PredefinedSplit(np.where(np.arange(90) < 60, -1, 0))
    table = results_table({"model": LogisticRegression()}, X, y, cv=official)
    assert table.loc["model", "n_clips"] == 30
    assert "accuracy_fold1" not in table


@pytest.mark.parametrize("routing", [False, True])
def test_inner_folds_get_the_groups(clips, routing):
    X, y, groups = clips
    # An inner splitter that raises without groups.
    fusion = LateFusionClassifier([("all", LogisticRegression())], cv=GroupKFold(2))
    with config_context(enable_metadata_routing=routing):
        table = results_table(
            {"fusion": fusion, "pipeline": make_pipeline(StandardScaler(), fusion)},
            X,
            y,
            groups=groups,
            cv=2,
        )
    assert (table["accuracy"] > 0.6).all()


def test_estimators_stay_unfitted_and_n_jobs_gives_the_same(clips):
    X, y, groups = clips
    model = LogisticRegression()
    one = results_table({"model": model}, X, y, groups=groups, cv=3)
    two = results_table({"model": model}, X, y, groups=groups, cv=3, n_jobs=2)
    assert not hasattr(model, "coef_")
    pd.testing.assert_frame_equal(one.drop(columns="fit_time"), two.drop(columns="fit_time"))


def test_progress_is_shown_if_wanted(clips, capfd):
    X, y, _ = clips
    results_table({"model": DummyClassifier()}, X, y, cv=2)
    assert capfd.readouterr().err == ""
    results_table({"model": DummyClassifier()}, X, y, cv=2, verbose=1)
    assert "out of   2" in capfd.readouterr().err


def test_weight_0_is_the_same_as_absent(clips):
    X, y, groups = clips
    weights = np.where(np.arange(90) % 5, 1.0, 0.0)
    noise = np.where(weights[:, None] > 0, X, 1e3)
    there = weights > 0
    folds = list(GroupKFold(3).split(X, y, groups))
    positions = np.cumsum(there) - 1
    inside = [tuple(positions[part[there[part]]] for part in fold) for fold in folds]
    model = {"model": LogisticRegression()}
    weighted = results_table(model, noise, y, cv=folds, sample_weight=weights)
    absent = results_table(model, X[there], y[there], cv=inside)
    assert weighted.loc["model", "n_clips"] == 72
    pd.testing.assert_frame_equal(
        weighted.drop(columns="fit_time"), absent.drop(columns="fit_time"), rtol=1e-3
    )


@pytest.mark.parametrize("backend", ["threading", "multiprocessing"])
def test_joblib_backends_without_generators(clips, backend):
    X, y, _ = clips
    with joblib.parallel_config(backend, n_jobs=2):
        table = results_table({"model": LogisticRegression()}, X, y, cv=2)
    assert table.loc["model", "accuracy"] > 0.6


def test_workers_keep_the_configuration(clips):
    X, y, groups = clips
    fusion = LateFusionClassifier([("all", LogisticRegression())], cv=GroupKFold(2))
    with config_context(enable_metadata_routing=True):
        table = results_table({"fusion": fusion}, X, y, groups=groups, cv=2, n_jobs=2)
    assert table.loc["fusion", "accuracy"] > 0.6


def test_unusable_input_is_explained(clips):
    X, y, groups = clips
    with pytest.raises(ValueError, match="estimators is empty"):
        results_table({}, X, y)
    with pytest.raises(ValueError, match="inconsistent"):
        results_table({"model": DummyClassifier()}, X, y, groups=groups[:-1])
    unseen = PredefinedSplit(np.where(y == "bus", 0, -1))
    with pytest.raises(ValueError, match="not among"):
        results_table({"model": LogisticRegression()}, X, y, cv=unseen)


def test_text_has_a_line_a_classifier_in_columns(clips):
    X, y, groups = clips
    estimators = {"chance": DummyClassifier(), "a longer name": LogisticRegression()}
    table = results_table(estimators, X, y, groups=groups, cv=3)
    header, *lines = format_results(table).splitlines()
    assert [line[:13].strip() for line in lines] == list(estimators)
    assert "fit, s" in header
    assert {len(line) for line in lines} == {len(header)}
    assert f"{100 * table.loc['chance', 'accuracy']:.1f} +-" in lines[0]
    assert f"{table.loc['a longer name', 'macro_log_loss']:.3f} +-" in lines[1]

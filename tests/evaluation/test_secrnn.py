"""The cross-validated SE-CRNN: fusions of one fold share their subnetworks."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from skavsc import (
    AudioSceneClassifier,
    SECRNNClassifier,
    VisualSceneClassifier,
    cross_validate_secrnn,
    format_results,
)
from skavsc.evaluation import PUBLISHED_ACCURACY

pytestmark = pytest.mark.usefixtures("all_eagerly")

FRAMEWORK = SECRNNClassifier(
    AudioSceneClassifier(filters=(4, 4, 4), learning_rate=0.05, epochs=4),
    VisualSceneClassifier(units=4, learning_rate=0.1, epochs=5),
    units=4,
    learning_rate=0.01,
    epochs=1,
    validation_fraction=0,
    random_state=0,
)


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    y = np.array(["bus", "park"])[np.arange(24) % 2]
    groups = np.arange(24) // 4
    X = np.zeros(24, dtype=[("audio", "f4", (8, 50, 1)), ("visual", "f4", (5, 6))])
    X["audio"] = rng.normal(-40, 4, size=X["audio"].shape)
    X["visual"] = rng.normal(size=X["visual"].shape)
    X["visual"][y == "bus", :, :3] += 2
    loud = X.copy()
    loud["audio"][y == "bus", :4] += 30
    return cross_validate_secrnn(
        FRAMEWORK,
        {"noise": X, "loud": loud},
        y,
        groups=groups,
        cv=[(np.arange(16), np.arange(16, 24))],
    )


def test_has_a_row_for_every_classifier(table):
    assert table.index.tolist() == [
        (kind, cell) for kind in ("noise", "loud") for cell in ("audio", "visual", "early", "late")
    ]
    assert (table["n_clips"] == 8).all()
    assert {"accuracy", "accuracy_low", "accuracy_high", "macro_log_loss"} <= set(table.columns)


def test_the_visual_network_is_trained_once_a_fold(table):
    pd.testing.assert_series_equal(
        table.loc[("noise", "visual")], table.loc[("loud", "visual")], check_names=False
    )


def test_classifiers_differ_by_their_features(table):
    accuracy = table["accuracy"]
    assert accuracy["loud", "audio"] > accuracy["noise", "audio"] + 0.15
    assert accuracy["noise", "visual"] > 0.8
    assert table.loc[("loud", "early"), "macro_log_loss"] != pytest.approx(
        table.loc[("loud", "late"), "macro_log_loss"]
    )


def test_text_has_the_published_figures_where_there_are_any(table):
    known = table.rename(index={"loud": "gammatone"}, level=0)
    lines = format_results(known, published=PUBLISHED_ACCURACY).splitlines()
    assert len(lines) == 1 + len(table)
    late = lines[-1].split()
    assert late[0] == "late"
    assert late[-1] == "90.0"
    assert lines[4].split()[-1] == "-"
    row = table.loc[("loud", "late")]
    for figure in (row["accuracy"], row["accuracy_low"], row["accuracy_high"]):
        assert f"{100 * figure:.1f}" in late
    assert f"{row['macro_log_loss']:.3f}" in late
    assert "fit, s" not in lines[0]


@pytest.mark.slow
def test_resumes_and_scores_segments(tmp_path, capfd):
    y = np.array(["bus", "park"])[np.arange(12) % 2]
    X = np.zeros(12, dtype=[("audio", "f4", (8, 100, 1)), ("visual", "f4", (10, 6))])
    rng = np.random.default_rng(0)
    X["audio"] = rng.normal(-40, 4, size=X["audio"].shape)
    X["visual"] = rng.normal(size=X["visual"].shape)
    X["visual"][9, 5:] = np.nan
    framework = clone(FRAMEWORK).set_params(
        audio__epochs=2, visual__epochs=2, epochs=2, audio__verbose=1, verbose=1
    )

    def run(features, **options):
        table = cross_validate_secrnn(
            framework,
            features,
            y,
            cv=[(np.arange(8), np.arange(8, 12))],
            memory=tmp_path,
            **options,
        )
        return table, capfd.readouterr().err.count(": epoch 1/")

    clips, trained = run({"one": X})
    assert trained == 3  # audio once, and two fusions
    segments, trained = run({"one": X}, unit="segment")
    assert trained == 0
    assert clips.loc[("one", "audio"), "n_clips"] == 4
    assert segments.loc[("one", "audio"), "n_clips"] == 8
    assert segments.loc[("one", "visual"), "n_clips"] == 7
    other = X.copy()
    other["audio"] += 5 * rng.random(X["audio"].shape)
    both, trained = run({"one": X, "other": other})
    assert trained == 3
    pd.testing.assert_frame_equal(both.loc[["one"]], clips)


def test_unit_must_be_known():
    with pytest.raises(ValueError, match=r'unit=.frame. must be "clip" or "segment"'):
        cross_validate_secrnn(FRAMEWORK, {"one": np.zeros(1)}, ["a"], unit="frame")


def test_lengths_must_agree():
    X = np.zeros(3, dtype=[("audio", "f4", (8, 50, 1)), ("visual", "f4", (5, 6))])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        cross_validate_secrnn(FRAMEWORK, {"one": X}, ["a", "b"])

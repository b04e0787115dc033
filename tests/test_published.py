"""The published table: cells of one fold share their subnetworks and differ in the fusion."""

import numpy as np
import pandas as pd
import pytest

from skavsc import (
    AudioSceneClassifier,
    SECRNNClassifier,
    VisualSceneClassifier,
    format_published,
    published_table,
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
    framework = SECRNNClassifier(
        AudioSceneClassifier(filters=(4, 4, 4), learning_rate=0.02, epochs=12),
        VisualSceneClassifier(units=4, learning_rate=0.02, epochs=15),
        units=4,
        learning_rate=0.01,
        epochs=4,
        random_state=0,
    )
    return published_table(
        {"noise": X, "loud": loud},
        y,
        groups=groups,
        cv=[(np.arange(16), np.arange(16, 24))],
        framework=framework,
    )


def test_has_a_row_for_every_cell(table):
    assert table.index.tolist() == [
        (kind, cell) for kind in ("noise", "loud") for cell in ("audio", "visual", "early", "late")
    ]
    assert (table["n_clips"] == 8).all()
    assert {"accuracy", "accuracy_low", "accuracy_high", "macro_log_loss"} <= set(table.columns)


def test_the_visual_network_is_trained_once_a_fold(table):
    pd.testing.assert_series_equal(
        table.loc[("noise", "visual")], table.loc[("loud", "visual")], check_names=False
    )


def test_cells_differ_by_what_they_hear_and_see(table):
    accuracy = table["accuracy"]
    assert accuracy["loud", "audio"] > accuracy["noise", "audio"] + 0.15
    assert accuracy["noise", "visual"] > 0.8
    assert table.loc[("loud", "early"), "macro_log_loss"] != pytest.approx(
        table.loc[("loud", "late"), "macro_log_loss"]
    )


def test_text_has_a_line_for_every_kind(table):
    lines = format_published(table).splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["noise", "loud"]
    percent = 100 * table.loc[("loud", "late"), "accuracy"]
    assert f"{percent:.1f}" in lines[2].split()


def test_lengths_must_agree():
    X = np.zeros(3, dtype=[("audio", "f4", (8, 50, 1)), ("visual", "f4", (5, 6))])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        published_table({"one": X}, ["a", "b"])

"""The challenge's metrics against scikit-learn and published figures."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import softmax
from scipy.stats import binom
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import LeaveOneGroupOut, cross_validate

from skavsc import (
    accuracy_interval,
    class_log_loss,
    expected_calibration_error,
    macro_log_loss,
    macro_log_loss_scorer,
)

LABELS = np.array(["airport", "bus", "metro"])


@given(
    logits=arrays(np.float64, (12, 3), elements=st.floats(-20, 20)),
    codes=arrays(np.intp, 12, elements=st.integers(0, 2)),
    dtype=st.sampled_from([np.float32, np.float64]),
)
@settings(max_examples=30)
def test_each_class_has_the_log_loss_of_its_clips(logits, codes, dtype):
    y_true, y_prob = LABELS[codes], softmax(logits, axis=1).astype(dtype)
    found = class_log_loss(y_true, y_prob, labels=LABELS)
    for column, label in enumerate(LABELS):
        own = y_true == label
        if own.any():
            expected = log_loss(y_true[own], y_prob[own], labels=LABELS)
            assert found[column] == pytest.approx(expected, rel=1e-5, abs=1e-6)
        else:
            assert np.isnan(found[column])
    assert macro_log_loss(y_true, y_prob, labels=LABELS) == pytest.approx(np.nanmean(found))


def test_every_class_counts_the_same_however_many_clips_it_has():
    y_true = ["bus"] * 99 + ["metro"]
    y_prob = np.tile([0.8, 0.2], (100, 1))
    assert macro_log_loss(y_true, y_prob) == pytest.approx(-(np.log(0.8) + np.log(0.2)) / 2)


def test_equal_scores_give_the_logarithm_of_the_number_of_classes():
    y_prob = np.full((3, 3), 1 / 3)
    assert macro_log_loss(LABELS, y_prob) == pytest.approx(np.log(3))
    assert macro_log_loss(LABELS, np.eye(3)) == pytest.approx(0)


@given(
    codes=arrays(np.intp, 12, elements=st.integers(0, 2)),
    counts=arrays(np.intp, 12, elements=st.integers(0, 3)).filter(lambda counts: counts.any()),
)
@settings(max_examples=30)
def test_a_weight_is_a_number_of_equal_clips(codes, counts):
    rng = np.random.default_rng(0)
    y_true, y_prob = LABELS[codes], rng.dirichlet(np.ones(3), 12)
    # Clips of weight 0 may be anything.
    weighted = np.where(counts[:, None] > 0, y_prob, np.nan)
    repeated = np.repeat(y_true, counts), np.repeat(y_prob, counts, axis=0)
    for metric in (macro_log_loss, class_log_loss, expected_calibration_error):
        found = metric(y_true, weighted, labels=LABELS, sample_weight=counts)
        np.testing.assert_allclose(found, metric(*repeated, labels=LABELS))


def test_calibration_error_of_clips_that_are_as_right_as_they_are_sure():
    y_prob = np.tile([0.75, 0.25], (400, 1))
    y_true = np.where(np.arange(400) < 300, "bus", "tram")
    assert expected_calibration_error(y_true, y_prob) == pytest.approx(0)
    assert expected_calibration_error(y_true[:300], y_prob[:300], labels=["bus", "tram"]) == (
        pytest.approx(0.25)
    )
    with pytest.raises(ValueError, match="n_bins=0"):
        expected_calibration_error(y_true, y_prob, n_bins=0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_sure_and_wrong_prediction_costs_a_finite_loss(dtype):
    y_prob = np.eye(2, dtype=dtype)[[1, 1]]
    expected = -np.log(np.finfo(dtype).eps) / 2
    assert macro_log_loss(["bus", "metro"], y_prob) == pytest.approx(expected)


def test_columns_are_in_the_order_of_labels():
    y_prob = [[0.9, 0.1]]
    assert macro_log_loss(["tram"], y_prob, labels=["tram", "bus"]) == pytest.approx(-np.log(0.9))


@pytest.mark.parametrize(
    ("y_true", "y_prob", "labels", "message"),
    [
        (["bus"], [[1, 0]], None, r"shape \(1, 2\), expected \(1, 1\).*labels="),
        (["bus", "bus"], [[1, 0]], ["bus", "tram"], r"expected \(2, 2\)"),
        (["quay"], [[1, 0]], ["bus", "tram"], r"\['quay'\], which are not among"),
        (["bus"], [[1, 0]], ["bus", "bus"], "twice"),
        (["bus"], [[2.0, -1.0]], ["bus", "tram"], "row 0 .* no probabilities"),
        (["bus"], [[0.2, 0.2]], ["bus", "tram"], "sum to 1"),
        (["bus"], [[np.nan, 0.2]], ["bus", "tram"], r"not finite in rows \[0\]"),
        ([], np.empty((0, 2)), ["bus", "tram"], "empty"),
    ],
)
def test_unusable_input_is_explained(y_true, y_prob, labels, message):
    with pytest.raises(ValueError, match=message):
        macro_log_loss(y_true, y_prob, labels=labels)


def test_the_scorer_takes_its_columns_from_the_estimator():
    rng = np.random.default_rng(0)
    y = LABELS[np.arange(90) % 3]
    X = rng.normal(size=(90, 4)) + 2 * (y == "bus")[:, None]
    # Each fold tests clips of two classes only.
    groups = np.where(np.arange(90) < 45, np.arange(90) % 3 == 0, 2)
    found = cross_validate(
        LogisticRegression(),
        X,
        y,
        cv=LeaveOneGroupOut(),
        groups=groups,
        scoring=macro_log_loss_scorer,
        error_score="raise",
    )
    assert (found["test_score"] < 0).all()
    model = LogisticRegression().fit(X, y)
    assert macro_log_loss_scorer(model, X, y) == -macro_log_loss(y, model.predict_proba(X))
    with pytest.raises(ValueError, match="quay"):
        macro_log_loss_scorer(model, X[:1], ["quay"])


@pytest.mark.parametrize(
    ("accuracy", "low", "high"),
    [(0.938, 0.936, 0.940), (0.932, 0.930, 0.934), (0.865, 0.862, 0.867), (0.771, 0.768, 0.774)],
)
def test_published_intervals_of_the_challenge(accuracy, low, high):
    found = accuracy_interval(accuracy, 72_000)
    assert found == pytest.approx((low, high), abs=6e-4)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    n, truth = 400, 0.7
    hits = np.arange(n + 1)
    covered = [low <= truth <= high for low, high in (accuracy_interval(k / n, n) for k in hits)]
    assert (binom.pmf(hits, n, truth) * covered).sum() == pytest.approx(0.95, abs=0.01)


def test_the_interval_stays_within_its_limits():
    assert accuracy_interval(0.0, 10) == (0.0, 0.0)
    assert accuracy_interval(0.99, 10)[1] == 1.0
    narrow, wide = accuracy_interval(0.5, 100, 0.5), accuracy_interval(0.5, 100, 0.99)
    assert wide[0] < narrow[0] < 0.5 < narrow[1] < wide[1]


@pytest.mark.parametrize(
    ("arguments", "name"),
    [((93.8, 100), "accuracy"), ((0.5, 0), "n"), ((0.5, 10, 95), "confidence")],
)
def test_arguments_out_of_range_are_named(arguments, name):
    with pytest.raises(ValueError, match=f"{name}="):
        accuracy_interval(*arguments)

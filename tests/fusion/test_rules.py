"""The rules, the softmax layer, the temperature: golden values and invariants."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import check_grad, minimize
from scipy.special import log_softmax, softmax
from sklearn.linear_model import LogisticRegression

from skavsc.fusion._meta_models import KnownClasses, MetaModels
from skavsc.fusion._rules import (
    FLOOR,
    ClassifierRule,
    ConfidenceRule,
    MeanRule,
    ProductRule,
    SoftmaxLayer,
    apply_temperature,
    fit_temperature,
    log_probabilities,
    make_rule,
)

LABELS = np.array(["bus", "park", "tram"])
SURE = np.array([[[0.8, 0.1, 0.1], [0.2, 0.6, 0.2]]])


def draw(n_clips, n_branches=2, n_classes=3, *, sharp=1.0, seed=0):
    """Draw calibrated probabilities and labels from them, then sharpen the probabilities."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(n_classes, size=n_clips)
    logits = 1.5 * np.eye(n_classes)[codes][:, None] + rng.normal(
        size=(n_clips, n_branches, n_classes)
    )
    # Unit noise around 1.5 one-hot: the posterior's logits are 1.5 times the draws.
    return softmax(1.5 * sharp * logits, axis=2), codes


def test_golden_mean_and_product():
    np.testing.assert_allclose(MeanRule().predict_proba(SURE), [[0.5, 0.35, 0.15]])
    product = np.array([0.16, 0.06, 0.02])
    np.testing.assert_allclose(ProductRule().predict_proba(SURE), [product / product.sum()])


def test_golden_confidence():
    # Branch 0: right on both clips of bus, and calls the one clip of park bus.
    first = [[0.9, 0.05, 0.05], [0.8, 0.1, 0.1], [0.6, 0.3, 0.1]]
    # Branch 1: right on all.
    second = [[0.9, 0.05, 0.05], [0.8, 0.1, 0.1], [0.1, 0.8, 0.1]]
    rule = ConfidenceRule().fit(np.stack([first, second], axis=1), np.array([0, 0, 1]), np.ones(3))
    f1 = np.array([[6 / 9, 6 / 8], [2 / 5, 4 / 6], [2 / 4, 2 / 4]])
    np.testing.assert_allclose(rule.weights_, f1 / f1.sum(axis=1, keepdims=True))


def test_confidence_weighs_each_branch_where_it_is_good():
    rng = np.random.default_rng(0)
    codes = np.arange(300) % 3
    knows_bus = softmax(4 * np.eye(3)[codes] * (codes == 0)[:, None] + rng.normal(size=(300, 3)), 1)
    knows_tram = softmax(
        4 * np.eye(3)[codes] * (codes == 2)[:, None] + rng.normal(size=(300, 3)), 1
    )
    rule = ConfidenceRule().fit(np.stack([knows_bus, knows_tram], 1), codes, np.ones(300))
    assert rule.weights_[0, 0] > 0.55
    assert rule.weights_[2, 1] > 0.55


@settings(max_examples=40, deadline=None)
@given(
    logits=arrays(np.float64, (7, 2, 3), elements=st.floats(-30, 30)),
    codes=arrays(np.intp, 7, elements=st.integers(0, 2)),
    name=st.sampled_from([None, "mean", "product", "confidence"]),
)
def test_every_rule_gives_probabilities(logits, codes, name):
    probabilities = softmax(logits, axis=2)
    fused = (
        make_rule(name, LABELS).fit(probabilities, codes, np.ones(7)).predict_proba(probabilities)
    )
    assert fused.shape == (7, 3)
    assert (fused >= 0).all()
    np.testing.assert_allclose(fused.sum(axis=1), 1)


@pytest.mark.parametrize("name", [None, "mean", "product", "confidence"])
def test_one_branch_alone_keeps_its_ranking(name):
    probabilities, codes = draw(60, n_branches=1)
    fused = make_rule(name, LABELS).fit(probabilities, codes, np.ones(60))
    np.testing.assert_array_equal(
        fused.predict_proba(probabilities).argsort(axis=1), probabilities[:, 0].argsort(axis=1)
    )


def test_softmax_layer_finds_the_minimum_of_its_loss():
    probabilities, codes = draw(80)
    weight = np.random.default_rng(1).uniform(0.5, 2, 80)
    layer = SoftmaxLayer(0.1).fit(probabilities, codes, weight)
    logs = log_probabilities(probabilities)

    def loss(theta):
        scale, free = theta[:2], theta[2:]
        logits = np.einsum("m,nmk->nk", scale, logs) + free[-3:]
        logits = logits + logs.reshape(80, 6) @ free[:-3].reshape(3, 6).T
        fit = -(weight * log_softmax(logits, axis=1)[np.arange(80), codes]).sum()
        return fit + 0.5 * ((scale - 0.5) ** 2).sum() + 0.5 * (free**2).sum() / 0.1

    found = np.concatenate([layer.scale_, layer.weight_.ravel(), layer.bias_])
    best = minimize(loss, np.zeros(len(found)), method="BFGS")
    assert loss(found) == pytest.approx(best.fun, rel=1e-5)
    assert check_grad(loss, lambda theta: np.zeros_like(theta), found) < 0.1


def test_softmax_layer_learns_how_far_to_trust_a_branch():
    good, codes = draw(600, n_branches=1)
    noise = softmax(np.random.default_rng(5).normal(size=(600, 1, 3)), axis=2)
    layer = SoftmaxLayer().fit(np.concatenate([good, noise], axis=1), codes, np.ones(600))
    assert layer.scale_[0] == pytest.approx(1, abs=0.15)
    assert layer.scale_[1] < 0.2


def test_softmax_layer_weights_clips():
    probabilities, codes = draw(100)
    twice = np.arange(100) % 2 + 1
    repeated = np.repeat(np.arange(100), twice)
    weighted = SoftmaxLayer().fit(probabilities, codes, twice.astype(float))
    copied = SoftmaxLayer().fit(probabilities[repeated], codes[repeated], np.ones(len(repeated)))
    np.testing.assert_allclose(
        weighted.predict_proba(probabilities), copied.predict_proba(probabilities), atol=1e-3
    )


def test_one_sure_branch_is_no_veto():
    sure_but_wrong = np.array([[[1.0, 0.0, 0.0], [FLOOR / 2, 1 - FLOOR, FLOOR / 2]]])
    assert 0 < ProductRule().predict_proba(sure_but_wrong)[0, 1] < 1
    assert np.isfinite(log_probabilities(sure_but_wrong)).all()


def test_a_classifier_gets_the_concatenated_probabilities_and_the_labels():
    probabilities, codes = draw(90)
    rule = ClassifierRule(LogisticRegression(C=10), LABELS)
    fused = rule.fit(probabilities, codes, np.ones(90)).predict_proba(probabilities)
    alone = LogisticRegression(C=10).fit(probabilities.reshape(90, 6), LABELS[codes])
    np.testing.assert_allclose(fused, alone.predict_proba(probabilities.reshape(90, 6)))


def test_a_classifier_that_lacks_a_class_gives_it_zero():
    probabilities, codes = draw(90)
    rows = np.flatnonzero(codes != 1)
    rule = ClassifierRule(LogisticRegression(), LABELS)
    fused = rule.fit(probabilities[rows], codes[rows], np.ones(len(rows)))
    assert (fused.predict_proba(probabilities)[:, 1] == 0).all()


@pytest.mark.parametrize("sharp", [0.5, 1.0, 3.0])
def test_temperature_undoes_sharpening(sharp):
    probabilities, codes = draw(4000, n_branches=1, sharp=sharp)
    temperature = fit_temperature(probabilities[:, 0], codes, np.ones(4000))
    assert temperature == pytest.approx(sharp, rel=0.12)


def test_temperature_of_nothing_is_one():
    assert fit_temperature(np.empty((0, 3)), np.empty(0, dtype=int), np.empty(0)) == 1


def test_meta_models_learn_from_calibrated_probabilities():
    probabilities, codes = draw(300, sharp=3.0)
    weight, prior, there = np.ones(300), np.full(3, 1 / 3), np.ones((300, 2), dtype=bool)
    known = KnownClasses(codes, there, prior)
    model = MetaModels(None, "temperature", ["audio", "visual"], LABELS)
    model.fit(probabilities, codes, weight, known)
    assert (model.temperatures > 2).all()
    flattened = np.empty_like(probabilities)
    flattened[:, 0] = apply_temperature(probabilities[:, 0], model.temperatures[0])
    flattened[:, 1] = apply_temperature(probabilities[:, 1], model.temperatures[1])
    plain = MetaModels(None, None, ["audio", "visual"], LABELS)
    plain.fit(flattened, codes, weight, known)
    np.testing.assert_allclose(
        model.predict_proba(probabilities, None), plain.predict_proba(flattened, None)
    )
    np.testing.assert_allclose(model.importances, plain.importances)


@given(temperature=st.floats(0.05, 20))
def test_temperature_keeps_the_ranking_and_missing_rows(temperature):
    probabilities = np.vstack([SURE[0], np.full((1, 3), np.nan)])
    scaled = apply_temperature(probabilities, temperature)
    assert scaled[0].argmax() == 0
    assert scaled[1].argmax() == 1
    assert np.isnan(scaled[2]).all()
    np.testing.assert_allclose(apply_temperature(SURE, 1.0), SURE)

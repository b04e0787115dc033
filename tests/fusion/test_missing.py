"""Clips that lack a modality: in training, in prediction, and how well it goes."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils._param_validation import InvalidParameterError

from skavsc import AudioSceneClassifier, LateFusionClassifier
from skavsc.exceptions import MissingClipWarning, MissingModalityError
from skavsc.fusion._meta_models import KnownClasses

from .conftest import AUDIO_SHAPE, VISUAL_SHAPE, ArrayReader, Flatten, draw_clips

RULES = [None, "mean", "product", "confidence", LogisticRegression()]


def fusion(final_estimator=None, **options):
    return LateFusionClassifier(
        [
            ("audio", make_pipeline(Flatten(), LogisticRegression())),
            ("visual", LogisticRegression()),
        ],
        clone(final_estimator) if hasattr(final_estimator, "fit") else final_estimator,
        **{"cv": 3, **options},
    )


@pytest.mark.parametrize("calibration", [None, "temperature"])
@pytest.mark.parametrize("final_estimator", [None, "mean", "product", "confidence"])
def test_without_a_picture_it_is_as_good_as_sound_alone(final_estimator, calibration):
    X, y, groups = draw_clips(240, seed=1, sound=0.45, picture=0.6)
    X_test, y_test, _ = draw_clips(1200, seed=2, sound=0.45, picture=0.6)
    lost = np.random.default_rng(3).random(1200) < 0.3
    broken = X_test.copy()
    broken["visual"][lost] = np.nan
    model = fusion(final_estimator, calibration=calibration).fit(X, y, groups=groups)
    sound_alone = make_pipeline(Flatten(), LogisticRegression()).fit(X["audio"], y)
    assert model.score(broken[lost], y_test[lost]) >= sound_alone.score(
        X_test["audio"][lost], y_test[lost]
    )
    # A clip's prediction does not depend on what its neighbours lack.
    np.testing.assert_allclose(
        model.predict_proba(broken)[~lost], model.predict_proba(X_test)[~lost], rtol=1e-5
    )


@pytest.mark.parametrize("final_estimator", [None, "confidence"])
def test_training_without_some_pictures_costs_little(final_estimator):
    X, y, groups = draw_clips(240, seed=1, sound=0.45, picture=0.6)
    X_test, y_test, _ = draw_clips(1200, seed=2, sound=0.45, picture=0.6)
    lost = np.random.default_rng(3).random(1200) < 0.3
    broken, broken_test = X.copy(), X_test.copy()
    broken["visual"][np.random.default_rng(4).random(240) < 0.3] = np.nan
    broken_test["visual"][lost] = np.nan
    model = fusion(final_estimator).fit(broken, y, groups=groups)
    full = fusion(final_estimator).fit(X, y, groups=groups)
    sound_alone = make_pipeline(Flatten(), LogisticRegression()).fit(X["audio"], y)
    predicted = model.predict(broken_test) == y_test
    assert predicted[lost].mean() >= sound_alone.score(X_test["audio"][lost], y_test[lost])
    # Two standard errors of the difference, plus what a third less of pictures costs.
    noise = 2 * np.sqrt(2 * 0.25 / np.count_nonzero(~lost))
    assert predicted[~lost].mean() > full.score(X_test[~lost], y_test[~lost]) - noise


def test_rows_without_a_modality_still_train_the_other_branch():
    X, y, _ = draw_clips(80)
    X["visual"][::2] = np.nan
    model = fusion().fit(X, y)
    picture = LogisticRegression().fit(X["visual"][1::2], y[1::2])
    sound = LogisticRegression().fit(X["audio"].reshape(80, -1), y)
    np.testing.assert_allclose(model.named_estimators_["visual"].coef_, picture.coef_, atol=1e-4)
    np.testing.assert_allclose(model.named_estimators_["audio"][-1].coef_, sound.coef_, atol=1e-4)
    assert set(model.final_estimators_) == {("audio",), ("visual",), ("audio", "visual")}


def test_a_missing_row_is_never_given_to_its_branch():
    X, y, _ = draw_clips(80)
    # A logistic regression refuses NaN, so that this fails if it sees one.
    X["visual"][:30] = np.nan
    X["audio"][60:] = np.nan
    model = fusion().fit(X, y)
    found = model.transform(X)
    assert np.isnan(found[:30, 4:]).all()
    assert np.isnan(found[60:, :4]).all()
    assert not np.isnan(found[30:60]).any()
    assert np.isfinite(model.predict_proba(X)).all()


def test_a_partly_missing_row_is_left_to_the_branch():
    X, y, _ = draw_clips(80)
    X["visual"][0, 0] = np.nan
    with pytest.raises(ValueError, match="contains NaN"):
        fusion().fit(X, y)


@pytest.mark.parametrize("final_estimator", RULES)
def test_clips_without_anything(final_estimator):
    X, y, _ = draw_clips(80)
    model = fusion(final_estimator).fit(X, y)
    empty = X[:6].copy()
    for name in ("audio", "visual"):
        empty[name][[1, 4]] = np.nan
    with pytest.raises(MissingModalityError, match=r"rows \[1, 4\] have no modality.*missing="):
        model.predict(empty)
    model.set_params(missing="prior")
    found = model.predict_proba(empty)
    np.testing.assert_allclose(found[[1, 4]], 0.25)
    np.testing.assert_allclose(found[[0, 2]], model.predict_proba(X)[[0, 2]])


def test_training_on_clips_without_anything():
    X, y, _ = draw_clips(80)
    broken = X.copy()
    for name in ("audio", "visual"):
        broken[name][:4] = np.nan
    with pytest.raises(MissingModalityError, match=r"rows \[0, 1, 2, 3\]"):
        fusion().fit(broken, y)
    with pytest.warns(MissingClipWarning, match="4 of 80"):
        model = fusion(missing="prior").fit(broken, y)
    sound = LogisticRegression().fit(X["audio"][4:].reshape(76, -1), y[4:])
    np.testing.assert_allclose(model.named_estimators_["audio"][-1].coef_, sound.coef_, atol=1e-4)


@pytest.mark.parametrize("final_estimator", [None, LogisticRegression()])
def test_modalities_never_seen_together_have_no_learnt_fusion(final_estimator):
    X, y, _ = draw_clips(80)
    apart = X.copy()
    apart["audio"][:40] = np.nan
    apart["visual"][40:] = np.nan
    model = fusion(final_estimator).fit(apart, y)
    assert model.score(apart, y) > 0.5
    np.testing.assert_array_equal(model.modality_importances_, 0.5)
    assert model.final_estimator_ is None
    with pytest.raises(MissingModalityError, match=r"\['audio', 'visual'\], together"):
        model.predict(X)
    assert fusion("mean").fit(apart, y).predict(X).shape == (80,)


def test_a_branch_with_too_little_to_learn_is_named():
    X, y, _ = draw_clips(80)
    X["visual"][y != "bus"] = np.nan
    with pytest.raises(ValueError, match=r"'visual' cannot be fitted.*\['bus'\] only"):
        fusion().fit(X, y)
    X["visual"] = np.nan
    with pytest.raises(ValueError, match="'visual' cannot be fitted"):
        fusion().fit(X, y)


def test_empty_paths_of_a_clip_table(clip_table):
    table, y, _ = clip_table
    table = table.copy()
    table.loc[:4, "video"] = None
    table.loc[40:, "audio"] = np.nan
    model = LateFusionClassifier(
        [
            ("audio", make_pipeline(ArrayReader("audio", AUDIO_SHAPE), LogisticRegression())),
            ("visual", make_pipeline(ArrayReader("video", VISUAL_SHAPE), LogisticRegression())),
        ],
        cv=2,
    ).fit(table, y)
    found = model.transform(table)
    assert np.flatnonzero(np.isnan(found[:, 0])).tolist() == list(range(40, 48))
    assert np.flatnonzero(np.isnan(found[:, -1])).tolist() == list(range(5))
    assert model.score(table, y) > 0.8
    table.loc[0, "audio"] = None
    with pytest.raises(MissingModalityError, match=r"rows \[0\]"):
        model.predict(table)


def test_three_branches_have_a_rule_for_each_subset():
    X, y, _ = draw_clips(120)
    three = np.empty(120, dtype=[(name, "f4", (6,)) for name in "abc"])
    for number, name in enumerate("abc"):
        three[name] = X["visual"] + np.random.default_rng(number).normal(size=(120, 6))
    for number, name in enumerate("abc"):
        three[name][number * 10 : number * 10 + 15] = np.nan
    model = LateFusionClassifier([(name, LogisticRegression()) for name in "abc"], cv=3)
    model.fit(three, y)
    assert len(model.final_estimators_) == 7
    assert model.final_estimators_[("a", "b", "c")] is model.final_estimator_
    assert np.isfinite(model.predict_proba(three)).all()
    many = [(name, LogisticRegression()) for name in "abcdefg"]
    with pytest.raises(ValueError, match="7 branches; at most 6"):
        LateFusionClassifier(many).fit(X["visual"], y)


def test_a_wrong_parameter_of_a_branch_is_named():
    X = np.zeros((8, 8, 100, 1), "f4")
    model = LateFusionClassifier([("audio", AudioSceneClassifier(segment_frames=0))], "mean")
    with pytest.raises(InvalidParameterError, match="'segment_frames' parameter of AudioScene"):
        model.fit(X, np.arange(8) % 2)


@pytest.mark.parametrize("final_estimator", RULES, ids=str)
def test_a_class_that_was_never_filmed_is_heard_on_film(final_estimator):
    X, y, groups = draw_clips(240, seed=1, sound=1.5, picture=0.6)
    X_test, y_test, _ = draw_clips(400, seed=2, sound=1.5, picture=0.6)
    park = y_test == "park"
    X["visual"][y == "park"] = np.nan
    model = fusion(final_estimator).fit(X, y, groups=groups)
    probabilities = model.predict_proba(X_test)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    found = model.classes_[probabilities.argmax(axis=1)] == y_test
    # Sound alone finds nearly all of them; the picture, which knows none, must not rule them out.
    assert found[park].mean() > 0.8
    assert found[~park].mean() > 0.8
    silent = X_test.copy()
    silent["audio"] = np.nan
    column = model.classes_.tolist().index("park")
    # Of a picture alone nothing is known about parks, but that there are some.
    np.testing.assert_allclose(
        model.predict_proba(silent)[:, column], model.class_prior_[column], rtol=1e-6
    )


def test_a_class_without_a_set_of_modalities_gets_the_mean_of_those_that_know_it():
    # Class 2 was heard, and never filmed: clips of 0 and 1 have both.
    known = KnownClasses(
        np.array([0, 1, 2]),
        np.array([[True, True], [True, True], [True, False]]),
        np.array([0.25, 0.25, 0.5]),
    )
    assert known.by_branch().tolist() == [[True, True, True], [True, True, False]]
    branches = np.array([[[0.1, 0.1, 0.8], [0.7, 0.3, 0.0]]])
    fused = np.array([[0.6, 0.4, 0.0]])
    # Means 0.4, 0.2 and 0.8, whose share is 4/7; the rest is the rule's.
    expected = [[0.6 * 3 / 7, 0.4 * 3 / 7, 4 / 7]]
    for fixed in (False, True):
        found = known.complete(fused, branches, (0, 1), fixed=fixed)
        np.testing.assert_allclose(found, expected)
    sound = np.array([[0.1, 0.1, 0.8]])
    assert known.complete(sound, branches[:, :1], (0,), fixed=False) is sound

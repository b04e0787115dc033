"""LateFusionClassifier as a scikit-learn estimator."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    StratifiedGroupKFold,
    cross_val_score,
    cross_validate,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils import estimator_html_repr
from sklearn.utils._param_validation import InvalidParameterError
from sklearn.utils.estimator_checks import parametrize_with_checks

from skavsc import LateFusionClassifier, ModalityUnion

from .conftest import VISUAL_SHAPE, ArrayReader, Flatten, draw_clips


def fusion(final_estimator=None, **options):
    return LateFusionClassifier(
        [
            ("audio", make_pipeline(Flatten(), LogisticRegression())),
            ("visual", LogisticRegression()),
        ],
        final_estimator,
        **{"cv": 3, **options},
    )


def _two(final_estimator=None, **options):
    return LateFusionClassifier(
        [("audio", LogisticRegression()), ("visual", LogisticRegression(C=0.1))],
        final_estimator,
        cv=2,
        **options,
    )


@parametrize_with_checks(
    [_two(), _two(GaussianNB(), calibration="temperature", missing="prior", random_state=0)]
)
def test_sklearn_contract(estimator, check):
    check(estimator)


def test_fusion_beats_the_better_branch():
    X, y, groups = draw_clips(240, seed=1, sound=0.45, picture=0.55)
    X_test, y_test, _ = draw_clips(1000, seed=2, sound=0.45, picture=0.55)
    model = fusion().fit(X, y, groups=groups)
    alone = [branch.score(X_test[name], y_test) for name, branch in model.named_estimators_.items()]
    assert model.score(X_test, y_test) > max(alone) + 0.05


@pytest.mark.parametrize("seed", range(4))
def test_on_few_clips_it_does_not_fall_below_the_better_branch(seed):
    X, y, groups = draw_clips(40, seed=seed, sound=0.1, picture=0.9)
    X_test, y_test, _ = draw_clips(1000, seed=seed + 10, sound=0.1, picture=0.9)
    model = fusion().fit(X, y, groups=groups)
    picture = model.named_estimators_["visual"].score(X_test["visual"], y_test)
    assert model.score(X_test, y_test) > picture - 0.015


@pytest.mark.parametrize("dtype", ["U8", object, np.int64, np.bool_, "category", "string"])
def test_labels_come_back_as_they_were_given(dtype):
    X, y, _ = draw_clips(60)
    if dtype in (np.int64, np.bool_):
        labels = np.searchsorted(np.unique(y), y).astype(dtype)
    else:
        labels = pd.Series(y, dtype=dtype) if dtype in ("category", "string") else y.astype(dtype)
    model = fusion().fit(X, labels)
    predicted = model.predict(X)
    assert set(predicted) <= set(labels)
    assert model.classes_.tolist() == sorted(set(labels))
    assert predicted.dtype.kind == model.classes_.dtype.kind
    assert model.score(X, labels) > 0.7


@pytest.mark.parametrize("final_estimator", [None, "mean", "product", "confidence", GaussianNB()])
def test_two_classes(final_estimator):
    X, y, groups = draw_clips(60, n_classes=2)
    model = fusion(final_estimator, calibration="temperature").fit(X, y, groups=groups)
    assert model.predict_proba(X).shape == (60, 2)
    assert model.modality_importances_.shape == (2, 2)
    assert model.score(X, y) > 0.9


def _with(values, index, value):
    values = np.array(values, dtype=object)
    values[index] = value
    return values


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda y, g: (np.repeat("bus", 60), g), r"one class only \(\['bus'\]\)"),
        (lambda y, g: (_with(y, 3, None), g), r"y has no label .* in rows \[3\]"),
        (lambda y, g: (_with(y, 3, np.nan), g), r"y has no label .* in rows \[3\]"),
        (lambda y, g: (np.where(y == "bus", np.nan, 1.0), g), r"y has no label .* in all\]"),
        (lambda y, g: (y[:-1], g), "y has 59 labels for 60 clips"),
        (lambda y, g: (y, g[:-2]), "groups has 58 values for 60 clips"),
        (lambda y, g: (y, _with(g, 7, None)), r"groups has no value .* in rows \[7\]"),
        (lambda y, g: (np.linspace(0, 1, 60), g), "continuous"),
    ],
)
def test_unusable_labels_and_groups_are_explained(change, message):
    X, y, groups = draw_clips(60)
    labels, places = change(y, groups)
    with pytest.raises(ValueError, match=message):
        fusion().fit(X, labels, groups=places)


def test_weights_that_are_none_are_refused():
    X, y, _ = draw_clips(60)
    with pytest.raises(ValueError, match=r"[Nn]egative"):
        fusion().fit(X, y, sample_weight=-np.ones(60))
    with pytest.raises(ValueError, match="zero"):
        fusion().fit(X, y, sample_weight=np.zeros(60))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("final_estimator", "median"),
        ("final_estimator", LinearRegression()),
        ("cv", "all"),
        ("stack_method", "score"),
        ("calibration", "isotonic"),
        ("missing", "ignore"),
        ("n_jobs", "two"),
        ("verbose", -1),
    ],
)
def test_unknown_parameter_values_are_named(name, value):
    X, y, _ = draw_clips(60)
    with pytest.raises(InvalidParameterError, match=f"'{name}' parameter"):
        fusion().set_params(**{name: value}).fit(X, y)


@pytest.mark.parametrize(
    ("estimators", "message"),
    [
        ([], "non-empty list"),
        ([("visual", LinearRegression())], "should be a classifier"),
        ([("visual", "drop")], "All estimators are dropped"),
        ([("cv", LogisticRegression())], "conflict"),
        ([("a", LogisticRegression()), ("a", LogisticRegression())], "not unique"),
    ],
)
def test_unusable_branches_are_explained(estimators, message):
    X, y, _ = draw_clips(60)
    with pytest.raises(ValueError, match=message):
        LateFusionClassifier(estimators).fit(X, y)


def test_prefit_branches_are_used_as_they_are():
    X, y, _ = draw_clips(200)
    audio = make_pipeline(Flatten(), LogisticRegression()).fit(X["audio"][:100], y[:100])
    visual = LogisticRegression().fit(X["visual"][:100], y[:100])
    model = LateFusionClassifier([("audio", audio), ("visual", visual)], cv="prefit")
    model.fit(X[100:], y[100:])
    assert model.estimators_[0] is audio
    assert model.estimators_[1] is visual
    np.testing.assert_allclose(
        model.transform(X)[:, 4:], visual.predict_proba(X["visual"]), rtol=1e-5
    )
    assert model.score(X[100:], y[100:]) > visual.score(X["visual"][100:], y[100:])


def test_prefit_branches_that_do_not_fit_are_named():
    X, y, _ = draw_clips(60)
    branch = make_pipeline(Flatten(), LogisticRegression())
    model = LateFusionClassifier([("audio", branch)], cv="prefit")
    with pytest.raises(NotFittedError, match=r"'audio'.*not fitted.*cv='prefit'"):
        model.fit(X, y)
    branch.fit(X["audio"][y != "bus"], y[y != "bus"])
    with pytest.raises(ValueError, match=r"'audio' knows the classes .*must be the same"):
        model.fit(X, y)


def test_drop_leaves_a_branch_out():
    X, y, _ = draw_clips(60)
    model = fusion().set_params(audio="drop").fit(X, y)
    assert list(model.named_estimators_) == ["visual"]
    np.testing.assert_array_equal(
        model.predict(X), LogisticRegression().fit(X["visual"], y).predict(X["visual"])
    )


def test_clone_and_pickle_give_equal_probabilities():
    X, y, groups = draw_clips(60)
    model = fusion(RandomForestClassifier(5, random_state=0), calibration="temperature")
    expected = model.fit(X, y, groups=groups).predict_proba(X)
    again = clone(model).fit(X, y, groups=groups)
    np.testing.assert_allclose(again.predict_proba(X), expected)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict_proba(X), expected)


def test_fit_leaves_the_given_branches_unfitted():
    X, y, _ = draw_clips(60)
    branch = make_pipeline(Flatten(), LogisticRegression())
    model = LateFusionClassifier([("audio", branch)], cv=2).fit(X, y)
    assert not hasattr(branch[-1], "coef_")
    assert hasattr(model.estimators_[0][-1], "coef_")


def test_random_state_decides_the_folds():
    X, y, _ = draw_clips(60)
    first, same, other = (
        fusion(random_state=seed).fit(X, y).predict_proba(X) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


def test_search_over_a_branch_and_the_rule():
    X, y, _ = draw_clips(80)
    grid = {
        "visual__C": [1e-6, 1.0],
        "audio__logisticregression__C": [1e-6, 1.0],
        "final_estimator": ["mean", "product"],
    }
    search = GridSearchCV(fusion(), grid, cv=3, scoring="neg_log_loss").fit(X, y)
    assert search.best_params_["visual__C"] == 1.0
    assert search.best_params_["audio__logisticregression__C"] == 1.0


def test_cross_validation_with_groups():
    X, y, groups = draw_clips(120)
    scores = cross_val_score(
        fusion(), X, y, groups=groups, cv=StratifiedGroupKFold(3), params={"groups": groups}
    )
    assert scores.min() > 0.6


def test_metadata_routing_hands_groups_to_folds_and_branches():
    X, y, groups = draw_clips(120)
    weight = np.linspace(0.5, 1.5, 120)
    # Without groups this inner splitter raises: they arrive without being asked for twice.
    with config_context(enable_metadata_routing=True):
        model = (
            LateFusionClassifier(
                [
                    (
                        "audio",
                        make_pipeline(
                            Flatten(), LogisticRegression().set_fit_request(sample_weight=True)
                        ),
                    ),
                    ("visual", LogisticRegression().set_fit_request(sample_weight=False)),
                ],
                cv=GroupKFold(3),
            )
            .set_fit_request(sample_weight=True)
            .set_score_request(sample_weight=False)
        )
        found = cross_validate(
            model,
            X,
            y,
            cv=GroupKFold(3),
            error_score="raise",
            return_estimator=True,
            params={"groups": groups, "sample_weight": weight},
            return_indices=True,
        )
        assert found["test_score"].min() > 0.6
        fitted, train = found["estimator"][0], found["indices"]["train"][0]
        with pytest.raises(ValueError, match=r"sample_weight.*not explicitly set"):
            clone(model).set_params(visual=LogisticRegression()).fit(X, y, sample_weight=weight)
    flat = X["audio"][train].reshape(len(train), -1)
    expected = LogisticRegression().fit(flat, y[train], weight[train])
    np.testing.assert_allclose(fitted.estimators_[0][-1].coef_, expected.coef_, atol=1e-3)
    unweighted = LogisticRegression().fit(X["visual"][train], y[train])
    np.testing.assert_allclose(fitted.estimators_[1].coef_, unweighted.coef_, atol=1e-3)


def test_in_a_pipeline_behind_the_union(clip_table):
    table, y, groups = clip_table
    union = ModalityUnion(
        [("audio", ArrayReader()), ("visual", ArrayReader("video", VISUAL_SHAPE))]
    )
    model = Pipeline([("features", union), ("fusion", fusion(cv=2))])
    scores = cross_val_score(
        model,
        table,
        y,
        groups=groups,
        cv=StratifiedGroupKFold(2),
        params={"fusion__groups": groups},
    )
    assert scores.min() > 0.5


def test_named_rules_without_calibration_need_no_inner_folds():
    X, y, groups = draw_clips(40)
    in_one = np.where(y == "bus", -1, groups)
    for name in ("mean", "product"):
        model = fusion(name).fit(X, y, groups=in_one)
        np.testing.assert_allclose(model.modality_importances_, 0.5)
    with pytest.raises(ValueError, match="'bus' are in one group"):
        fusion("mean", calibration="temperature").fit(X, y, groups=in_one)
    found = model.transform(X).reshape(40, 2, 4)
    product = found.prod(axis=1)
    np.testing.assert_allclose(
        model.predict_proba(X), product / product.sum(axis=1, keepdims=True), rtol=0.05, atol=1e-3
    )


def test_temperatures_flatten_branches_that_are_too_sure():
    X, y, groups = draw_clips(80, picture=0.3)
    model = fusion("mean", calibration="temperature")
    model.set_params(visual=LogisticRegression(C=1e6)).fit(X, y, groups=groups)
    assert model.temperatures_[1] > 1.2
    raw = model.named_estimators_["visual"].predict_proba(X["visual"])
    assert model.transform(X)[:, 4:].max() < raw.max()
    np.testing.assert_array_equal(fusion().fit(X, y).temperatures_, 1)


@pytest.mark.parametrize("final_estimator", [None, "confidence", LogisticRegression()])
def test_importances_show_the_modality_that_tells(final_estimator):
    X, y, groups = draw_clips(200, sound=0.0, picture=0.8)
    model = fusion(final_estimator).fit(X, y, groups=groups)
    importances = model.modality_importances_
    assert importances.shape == (4, 2)
    np.testing.assert_allclose(importances.sum(axis=1), 1)
    assert (importances[:, 1] > 0.6).all()


def test_transform_names_its_columns():
    X, y, _ = draw_clips(60)
    model = fusion().fit(X, y)
    names = model.get_feature_names_out()
    assert model.transform(X).shape == (60, len(names))
    assert names[:2].tolist() == ["audio_bus", "audio_metro"]


def test_features_in_are_those_of_the_first_branch():
    X, y, _ = draw_clips(60)
    assert not hasattr(fusion(), "n_features_in_")
    assert _two().fit(X["visual"], y).n_features_in_ == 6
    with pytest.raises(ValueError, match="expecting 6 features"):
        _two().fit(X["visual"], y).predict(X["visual"][:, :5])


def test_html_shows_branches_and_rule():
    html = estimator_html_repr(fusion("confidence"))
    assert "sk-parallel" in html
    for text in ("audio", "visual", "Flatten", "LogisticRegression", "confidence"):
        assert text in html
    assert "softmax layer" in estimator_html_repr(fusion())
    assert "GaussianNB" in estimator_html_repr(fusion(GaussianNB()))

"""Out-of-fold probabilities: folds, groups, alignment, and features computed once."""

from typing import ClassVar

import numpy as np
import pytest
from joblib import parallel_config
from sklearn import config_context, get_config
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import BaggingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    LeaveOneGroupOut,
    PredefinedSplit,
    ShuffleSplit,
    StratifiedKFold,
    cross_val_predict,
)
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import LinearSVC

from skavsc import LateFusionClassifier, ModalityUnion
from skavsc.exceptions import MissingModalityError
from skavsc.fusion._folds import inner_folds
from skavsc.fusion._inputs import BranchInput
from skavsc.fusion._stacking import branch_probabilities, fit_branches

from .conftest import VISUAL_SHAPE, ArrayReader, Flatten, draw_clips


class Recorder(ClassifierMixin, BaseEstimator):
    """A logistic regression that keeps what its fits were given."""

    fits: ClassVar[list] = []

    def fit(self, X, y, groups=None, sample_weight=None):
        type(self).fits.append(
            {"n": len(X), "groups": groups, "sample_weight": sample_weight, "y": y}
        )
        self.model_ = LogisticRegression().fit(X, y, sample_weight=sample_weight)
        self.classes_ = self.model_.classes_
        return self

    def predict_proba(self, X):
        return self.model_.predict_proba(X)

    def predict(self, X):
        return self.model_.predict(X)


@pytest.fixture
def fits():
    Recorder.fits.clear()
    return Recorder.fits


def flat(classifier):
    return make_pipeline(Flatten(), classifier)


def branches(classifier=None):
    classifier = LogisticRegression() if classifier is None else classifier
    return [("audio", flat(classifier)), ("visual", classifier)]


def test_number_of_folds_with_groups_keeps_them_together(clips):
    _, y, groups = clips
    for train, test in inner_folds(5, y, groups, None):
        assert not set(groups[train]) & set(groups[test])
        assert set(y[train]) == set(y)


def test_random_state_shuffles(clips):
    _, y, _ = clips
    plain, again = inner_folds(5, y, None, None), inner_folds(5, y, None, None)
    shuffled, same = inner_folds(5, y, None, 0), inner_folds(5, y, None, 0)
    np.testing.assert_array_equal(plain[0][1], again[0][1])
    np.testing.assert_array_equal(shuffled[0][1], same[0][1])
    assert not np.array_equal(plain[0][1], shuffled[0][1])


@pytest.mark.parametrize("cv", [StratifiedKFold(3), PredefinedSplit(np.arange(120) % 4)])
def test_splitters_are_taken_as_they_are(clips, cv):
    _, y, _ = clips
    for (train, test), (train_given, test_given) in zip(
        inner_folds(cv, y, None, 0), cv.split(y, y), strict=True
    ):
        np.testing.assert_array_equal(train, train_given)
        np.testing.assert_array_equal(test, test_given)


def test_impossible_folds_are_explained(clips):
    _, y, groups = clips
    with pytest.raises(ValueError, match=r"cv=25.*only 20 different values"):
        inner_folds(25, y, np.arange(120) // 6, None)
    in_one = np.where(y == "bus", -1, groups)
    with pytest.raises(ValueError, match=r"cv=5.*'bus' are in one group.*leave"):
        inner_folds(5, y, in_one, None)
    with pytest.raises(ValueError, match=r"cv=31.*largest class has only 30"):
        inner_folds(31, y, None, None)
    with pytest.raises(ValueError, match=r"cv=31.*largest class has only 30"):
        inner_folds(31, y, groups, None)
    lonely = y.copy().astype("U6")
    lonely[0] = "lonely"
    with pytest.raises(ValueError, match=r"cv=3.*'lonely' has 1 clip"):
        inner_folds(3, lonely, None, None)
    with pytest.raises(ValueError, match="exactly once"):
        inner_folds(ShuffleSplit(3), y, None, None)


def test_fusion_passes_impossible_folds_on(clips):
    X, y, groups = clips
    with pytest.raises(ValueError, match="'bus' are in one group"):
        LateFusionClassifier(branches()).fit(X, y, groups=np.where(y == "bus", -1, groups))
    # It is said before any features are computed.
    assert not Flatten.rows_seen


def test_out_of_fold_probabilities_equal_cross_val_predict(clips):
    X, y, groups = clips
    folds = inner_folds(4, y, groups, 0)
    model = LogisticRegression()
    inputs = [BranchInput("visual", X["visual"], np.arange(len(X)))]
    fitted, found = fit_branches(
        inputs, [model], y, [{}], folds, stack_method="predict_proba", n_jobs=None, verbose=0
    )
    expected = cross_val_predict(model, X["visual"], y, cv=folds, method="predict_proba")
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-6)
    assert not hasattr(model, "coef_")
    whole = model.fit(X["visual"], y)
    np.testing.assert_allclose(fitted[0].coef_, whole.coef_, rtol=1e-6)


def test_a_class_absent_from_a_fold_gets_zero_there(clips):
    X, y, _ = clips
    # The first fold tests every bus: its branch has never seen one.
    folds = PredefinedSplit(np.where(y == "bus", 0, np.arange(120) % 3))
    inputs = [BranchInput("visual", X["visual"], np.arange(len(X)))]
    _, found = fit_branches(
        inputs,
        [LogisticRegression()],
        y,
        [{}],
        list(folds.split()),
        stack_method="predict_proba",
        n_jobs=None,
        verbose=0,
    )
    first = folds.test_fold == 0
    assert (found[first, 0, 0] == 0).all()
    assert (found[~first, 0, 0] > 0).all()
    np.testing.assert_allclose(found.sum(axis=2), 1)
    model = LateFusionClassifier(branches(), cv=folds).fit(X, y)
    assert model.predict_proba(X).shape == (120, 4)
    assert np.isfinite(model.predict_proba(X)).all()


def test_no_group_is_in_both_parts_of_an_inner_fold(clips, fits):
    X, y, groups = clips
    LateFusionClassifier([("visual", Recorder())], cv=3).fit(X, y, groups=groups)
    assert len(fits) == 4
    for record in fits:
        inside = np.isin(groups, record["groups"])
        assert inside.sum() == record["n"]


@pytest.mark.parametrize("cv", [LeaveOneGroupOut(), GroupKFold(3)])
def test_splitters_that_need_groups_get_them(cv, fits):
    X, y, groups = draw_clips(32)
    LateFusionClassifier([("visual", Recorder())], cv=cv).fit(X, y, groups=groups)
    expected = 1 + cv.get_n_splits(X, y, groups)
    # A group is of one class here, so that every fold lacks none or all of it.
    assert len(fits) == expected


def test_weights_and_groups_go_where_they_are_taken(clips, fits):
    X, y, groups = clips
    weight = np.linspace(0.5, 2, len(y))
    search = GridSearchCV(Recorder(), {}, cv=GroupKFold(2))
    model = LateFusionClassifier(
        [
            ("visual", Recorder()),
            (
                "audio",
                Pipeline([("flat", Flatten()), ("scale", StandardScaler()), ("c", Recorder())]),
            ),
            ("search", Pipeline([("field", FunctionTransformer(_picture)), ("c", search)])),
            (
                "plain",
                Pipeline([("field", FunctionTransformer(_picture)), ("c", NearestCentroid())]),
            ),
        ],
        cv=2,
        stack_method="auto",
    )
    model.fit(X, y, groups=groups, sample_weight=weight)
    weighted = [record for record in fits if record["groups"] is not None]
    # Two branches of three fits each, and a search of two folds and a refit in each of three fits.
    assert len(weighted) == 6 + 3 * (2 + 1)
    for record in weighted:
        np.testing.assert_array_equal(
            weight[np.isin(groups, record["groups"])], record["sample_weight"]
        )
    assert len(fits) == len(weighted)


def _picture(X):
    return X["visual"]


def test_sample_weight_reaches_the_meta_model(clips):
    X, y, _ = clips
    weight = np.where(y == "bus", 100.0, 1.0)
    plain = LateFusionClassifier(branches(NearestCentroid()), cv=3, stack_method="predict")
    even = plain.fit(X, y).predict_proba(X)[:, 0].mean()
    assert plain.fit(X, y, sample_weight=weight).predict_proba(X)[:, 0].mean() > even + 0.05
    assert plain.class_prior_[0] > 0.9


def test_features_are_computed_once_a_clip(clip_table):
    table, y, groups = clip_table
    model = LateFusionClassifier(
        [
            ("sound", make_pipeline(ArrayReader(), StandardScaler(), LogisticRegression())),
            ("sound2", make_pipeline(ArrayReader(), LogisticRegression())),
            ("picture", make_pipeline(ArrayReader("video", VISUAL_SHAPE), LogisticRegression())),
        ],
        cv=4,
    )
    model.fit(table, y, groups=groups)
    assert len(ArrayReader.files_read) == 2 * len(table)
    assert set(ArrayReader.files_read.values()) == {1}
    model.predict(table)
    assert set(ArrayReader.files_read.values()) == {2}
    assert model.score(table, y) > 0.8


def test_lambdas_are_no_shared_steps_but_work(clips):
    X, y, _ = clips
    model = LateFusionClassifier(
        [
            (
                "early",
                make_pipeline(FunctionTransformer(lambda X: X["visual"]), LogisticRegression()),
            ),
            (
                "late",
                make_pipeline(FunctionTransformer(lambda X: -X["visual"]), LogisticRegression()),
            ),
        ],
        cv=2,
    )
    found = model.fit(X, y).transform(X[:5])
    first, second = model.estimators_
    np.testing.assert_allclose(first[-1].coef_, -second[-1].coef_, atol=1e-3)
    np.testing.assert_allclose(found[:, :4], found[:, 4:], atol=1e-4)


def test_steps_that_learn_are_fitted_in_each_fold(clips):
    X, y, _ = clips
    model = LateFusionClassifier(
        [
            (
                "visual",
                make_pipeline(
                    Flatten("before"), StandardScaler(), Flatten("after"), LogisticRegression()
                ),
            )
        ],
        cv=4,
    ).fit(X, y)
    assert Flatten.rows_seen["before"] == 120
    # Three quarters to train and one quarter to test, four times, and all clips at the end.
    assert Flatten.rows_seen["after"] == 4 * 120 + 120
    scaler = model.named_estimators_["visual"]["standardscaler"]
    np.testing.assert_allclose(scaler.mean_, X["visual"].mean(axis=0), rtol=1e-3, atol=1e-4)


def test_a_cached_pipeline_is_fitted_too(clips, tmp_path):
    X, y, _ = clips
    steps = [("flat", Flatten()), ("scale", StandardScaler()), ("c", LogisticRegression())]
    cached = LateFusionClassifier([("audio", Pipeline(steps, memory=str(tmp_path)))], cv=2)
    plain = LateFusionClassifier([("audio", Pipeline(steps))], cv=2)
    np.testing.assert_allclose(cached.fit(X, y).predict_proba(X), plain.fit(X, y).predict_proba(X))
    # The fitted branch can be used alone.
    assert cached.named_estimators_["audio"].predict(X["audio"]).shape == (120,)


def test_a_branch_named_otherwise_gets_every_field(clips):
    X, y, _ = clips
    model = LateFusionClassifier(
        [*branches(), ("early", make_pipeline(FunctionTransformer(_joined), LogisticRegression()))],
        cv=3,
    ).fit(X, y)
    assert model.modality_importances_.shape == (4, 3)
    assert model.named_estimators_["early"][-1].n_features_in_ == 18


def _joined(X):
    return np.hstack([X["audio"].reshape(len(X), -1), X["visual"]])


def test_a_union_inside_a_branch(clip_table):
    table, y, _ = clip_table
    union = ModalityUnion(
        [("audio", ArrayReader()), ("visual", ArrayReader("video", VISUAL_SHAPE))]
    )
    model = LateFusionClassifier(
        [("early", make_pipeline(union, FunctionTransformer(_joined), LogisticRegression()))], cv=2
    ).fit(table, y)
    assert set(ArrayReader.files_read.values()) == {1}
    assert model.score(table, y) > 0.9


@pytest.mark.parametrize("stack_method", ["decision_function", "predict", "auto"])
def test_scores_and_labels_become_probabilities(clips, stack_method):
    X, y, _ = clips
    fitted = LinearSVC().fit(X["visual"], y)
    classes = np.array(["bus", "metro", "none", "park", "tram"])
    found = branch_probabilities("visual", fitted, X["visual"], stack_method, classes)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert (found[:, 2] == 0).all()
    np.testing.assert_array_equal(classes[found.argmax(axis=1)], fitted.predict(X["visual"]))
    model = LateFusionClassifier([("visual", LinearSVC())], stack_method=stack_method, cv=2)
    assert model.fit(X, y).score(X, y) > 0.6


def test_scores_of_two_classes(clips):
    X, y, _ = clips
    fitted = LinearSVC().fit(X["visual"], y == "bus")
    found = branch_probabilities(
        "visual", fitted, X["visual"], "decision_function", np.array([False, True])
    )
    np.testing.assert_array_equal(found[:, 1] > 0.5, fitted.predict(X["visual"]))


def test_a_branch_without_the_method_is_named(clips):
    X, y, _ = clips
    model = LateFusionClassifier([("visual", LinearSVC())])
    with pytest.raises(ValueError, match=r"'visual'.*LinearSVC.*'predict_proba'.*stack_method"):
        model.fit(X, y)


def test_n_jobs_and_progress_give_the_same(clips, capfd):
    X, y, _ = clips
    audio = X["audio"].reshape(len(X), -1)
    model = LateFusionClassifier(
        [("a", LogisticRegression()), ("b", LogisticRegression(C=0.1))], cv=2
    )
    expected = model.fit(audio, y).predict_proba(audio)
    assert capfd.readouterr().err == ""
    model.set_params(n_jobs=2, verbose=1)
    with parallel_config("threading"):
        np.testing.assert_allclose(model.fit(audio, y).predict_proba(audio), expected)
    assert "6 out of   6" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("n_clips", "note", "n_jobs"),
    [
        (60, "to all 60 clips that it has", None),
        (120, "to the 80 clips of an inner fold's", None),
        (60, "to ", 2),
    ],
)
def test_an_error_names_the_branch_that_it_comes_from(n_clips, note, n_jobs):
    X, y, _ = draw_clips(n_clips)
    # 120 clips are 30 a class, and 20 in the training part of a third.
    needs_25_a_class = CalibratedClassifierCV(LogisticRegression(), cv=25)
    fusion = LateFusionClassifier([("visual", needs_25_a_class)], cv=3, n_jobs=n_jobs)
    with pytest.raises(ValueError, match="25-fold") as caught:
        fusion.fit(X, y)
    assert caught.value.__notes__[0].startswith("This is branch 'visual' of the fusion")
    # Of fits at the same time any may fail first.
    assert note in caught.value.__notes__[0]


def test_an_error_in_prediction_names_the_branch(clips):
    X, y, _ = clips
    fusion = LateFusionClassifier([("visual", LogisticRegression())], cv=2).fit(X, y)
    broken = X.copy()
    broken["visual"][3, 0] = np.nan
    with pytest.raises(ValueError, match="contains NaN") as caught:
        fusion.predict(broken)
    assert caught.value.__notes__[0] == (
        "This is branch 'visual' of the fusion, predicting 120 clips."
    )


def test_a_misspelt_branch_is_told_that_it_gets_all_fields(clips):
    X, y, _ = clips
    with pytest.raises(TypeError) as caught:
        LateFusionClassifier([("vidual", LogisticRegression())], cv=2).fit(X, y)
    assert "None of the fields ['audio', 'visual'] is called so" in caught.value.__notes__[0]


def test_the_field_of_a_branch_must_be_there_to_predict(clips):
    X, y, _ = clips
    fusion = LateFusionClassifier([("visual", LogisticRegression())], cv=2).fit(X, y)
    with pytest.raises(ValueError, match=r"field 'visual' of X, which now has only \['audio'\]"):
        fusion.predict(X[["audio"]])
    with pytest.raises(ValueError, match=r"field 'visual' of X, which now has no fields"):
        fusion.predict_proba(X["visual"])


def test_a_class_is_no_final_estimator(clips):
    X, y, _ = clips
    fusion = LateFusionClassifier([("visual", LogisticRegression())], LogisticRegression)
    with pytest.raises(TypeError, match=r"is a class; give a classifier, LogisticRegression\(\)"):
        fusion.fit(X, y)


class NotesConfiguration(LogisticRegression):
    """Notes the configuration of scikit-learn under which it is fitted."""

    def fit(self, X, y):
        self.config_ = get_config()
        return super().fit(X, y)


def test_workers_have_the_configuration_of_scikit_learn(clips):
    X, y, _ = clips
    branch = NotesConfiguration()
    fusion = LateFusionClassifier([("visual", branch), ("again", branch)], "mean", n_jobs=2)
    with parallel_config("threading"), config_context(enable_metadata_routing=True):
        fitted = fusion.fit(X["visual"], y).estimators_
    assert [part.config_["enable_metadata_routing"] for part in fitted] == [True, True]


def test_a_backend_without_generators_gives_the_same(clips):
    X, y, _ = clips
    fusion = LateFusionClassifier([("visual", LogisticRegression())], cv=2)
    expected = fusion.fit(X, y).predict_proba(X)
    with parallel_config("multiprocessing", n_jobs=2):
        np.testing.assert_allclose(fusion.fit(X, y).predict_proba(X), expected)


@pytest.mark.parametrize("final_estimator", [None, "confidence", LogisticRegression(), "mean"])
@pytest.mark.parametrize("cv", [3, GroupKFold(2), "rows", "masks"], ids=str)
def test_weight_zero_is_the_same_as_absent(final_estimator, cv):
    X, y, groups = draw_clips(96)
    y = y.astype("U5")
    y[:5], groups[:5] = "zoo", 99  # a class and a location of weight 0 only
    X["visual"][:20] = np.nan
    X["audio"][3] = np.nan  # one of them has nothing at all
    rng = np.random.default_rng(0)
    weight = rng.uniform(0.5, 2, 96) * (rng.random(96) > 0.3)
    weight[:5] = 0
    kept = np.flatnonzero(weight)
    whole = part = cv
    if cv == "rows":
        number = np.arange(96) // 4 % 3
        whole, part = PredefinedSplit(number), PredefinedSplit(number[kept])
        groups = None
    if cv == "masks":
        number = np.arange(96) // 4 % 3
        whole = [(number != fold, number == fold) for fold in range(3)]
        part = [(train[kept], test[kept]) for train, test in whole]
    model = LateFusionClassifier(branches(), final_estimator, calibration="temperature")
    found = clone(model).set_params(cv=whole).fit(X, y, groups=groups, sample_weight=weight)
    expected = clone(model).set_params(cv=part)
    part_of_groups = None if groups is None else groups[kept]
    expected.fit(X[kept], y[kept], groups=part_of_groups, sample_weight=weight[kept])
    np.testing.assert_array_equal(found.classes_, expected.classes_)
    np.testing.assert_array_equal(found.class_prior_, expected.class_prior_)
    np.testing.assert_array_equal(found.temperatures_, expected.temperatures_)
    np.testing.assert_array_equal(found.modality_importances_, expected.modality_importances_)
    np.testing.assert_array_equal(found.predict_proba(X[kept]), expected.predict_proba(X[kept]))


def test_rows_are_named_as_they_were_given(clips):
    X, y, _ = clips
    for name in ("audio", "visual"):
        X[name][[2, 7]] = np.nan
    weight = np.ones(120)
    weight[:4] = 0
    with pytest.raises(MissingModalityError, match=r"rows \[7\] have no modality"):
        LateFusionClassifier(branches(), "mean").fit(X, y, sample_weight=weight)
    weight[y != "bus"] = 0
    with pytest.raises(ValueError, match="one class only"):
        LateFusionClassifier(branches(), "mean").fit(X, y, sample_weight=weight)


@pytest.mark.parametrize("inner", ["pipeline", "search"])
def test_a_search_or_pipeline_as_final_estimator_gets_weights(clips, inner):
    X, y, _ = clips
    final = make_pipeline(StandardScaler(), LogisticRegression())
    if inner == "search":
        final = GridSearchCV(final, {"logisticregression__C": [0.1, 1.0]}, cv=2)
    weight = np.where(y == "bus", 1.0, 1e-3)
    model = LateFusionClassifier(branches(), final, cv=2)
    even = model.fit(X, y).predict_proba(X)[:, 0].mean()
    assert model.fit(X, y, sample_weight=weight).predict_proba(X)[:, 0].mean() > even + 0.3
    # Under metadata routing likewise, without being asked for.
    with config_context(enable_metadata_routing=True):
        routed = model.set_params(audio="drop", visual__C=1.0)
        routed.set_params(visual=LogisticRegression().set_fit_request(sample_weight=True))
        routed.set_fit_request(sample_weight=True).fit(X, y, sample_weight=weight)
    assert routed.predict_proba(X)[:, 0].mean() > even + 0.3


def test_structured_arrays_of_two_axes_as_of_bagging(clips):
    X, y, _ = clips
    bagged = BaggingClassifier(LateFusionClassifier(branches(), "mean"), 2, random_state=0)
    assert bagged.fit(X.reshape(-1, 1), y).score(X.reshape(-1, 1), y) > 0.8
    union = ModalityUnion([("visual", FunctionTransformer(_picture))])
    found = union.fit_transform(X.reshape(-1, 1))["visual"]
    np.testing.assert_array_equal(found, X["visual"])

"""Classifiers that predict segments: skavsc's own and others, alone and in wrappers."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import BaggingClassifier, StackingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, TunedThresholdClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skavsc import (
    AudioSceneClassifier,
    LateFusionClassifier,
    SECRNNClassifier,
    VisualSceneClassifier,
)
from skavsc.exceptions import MissingModalityError
from skavsc.fusion import SegmentClassifier

from .conftest import Flatten, SegmentRegression, draw_clips

pytestmark = pytest.mark.usefixtures("all_eagerly")


@pytest.fixture(scope="module")
def clips():
    """Sixteen clips of three seconds, and their labels."""
    rng = np.random.default_rng(0)
    y = np.array(["bus", "park"])[np.arange(16) % 2]
    X = np.zeros(16, dtype=[("audio", "f4", (8, 150, 1)), ("visual", "f4", (15, 6))])
    X["audio"] = rng.normal(-40, 4, size=X["audio"].shape)
    X["visual"] = rng.normal(size=X["visual"].shape)
    return X, y


def fusion(final_estimator="mean", **options):
    return LateFusionClassifier(
        [
            ("audio", AudioSceneClassifier(filters=(4, 4, 4), epochs=1, random_state=0)),
            # The branch is a Pipeline.
            (
                "visual",
                make_pipeline(
                    FunctionTransformer(),
                    VisualSceneClassifier(units=4, epochs=1, random_state=0),
                ),
            ),
        ],
        final_estimator,
        **{"cv": 2, **options},
    )


@pytest.fixture(scope="module")
def fitted(clips):
    return fusion().fit(*clips)


def on_fitted(branches, **options):
    """A learnt rule on the same branches, which are not trained again."""
    return LateFusionClassifier(list(branches.named_estimators_.items()), cv="prefit", **options)


def test_a_segment_is_fused_of_the_modalities_that_it_has(clips, fitted):
    X = clips[0].copy()
    X["audio"][2, :, 70:90] = np.nan  # sound lacks the middle segment,
    X["visual"][3] = np.nan  # a clip its picture,
    X["audio"][4, :, 100:] = X["visual"][4, 10:] = np.nan  # and a segment both.
    found = fitted.predict_proba_segments(X)
    audio = fitted.named_estimators_["audio"].predict_proba_segments(X)
    visual = fitted.named_estimators_["visual"][-1].predict_proba_segments(X)
    assert found.shape == (16, 3, 2)
    expected = (audio + visual) / 2
    expected[2, 1] = visual[2, 1]
    expected[3] = audio[3]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert np.isnan(found[4, 2]).all()
    assert np.isnan(found).sum() == 2


def test_one_segment_is_predicted_as_a_clip_of_one_segment(clips, fitted):
    X, y = clips
    model = on_fitted(fitted, calibration="temperature").fit(X, y)
    seconds = np.zeros(16, dtype=[("audio", "f4", (8, 50, 1)), ("visual", "f4", (5, 6))])
    seconds["audio"], seconds["visual"] = X["audio"][:, :, 50:100], X["visual"][:, 5:10]
    found = model.predict_proba_segments(X)[:, 1]
    np.testing.assert_allclose(found, model.predict_proba(seconds), rtol=1e-4)


def test_a_modality_that_no_clip_has(clips, fitted):
    X = clips[0].copy()
    X["visual"] = np.nan
    audio = fitted.named_estimators_["audio"].predict_proba_segments(X)
    np.testing.assert_allclose(fitted.predict_proba_segments(X), audio, rtol=1e-5)


def test_modalities_that_were_never_seen_together(clips, fitted):
    X, y = clips
    apart = X.copy()
    apart["audio"][np.arange(16) % 4 < 2] = np.nan
    apart["visual"][np.arange(16) % 4 > 1] = np.nan
    model = on_fitted(fitted).fit(apart, y)
    with pytest.raises(MissingModalityError, match="of the 48 segments that are present, rows"):
        model.predict_proba_segments(X)


def test_only_of_branches_that_predict_segments(clips, fitted):
    assert not hasattr(fusion(stack_method="predict"), "predict_proba_segments")
    X, y, _ = draw_clips(40)
    plain = LateFusionClassifier([("audio", make_pipeline(Flatten(), LogisticRegression()))])
    assert not hasattr(plain.fit(X, y), "predict_proba_segments")


def test_clips_without_a_whole_segment_count_as_missing(clips, fitted):
    X = clips[0].copy()
    X["audio"][3, :, 30:] = np.nan
    X["visual"][5, 4:] = np.nan
    X["visual"][6, 6:] = np.nan  # a segment and a bit: enough
    probabilities = fitted.predict_proba(X)
    audio, visual = fitted.named_estimators_["audio"], fitted.named_estimators_["visual"]
    both = np.setdiff1d(np.arange(16), [3, 5])
    np.testing.assert_allclose(probabilities[3], visual.predict_proba(X["visual"][[3]])[0], 1e-4)
    np.testing.assert_allclose(probabilities[5], audio.predict_proba(X["audio"][[5]])[0], 1e-4)
    sum_of_both = audio.predict_proba(X["audio"][both]) + visual.predict_proba(X["visual"][both])
    np.testing.assert_allclose(probabilities[both], sum_of_both / 2, rtol=1e-4)


def test_what_is_a_segment_classifier():
    for classifier in (AudioSceneClassifier(), VisualSceneClassifier(), SECRNNClassifier()):
        assert isinstance(classifier, SegmentClassifier)
    assert [AudioSceneClassifier().modality, SECRNNClassifier().modality] == ["audio", None]
    assert isinstance(SegmentRegression(), SegmentClassifier)
    assert not isinstance(LogisticRegression(), SegmentClassifier)


class Centre(TransformerMixin, BaseEstimator):
    """Subtracts the mean; has to be fitted."""

    def fit(self, X, y):
        assert len(X) == len(y)
        self.mean_ = np.nanmean(X, axis=(0, 1))
        return self

    def transform(self, X):
        return X - self.mean_


def _as_segments(X):
    return X.reshape(len(X), -1, 2)


def _frozen():
    X, y = segments()
    return SegmentRegression().fit(X["audio"], y)


BAGGED = BaggingClassifier(
    make_pipeline(FunctionTransformer(_as_segments), SegmentRegression()), 3, random_state=0
)
WRAPPED = {
    "bare": SegmentRegression,
    "pipeline": lambda: make_pipeline(Centre(), SegmentRegression()),
    "search": lambda: GridSearchCV(SegmentRegression(), {"C": [0.1, 1.0]}, cv=2),
    "search of pipeline": lambda: GridSearchCV(
        make_pipeline(Centre(), SegmentRegression()), {"segmentregression__C": [1.0]}, cv=2
    ),
    "pipeline of search": lambda: make_pipeline(
        Centre(), GridSearchCV(SegmentRegression(), {"C": [1.0]}, scoring="neg_log_loss", cv=2)
    ),
    "calibrated": lambda: CalibratedClassifierCV(SegmentRegression(), cv=2),
    "calibrated pipeline": lambda: CalibratedClassifierCV(
        make_pipeline(Centre(), SegmentRegression()), method="isotonic", ensemble=False, cv=2
    ),
    "bagged": lambda: make_pipeline(Flatten(), BAGGED),
    "threshold": lambda: TunedThresholdClassifierCV(SegmentRegression(), thresholds=5, cv=2),
    "nested": lambda: LateFusionClassifier([("sound", SegmentRegression())], "mean"),
    "frozen": lambda: FrozenEstimator(_frozen()),
    "calibrated frozen": lambda: CalibratedClassifierCV(FrozenEstimator(_frozen())),
}


def segments(n_clips=24):
    """Clips of three segments of two features, of two classes."""
    rng = np.random.default_rng(0)
    y = np.array(["bus", "park"])[np.arange(n_clips) % 2]
    X = np.zeros(n_clips, dtype=[("audio", "f4", (3, 2)), ("other", "f4", (2,))])
    X["audio"] = rng.normal(size=X["audio"].shape) + (y == "bus")[:, None, None]
    X["other"] = rng.normal(size=X["other"].shape)
    return X, y


@pytest.mark.parametrize("kind", WRAPPED)
def test_a_wrapped_classifier_is_treated_as_the_classifier(kind):
    X, y = segments()
    X["audio"][3, :, 0] = np.nan  # no segment is whole
    X["audio"][4, 1] = np.nan  # one is not
    # It gets the field of its modality, whatever the branch's name.
    branch = LateFusionClassifier([("sound", WRAPPED[kind]())], "mean", missing="prior")
    with pytest.warns(match="1 of 24"):
        branch.fit(X, y)
    found = branch.predict_proba_segments(X)
    assert found.shape == (24, 3, 2)
    assert np.argwhere(np.isnan(found[..., 0])).tolist() == [[3, 0], [3, 1], [3, 2], [4, 1]]
    # A clip of one segment is predicted as the segment is.
    for segment in range(3):
        alone = X.copy()
        alone["audio"] = X["audio"][:, [segment]]
        rows = np.flatnonzero(~np.isnan(found[:, segment, 0]))
        expected = branch.predict_proba(alone[rows])
        np.testing.assert_allclose(found[rows, segment], expected, atol=1e-6)
    # The short clip is predicted by the other branch.
    both = [("sound", WRAPPED[kind]()), ("other", LogisticRegression())]
    fusion = LateFusionClassifier(both, cv=2).fit(X, y)
    other = fusion.named_estimators_["other"].predict_proba(X["other"][[3]])
    np.testing.assert_allclose(fusion.transform(X[[3]]), np.c_[np.full((1, 2), np.nan), other])
    assert not hasattr(fusion, "predict_proba_segments")


@pytest.mark.parametrize("kind", [kind for kind in WRAPPED if "frozen" not in kind])
def test_groups_and_weights_reach_a_wrapped_classifier(kind):
    X, y = segments()
    fusion = LateFusionClassifier([("audio", WRAPPED[kind]())], cv=2)
    fusion.fit(X, y, groups=np.arange(24) // 2, sample_weight=np.linspace(1, 2, 24))
    assert set(SegmentRegression.fits) == {(True, True)}
    # Weights count: those of one class nearly vanish.
    even = fusion.predict_proba(X)[:, 0].mean()
    uneven = fusion.fit(X, y, sample_weight=np.where(y == "bus", 1, 1e-3)).predict_proba(X)
    assert uneven[:, 0].mean() > even + 0.1


class Votes(ClassifierMixin, BaseEstimator):
    """A wrapper that nobody knows, with scikit-learn's name for what it wraps."""

    def __init__(self, estimator):
        self.estimator = estimator

    def fit(self, X, y):
        self.estimator_ = self.estimator.fit(X, y)
        self.classes_ = self.estimator_.classes_
        return self

    def predict_proba(self, X):
        return self.estimator_.predict_proba(X)


def test_an_unknown_wrapper_has_the_field_and_the_usable_clips_but_no_segments():
    X, y = segments()
    X["audio"][3, :, 0] = np.nan
    both = [("sound", Votes(SegmentRegression())), ("other", LogisticRegression())]
    fusion = LateFusionClassifier(both, "mean").fit(X, y)
    assert np.isnan(fusion.transform(X)[3, 0])
    assert not hasattr(LateFusionClassifier(both[:1]), "predict_proba_segments")
    stack = StackingClassifier([("a", SegmentRegression())], cv=2)
    assert not hasattr(LateFusionClassifier([("a", stack)]), "predict_proba_segments")


def test_calibrated_scores_are_no_segments():
    class Scores(SegmentRegression):
        def decision_function(self, X):
            return self.predict_proba(X)[:, 1]

    branch = CalibratedClassifierCV(Scores(), cv=2)
    assert not hasattr(LateFusionClassifier([("audio", branch)]), "predict_proba_segments")


def test_a_nested_fusion_knows_its_usable_clips_before_fit_and_after():
    X, y = segments()
    X["audio"][3, :, 0] = np.nan
    fusion = LateFusionClassifier([("audio", SegmentRegression())], "mean", missing="prior")
    assert np.flatnonzero(~fusion.usable_clips(X)).tolist() == [3]
    with pytest.warns(match="1 of 24"):
        fusion.fit(X, y)
    assert np.flatnonzero(~fusion.usable_clips(X)).tolist() == [3]


def test_a_frozen_branch_that_knows_other_classes_is_named():
    X, y = segments()
    frozen = FrozenEstimator(SegmentRegression().fit(X["audio"], np.where(y == "bus", "zoo", y)))
    with pytest.raises(ValueError, match=r"'audio' knows the classes \['park', 'zoo'\]"):
        LateFusionClassifier([("audio", frozen)], cv=2).fit(X, y)

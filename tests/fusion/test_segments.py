"""Late fusion second by second."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skavsc import AudioSceneClassifier, LateFusionClassifier, VisualSceneClassifier
from skavsc.exceptions import MissingModalityError

from .conftest import Flatten, draw_clips


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
            # A step that learns stands before the classifier, so that the branch is a Pipeline.
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


def test_a_second_is_fused_of_the_modalities_that_it_has(clips, fitted):
    X = clips[0].copy()
    X["audio"][2, :, 70:90] = np.nan  # sound lacks the middle second,
    X["visual"][3] = np.nan  # a clip its picture,
    X["audio"][4, :, 100:] = X["visual"][4, 10:] = np.nan  # and a second both.
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


def test_one_second_is_judged_as_a_clip_of_one_second(clips, fitted):
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
    with pytest.raises(MissingModalityError, match="of the 48 seconds that can be judged, rows"):
        model.predict_proba_segments(X)


def test_only_of_branches_that_judge_seconds(clips, fitted):
    assert not hasattr(fusion(stack_method="predict"), "predict_proba_segments")
    X, y, _ = draw_clips(40)
    plain = LateFusionClassifier([("audio", make_pipeline(Flatten(), LogisticRegression()))])
    assert not hasattr(plain.fit(X, y), "predict_proba_segments")

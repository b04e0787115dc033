"""Clips that lack their sound or their picture, with and without modality dropout."""

import numpy as np
import pytest

from skavsc.exceptions import MissingModalityError


def without(X, name, rows=slice(None)):
    lacking = X.copy()
    lacking[name][rows] = np.nan
    return lacking


@pytest.fixture(scope="module")
def robust(features, light_framework):
    """Trained on clips of which a third lacks the sound and another the picture."""
    X, y, groups = features
    lacking = without(without(X, "audio", slice(0, 12)), "visual", slice(12, 24))
    framework = light_framework(modality_dropout=0.4, epochs=15, validation_fraction=0)
    return framework.fit(lacking, y, groups=groups)


@pytest.mark.parametrize("name", ["audio", "visual"])
def test_learns_to_do_without_one_modality(robust, new_clips, name):
    X, y, _ = new_clips
    assert robust.score(X, y) > 0.7
    assert robust.score(without(X, name), y) > 0.6


def test_missing_is_to_the_network_what_dropout_made_of_it(robust, new_clips):
    X, _, _ = new_clips
    silent, dark = X.copy(), X.copy()
    silent["audio"] = -35
    dark["visual"] = 0
    for lacking, blank in (("audio", silent), ("visual", dark)):
        np.testing.assert_allclose(
            robust.predict_proba(without(X, lacking)), robust.predict_proba(blank), atol=1e-6
        )


def test_segments_are_predicted_from_what_is_there(robust, new_clips):
    X, _, _ = new_clips
    partly = X.copy()
    partly["audio"][2, :, 50:] = np.nan
    whole, half = robust.predict_proba_segments(X), robust.predict_proba_segments(partly)
    np.testing.assert_allclose(half[2, 0], whole[2, 0], atol=1e-6)
    nothing = robust.predict_proba_segments(without(X, "audio"))
    np.testing.assert_allclose(half[2, 1], nothing[2, 1], atol=1e-6)


def test_a_clip_without_any_modality_is_an_error(robust, new_clips):
    X, _, _ = new_clips
    empty = without(without(X, "audio", 3), "visual", 3)
    with pytest.raises(MissingModalityError, match=r"no second with sound or picture .*row 3"):
        robust.predict(empty)


@pytest.mark.usefixtures("eagerly")
def test_a_modality_that_no_clip_has_cannot_be_trained(features, light_framework):
    X, y, _ = features
    framework = light_framework(modality_dropout=0.5).set_params(audio__epochs=1)
    with pytest.raises(MissingModalityError, match=r"none has a whole segment .* of visual"):
        framework.fit(without(X, "visual"), y)


def test_without_dropout_a_missing_modality_is_an_error(features, small_framework):
    X, y, _ = features
    with pytest.raises(MissingModalityError, match=r"row 5\).*modality_dropout"):
        small_framework().fit(without(X, "visual", 5), y)

"""What the three classifiers promise, on clips."""

import copy
import warnings

import joblib
import numpy as np
import pytest
from keras.ops import convert_to_numpy
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedGroupKFold,
    cross_validate,
)

from skavsc.exceptions import MissingClipWarning, MissingModalityError
from skavsc.training import average_segments
from skavsc.training.augmentation import FilterAugment

NAMES = ["audio", "visual", "both"]


@pytest.mark.parametrize("name", NAMES)
def test_learns_and_predicts_new_clips(fitted, new_clips, name):
    X, y, _ = new_clips
    classifier = fitted[name]
    assert classifier.classes_.tolist() == ["bus", "park", "tram"]
    assert classifier.score(X, y) > 0.7
    probabilities = classifier.predict_proba(X)
    assert probabilities.shape == (18, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(
        classifier.predict(X), classifier.classes_[probabilities.argmax(axis=1)]
    )
    assert is_classifier(classifier)


@pytest.mark.parametrize("name", NAMES)
def test_clip_probability_is_the_mean_over_its_seconds(fitted, new_clips, name):
    X, _, _ = new_clips
    seconds = fitted[name].predict_proba_segments(X)
    assert seconds.shape == (18, 2, 3)
    np.testing.assert_allclose(fitted[name].predict_proba(X), seconds.mean(axis=1), rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_geometric_mean_over_the_seconds_that_are_there(fitted, new_clips, name):
    X = new_clips[0].copy()
    for field in X.dtype.names:
        X[field][4][..., X[field].shape[-2] // 2 :, :] = np.nan
    classifier = copy.copy(fitted[name]).set_params(clip_average="geometric")
    seconds = classifier.predict_proba_segments(X).astype(float)
    products = np.sqrt(seconds[:, 0] * seconds[:, 1])
    products[4] = seconds[4, 0]
    expected = products / products.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(classifier.predict_proba(X), expected, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("name", NAMES)
def test_overlapping_seconds_are_averaged(fitted, new_clips, name):
    X, _, _ = new_clips
    classifier = copy.copy(fitted[name]).set_params(starts_per_second=5)
    shifted = []
    for start in range(6):
        second = np.zeros(len(X), dtype=[("audio", "f4", (16, 50, 3)), ("visual", "f4", (5, 12))])
        second["audio"] = X["audio"][:, :, 10 * start : 10 * start + 50]
        second["visual"] = X["visual"][:, start : start + 5]
        shifted.append(fitted[name].predict_proba(second))
    np.testing.assert_allclose(classifier.predict_proba(X), np.mean(shifted, axis=0), rtol=1e-4)
    assert classifier.predict_proba_segments(X).shape == (18, 2, 3)


def test_starts_per_second_must_divide_the_frames_and_is_checked_before_training(features, build):
    with pytest.raises(ValueError, match=r"starts_per_second=3 does not divide the \d+ frames"):
        build(starts_per_second=3, epochs=10**6).fit(*features[:2])


def test_a_segment_that_rules_everything_out_leaves_finite_probabilities():
    sure = np.array([[[1, 0, 0], [0, 1, 0]]], dtype="float32")
    np.testing.assert_allclose(average_segments(sure, "geometric"), [[0.5, 0.5, 0]], atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_missing_seconds_are_not_counted(fitted, new_clips, name):
    X = new_clips[0].copy()
    field = "visual" if name == "visual" else "audio"
    X[field][4][..., X[field].shape[-2] // 2 :, :] = np.nan
    seconds = fitted[name].predict_proba_segments(X)
    assert np.isnan(seconds[4, 1]).all()
    assert np.isnan(seconds).sum() == 3
    np.testing.assert_allclose(fitted[name].predict_proba(X)[4], seconds[4, 0], rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_clip_without_a_whole_second_is_an_error(fitted, new_clips, name):
    X = new_clips[0].copy()
    for field in X.dtype.names:
        X[field][7] = np.nan
    with pytest.raises(MissingModalityError, match=r"(rows 7|row 7)"):
        fitted[name].predict(X)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seconds", [1, 3])
def test_duration_may_differ_from_that_of_fit(fitted, name, seconds, make_features):
    X, _, _ = make_features(6, seconds=seconds)
    assert fitted[name].predict_proba_segments(X).shape == (6, seconds, 3)


@pytest.mark.usefixtures("eagerly")
def test_same_random_state_same_probabilities(features, light_framework):
    X, y, groups = (part[:12] for part in features)
    framework = light_framework(epochs=1).set_params(audio__epochs=1, visual__epochs=1)
    again, expected = (clone(framework).fit(X, y, groups=groups) for _ in range(2))
    for one, other in (
        (again, expected),
        (again.audio_, expected.audio_),
        (again.visual_, expected.visual_),
    ):
        np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))


@pytest.mark.usefixtures("eagerly")
def test_another_random_state_another_network(features, light_visual):
    X, y, groups = features
    first, again, other = (
        light_visual(epochs=1, random_state=seed).fit(X, y, groups=groups).predict_proba(X)
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(again, first)
    assert not np.allclose(other, first)


def test_threads_give_the_same_weights(features, light_visual):
    X, y, groups = (part[:12] for part in features)

    def weights():
        return light_visual().fit(X, y, groups=groups).keras_classifier_.model_.get_weights()

    expected = weights()
    with joblib.parallel_config("threading"):
        for there in joblib.Parallel(n_jobs=2)(joblib.delayed(weights)() for _ in range(2)):
            for one, other in zip(there, expected, strict=True):
                np.testing.assert_array_equal(one, other)


def test_clone_is_unfitted_and_equal_in_parameters(build):
    copy = clone(build(label_smoothing=0.1))
    assert repr(copy) == repr(build(label_smoothing=0.1))
    with pytest.raises(NotFittedError):
        copy.predict_proba_segments(None)


@pytest.mark.slow
def test_grouped_cross_validation_in_processes_equals_serial(features, small_visual):
    X, y, groups = features
    options = {"groups": groups, "cv": StratifiedGroupKFold(2), "return_estimator": True}
    runs = [
        cross_validate(small_visual(epochs=2), X, y, n_jobs=n_jobs, **options)
        for n_jobs in (None, 2)
    ]
    for serial, parallel in zip(*(run["estimator"] for run in runs), strict=True):
        pairs = zip(
            serial.keras_classifier_.model_.get_weights(),
            parallel.keras_classifier_.model_.get_weights(),
            strict=True,
        )
        for one, other in pairs:
            np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_grid_search_over_the_learning_rate(features, small_visual):
    X, y, groups = features
    fold = next(StratifiedGroupKFold(2).split(X, y, groups))
    search = GridSearchCV(small_visual(), {"learning_rate": [1e-6, 0.02]}, cv=[fold], refit=False)
    search.fit(X, y, groups=groups)
    assert search.best_params_ == {"learning_rate": 0.02}


def test_validation_stops_training_and_restores_the_best_weights(features, light_visual):
    X, y, _ = features
    # Held-out labels at odds with those of training: it can only get worse.
    X_held, y_held = X[:9], np.roll(y[:9], 1)
    classifier = light_visual(epochs=60, patience=2, rate_patience=1)
    classifier.fit(X[9:], y[9:], validation_data=(X_held, y_held))
    losses = classifier.history_["val_loss"]
    assert len(losses) < 60
    assert len(losses) == np.argmin(losses) + 1 + 2
    assert classifier.history_["learning_rate"][-1] < classifier.history_["learning_rate"][0]
    probabilities = classifier.predict_proba_segments(X_held)
    truth = (y_held[:, None] == classifier.classes_)[:, None, :]
    cross_entropy = -np.log((probabilities * truth).sum(axis=-1)).mean()
    penalty = sum(float(loss) for loss in classifier.keras_classifier_.model_.losses)
    np.testing.assert_allclose(cross_entropy + penalty, min(losses), rtol=1e-3)


@pytest.mark.usefixtures("eagerly")
def test_without_validation_all_epochs_are_trained(features, light_visual):
    X, y, _ = features
    classifier = light_visual(validation_fraction=0, epochs=4).fit(X, y)
    assert len(classifier.history_["loss"]) == 4
    assert "val_loss" not in classifier.history_


def test_weights_of_clips_count(features, light_visual):
    X, y, _ = features
    flipped = y.copy()
    flipped[::2] = np.roll(y, 1)[::2]
    weight = np.where(flipped == y, 1.0, 0.0)
    classifier = light_visual(validation_fraction=0, epochs=25).fit(X, flipped, weight)
    assert classifier.score(X, y) > 0.9
    assert weight.min() == 0


def test_class_weights_shift_the_decision(features, light_visual):
    X, y, _ = features
    unsure = X.copy()
    unsure["visual"][:] = 0
    shares = [
        light_visual(validation_fraction=0, class_weight=weight)
        .fit(unsure, y)
        .predict_proba(unsure)[0, 2]
        for weight in (None, {"bus": 1, "park": 1, "tram": 8})
    ]
    assert shares[1] > shares[0] + 0.2


@pytest.mark.usefixtures("eagerly")
def test_partial_fit_and_warm_start_go_on(features, light_framework):
    X, y = features[0][:12], features[1][:12]
    framework = light_framework(validation_fraction=0, epochs=1)
    framework.set_params(audio__epochs=1, visual__epochs=1).fit(X, y)
    parts = framework.audio_, framework.visual_, framework
    first = [part.predict_proba(X) for part in parts]
    framework.partial_fit(X[:9], y[:9])
    for part, before in zip(parts, first, strict=True):
        assert len(part.history_["loss"]) == 1 + 1
        assert not np.allclose(part.predict_proba(X), before)
    framework.set_params(warm_start=True, epochs=2).fit(X, y)
    for part, n_more in zip(parts, (1, 1, 2), strict=True):
        assert len(part.history_["loss"]) == 1 + 1 + n_more
    # The framework goes on with what its parts have become.
    np.testing.assert_array_equal(*first_kernels(framework))


@pytest.mark.usefixtures("eagerly")
def test_clips_without_a_second_are_left_out_of_training(features, light_visual):
    X, y, _ = features
    broken = X.copy()
    broken["visual"][:3] = np.nan
    options = {"epochs": 1, "validation_fraction": 0}
    with pytest.warns(MissingClipWarning, match="3 of 36 clips have no whole second of visual"):
        classifier = light_visual(**options).fit(broken, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error", MissingClipWarning)
        without = light_visual(**options).fit(X[3:], y[3:])
    np.testing.assert_array_equal(classifier.predict_proba(X), without.predict_proba(X))


@pytest.mark.usefixtures("eagerly")
def test_another_rate_is_taken_on(features, light_visual):
    X, y, _ = features
    options = {"rate_patience": 1, "patience": 50, "epochs": 5}
    classifier = light_visual(**options, warm_start=True).fit(X, y, validation_data=(X, y[::-1]))
    reached = classifier.history_["learning_rate"][-1]
    classifier.set_params(epochs=1).fit(X, y)
    # On at the rate that validation has brought it to.
    assert classifier.history_["learning_rate"][5] <= reached < classifier.learning_rate
    n_epochs = len(classifier.history_["learning_rate"])
    classifier.set_params(learning_rate=0.003).fit(X, y)
    assert classifier.history_["learning_rate"][n_epochs] == pytest.approx(0.003)


@pytest.mark.usefixtures("eagerly")
def test_verbose_shows_a_line_an_epoch_on_the_error_stream(features, capfd, light_visual):
    X, y, groups = features
    light_visual(epochs=3, verbose=1).fit(X, y, groups=groups)
    out, err = capfd.readouterr()
    assert out == ""
    lines = [line for line in err.splitlines() if line.startswith("visual: epoch")]
    assert len(lines) == 3
    assert "3/3" in lines[-1]
    assert "val_loss" in lines[-1]


@pytest.mark.usefixtures("eagerly")
def test_silent_without_verbose(features, capfd, light_visual):
    X, y, groups = features
    light_visual(epochs=2).fit(X, y, groups=groups).predict(X)
    assert "epoch" not in "".join(capfd.readouterr())


@pytest.fixture(scope="module")
def prefit(features, light_audio, light_visual):
    """Fitted subclassifiers."""
    X, y, groups = features
    builders = {"audio": light_audio, "visual": light_visual}
    return {name: build().fit(X, y, groups=groups) for name, build in builders.items()}


@pytest.fixture
def on_prefit(prefit, small_framework):
    """A function that makes a framework on the fitted subclassifiers."""

    def build(**options):
        parts = {name: FrozenEstimator(part) for name, part in prefit.items()}
        return small_framework(**options).set_params(**parts)

    return build


def test_early_fusion_on_prefit_subclassifiers_which_are_used_as_they_are(
    fitted, features, prefit, on_prefit
):
    X, y, groups = features
    audio, visual = prefit["audio"], prefit["visual"]
    before = audio.predict_proba(X), visual.predict_proba(X)
    framework = on_prefit(fusion="early").fit(X, y, groups=groups)
    assert framework.audio_ is audio
    np.testing.assert_array_equal(audio.predict_proba(X), before[0])
    np.testing.assert_array_equal(visual.predict_proba(X), before[1])
    assert framework.score(X, y) > 0.9
    assert framework.keras_classifier_.model_.name == "early_fusion_network"
    assert fitted["both"].keras_classifier_.model_.name == "late_fusion_network"


def first_kernels(framework):
    """Give the same kernel as part of the framework and of the audio network alone."""
    networks = framework.keras_classifier_.model_, framework.audio_.keras_classifier_.model_
    return [network.get_layer("audio_block1_conv1").get_weights()[0] for network in networks]


def test_frozen_subnetworks_keep_their_weights_and_fine_tuning_moves_them(
    fitted, features, on_prefit, eager
):
    X, y, groups = features
    np.testing.assert_array_equal(*first_kernels(fitted["both"]))
    options = {"fine_tune": "heads", "fine_tune_learning_rate": 1e-2, "validation_fraction": 0}
    with eager():
        tuned = on_prefit(**options, epochs=1).fit(X, y, groups=groups)
    inside, alone = first_kernels(tuned)
    assert not np.array_equal(inside, alone)
    assert len(tuned.history_["loss"]) == 2


def test_rate_falls_along_half_a_cosine(features, light_visual):
    X, y, groups = features
    options = {"rate_schedule": "cosine", "epochs": 4, "validation_fraction": 0}
    classifier = light_visual(**options, warm_start=True)
    classifier.fit(X, y, groups=groups)
    fall = classifier.learning_rate * (1 + np.cos(np.pi * np.arange(4) / 4)) / 2
    np.testing.assert_allclose(classifier.history_["learning_rate"], fall, rtol=1e-5)
    # Going on begins another fall.
    classifier.fit(X, y, groups=groups)
    np.testing.assert_allclose(classifier.history_["learning_rate"], [*fall, *fall], rtol=1e-5)


def test_cosine_stops_by_validation_where_there_is_one(features, light_visual):
    X, y, groups = features
    options = {"rate_schedule": "cosine", "epochs": 60, "patience": 1, "rate_patience": 1}
    classifier = light_visual(**options, learning_rate=0.5).fit(X, y, groups=groups)
    losses = classifier.history_["val_loss"]
    assert len(losses) < 60
    assert losses[-1] >= losses[-2]
    fall = 0.25 * (1 + np.cos(np.pi * np.arange(len(losses)) / 60))
    np.testing.assert_allclose(classifier.history_["learning_rate"], fall, rtol=1e-5)


@pytest.mark.usefixtures("eagerly")
def test_weight_0_is_the_same_as_absent(features, light_visual):
    X, y, groups = features
    weight = np.where(np.arange(36) // 3 % 4 == 1, 0.0, 1.0 + np.arange(36) % 2)
    wrong = np.where(weight == 0, np.roll(y, 1), y)
    lost = X.copy()
    for name in X.dtype.names:
        lost[name][weight == 0] = 1e6
    options = {"epochs": 2, "validation_fraction": 0.3, "class_weight": "balanced"}
    weighted = light_visual(**options).fit(lost, wrong, weight, groups=groups)
    there = weight > 0
    without = light_visual(**options).fit(X[there], y[there], weight[there], groups=groups[there])
    assert weighted.history_ == without.history_
    np.testing.assert_array_equal(weighted.predict_proba(X), without.predict_proba(X))


def test_balanced_weights_of_a_part_of_the_clips_are_refused(features, light_visual):
    X, y, _ = features
    with pytest.raises(ValueError, match=r'"balanced" is not supported by partial_fit.*dict'):
        light_visual(class_weight="balanced").partial_fit(X, y)


@pytest.mark.usefixtures("eagerly")
def test_clean_statistics_are_those_of_the_training_clips_as_they_are(features, light_audio):
    X, y, _ = features
    options = {"epochs": 2, "batch_size": 36, "validation_fraction": 0}
    options["augmentation"] = [FilterAugment(gain=0.5)]
    usual = light_audio(**options).fit(X, y).keras_classifier_.model_
    clean = light_audio(**options, clean_statistics=True).fit(X, y).keras_classifier_.model_
    for one, other in zip(usual.trainable_variables, clean.trainable_variables, strict=True):
        np.testing.assert_array_equal(convert_to_numpy(one), convert_to_numpy(other))
    # What it sees follows from the crops alone: here, from the whole clips.
    name = "audio_block1_conv1"
    rows = np.concatenate([X["audio"][:, :, start : start + 50] for start in range(0, 51, 5)])
    maps = convert_to_numpy(clean.get_layer(name)(clean.get_layer("audio_scaling")(rows)))
    for network, tolerance in ((clean, 0.02), (usual, None)):
        norm = network.get_layer(f"{name}_norm")
        mean, variance = map(convert_to_numpy, (norm.moving_mean, norm.moving_variance))
        off = np.abs(mean - maps.mean(axis=(0, 1, 2))) / maps.std(axis=(0, 1, 2))
        assert (off < 0.02).all() == (network is clean)
        if tolerance:
            np.testing.assert_allclose(variance, maps.var(axis=(0, 1, 2)), rtol=tolerance)
        assert norm.momentum == usual.get_layer(f"{name}_norm").momentum > 0


def test_help_is_whole(build):
    documentation = type(build()).__doc__
    assert "%(" not in documentation
    assert "Learning rate of Adam at the start" in documentation
    assert max(map(len, documentation.splitlines())) <= 100

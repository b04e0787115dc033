"""Each wrong input is refused with an error that names it."""

import copy

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.utils._param_validation import InvalidParameterError


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, y: (X, np.full(36, "bus")), r"one class only \(\['bus'\]\)"),
        (lambda X, y: (X, y[:-1]), "y has 35 labels for 36 clips"),
        (lambda X, y: (X[:0], y[:0]), "0 sample"),
        (lambda X, y: (X, None), "requires y"),
        (lambda X, y: (X, np.where(y == "bus", np.nan, 1.0)), r"y has no label .* in rows \[0, 3"),
        (lambda X, y: (X, np.where(y == "bus", None, y)), r"y has no label .* in rows \[0, 3"),
        (lambda X, y: (X, [np.nan, *y[1:]]), r"y has no label .* in rows \[0\]"),
        (lambda X, y: (X, np.linspace(0, 1, 36)), "Unknown label type: continuous"),
        (lambda X, y: (X["audio"][0, 0], y), "axes|clips|labels|fields"),
        (lambda X, y: (np.array(["a.wav"] * 36), y), "must be numbers|fields"),
        (
            lambda X, y: (np.zeros(36, dtype=[("other", "f4", (3,))]), y),
            "'audio'.*'other'|'other'.*none is",
        ),
    ],
    ids=[
        "one class",
        "short y",
        "no clips",
        "no y",
        "NaN y",
        "None y",
        "NaN in a list",
        "real y",
        "axes",
        "paths",
        "fields",
    ],
)
def test_fit_refuses(build, features, change, message):
    X, y = change(features[0], features[1])
    with pytest.raises(ValueError, match=message):
        build().fit(X, y)


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("learning_rate", 0),
        ("batch_size", 0),
        ("epochs", 1.5),
        ("patience", 0),
        ("augmentation", "strong"),
        ("label_smoothing", 1.0),
        ("validation_fraction", 0.9),
        ("class_weight", "heavy"),
        ("random_state", "seed"),
    ],
)
def test_parameter_out_of_range_is_named(build, features, parameter, value):
    X, y, _ = features
    with pytest.raises(InvalidParameterError, match=f"'{parameter}' parameter"):
        build(**{parameter: value}).fit(X, y)


def test_framework_checks_the_parameters_of_its_parts(features, small_framework):
    X, y, _ = features
    with pytest.raises(InvalidParameterError, match="'reduction' parameter of AudioScene"):
        small_framework().set_params(audio__reduction=0).fit(X, y)
    with pytest.raises(InvalidParameterError, match="'fusion' parameter"):
        small_framework(fusion="middle").fit(X, y)
    with pytest.raises(ValueError, match="must be a multiple"):
        small_framework().set_params(audio__segment_frames=48).fit(X, y)


def test_groups_must_match_the_clips(build, features):
    X, y, groups = features
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        build().fit(X, y, groups=groups[:-1])
    with pytest.raises(ValueError, match=r"groups has no value .* in rows \[1\]"):
        build().fit(X, y, groups=["a", np.nan, *["b"] * 34])


def test_wrong_shape_at_predict_names_the_axis(fitted, features):
    X = features[0]
    with pytest.raises(ValueError, match=r"8 bands on axis 1, the classifier was fitted with 16"):
        fitted["audio"].predict(X["audio"][:, :8])
    with pytest.raises(ValueError, match=r"1 channels on axis 3"):
        fitted["audio"].predict(X["audio"][..., :1])
    with pytest.raises(ValueError, match=r"11 features on axis 2"):
        fitted["visual"].predict(X["visual"][..., :11])
    with pytest.raises(ValueError, match=r"30 frames on axis 2, fewer than the segment_frames=50"):
        fitted["audio"].predict(X["audio"][:, :, :30])


def test_modalities_of_different_rate_name_the_axes(features, small_framework):
    X, y, _ = features
    slow = np.zeros(36, dtype=[("audio", "f4", X["audio"].shape[1:]), ("visual", "f4", (5, 12))])
    message = r"audio has 100 frames on axis 2, 2 s of 50, visual has 5 frames on axis 1, 1 s of 5"
    with pytest.raises(ValueError, match=message):
        small_framework().fit(slow, y)


def test_unknown_labels_at_scoring_are_wrong_predictions(fitted, new_clips):
    X, y, _ = new_clips
    classifier = fitted["visual"]
    right = classifier.score(X, y)
    unknown = np.where(y == "bus", "airport", y)
    shares = classifier.predict(X)[y == "bus"] == "bus"
    np.testing.assert_allclose(classifier.score(X, unknown), right - shares.sum() / len(y))


def test_two_classes_and_truth_values(features, light_visual):
    X, y, _ = features
    classifier = light_visual(epochs=20, validation_fraction=0).fit(X, y == "bus")
    assert classifier.classes_.tolist() == [False, True]
    assert classifier.predict_proba(X).shape == (36, 2)
    assert classifier.predict(X).dtype == bool
    assert classifier.score(X, y == "bus") > 0.9


def test_all_features_missing(build, features):
    X, y, _ = features
    nothing = X.copy()
    for field in X.dtype.names:
        nothing[field] = np.nan
    with pytest.raises(ValueError, match=r"no clip has a whole second|have no second"):
        build().fit(nothing, y)


def test_infinite_features_name_the_clip(build, features):
    X, y, _ = features
    broken = X.copy()
    for field in X.dtype.names:
        broken[field][3, 0, 0] = -np.inf
    with pytest.raises(ValueError, match="clip 3 hold infinity"):
        build().fit(broken, y)


def test_validation_labels_must_be_known(build, features):
    X, y, _ = features
    with pytest.raises(ValueError, match=r"validation_data holds the labels .*'airport'"):
        build().fit(X, y, validation_data=(X[:2], ["airport", "bus"]))


def test_validation_data_goes_past_a_pipeline(build, features):
    X, y, _ = features
    files = pd.DataFrame({"audio": ["a.wav"], "video": ["a.mp4"]})
    with pytest.raises(ValueError, match=r"must be numbers|must be a structured") as caught:
        build().fit(X, y, validation_data=(files, ["bus"]))
    assert "pipeline[:-1].transform" in caught.value.__notes__[0]


def test_framework_wants_both_fields(features, small_framework):
    X, y, _ = features
    message = r"fields 'audio' and 'visual', as a ModalityUnion .* is a ndarray without fields"
    with pytest.raises(ValueError, match=message):
        small_framework().fit(X["audio"], y)
    with pytest.raises(ValueError, match=r"it has the fields \['audio'\]"):
        small_framework().fit(X[["audio"]], y)


def test_validation_data_must_be_a_pair(build, features):
    X, y, _ = features
    with pytest.raises(ValueError, match=r"validation_data must be a pair .* it is a ndarray"):
        build().fit(X, y, validation_data=X[:6])


@pytest.mark.usefixtures("eagerly")
def test_partial_fit_on_a_new_label_names_the_remedy(features, light_visual):
    X, y, _ = features
    known = y != "tram"
    classifier = light_visual().partial_fit(X[known], y[known])
    with pytest.raises(ValueError, match=r"\['tram'\].*classes= in the first call"):
        classifier.partial_fit(X, y)


@pytest.mark.usefixtures("eagerly")
def test_partial_fit_begins_with_two_classes(features, light_visual):
    X, y, _ = features
    with pytest.raises(ValueError, match=r"one class only \(\['bus'\]\); name all .*classes="):
        light_visual().partial_fit(X[y == "bus"], y[y == "bus"])
    classifier = light_visual().partial_fit(X[y == "bus"], y[y == "bus"], classes=np.unique(y))
    assert classifier.classes_.tolist() == ["bus", "park", "tram"]
    with pytest.raises(ValueError, match="airport"):
        classifier.partial_fit(X[:2], np.array(["airport", "bus"]))
    classifier.partial_fit(X, y, classes=["tram", "park", "bus"])
    with pytest.raises(ValueError, match=r"classes=\['bus', 'quay'\], but .* leave classes out"):
        classifier.partial_fit(X, y, classes=["quay", "bus"])


@pytest.mark.parametrize(
    ("name", "changed", "message"),
    [
        ("audio", {"filters": (8, 8, 8)}, r"filters=\(8, 8, 8\), but the audio .* \(4, 4, 4\)"),
        ("audio", {"segment_frames": 25}, r"segment_frames=25, but the audio network"),
        ("visual", {"units": 8}, r"units=8, but the visual network"),
        ("visual", {"label_smoothing": 0.1}, r"label_smoothing=0.1, but the visual network"),
        ("both", {"fusion": "early"}, r"fusion='early', but the sound and picture network"),
        ("both", {"visual__units": 8}, r"units=8, but the visual network"),
    ],
)
def test_going_on_with_another_network(fitted, features, name, changed, message):
    X, y, _ = features
    classifier = copy.copy(fitted[name])
    if name == "both":
        # Parts take on the changed parameters.
        for part in ("audio_", "visual", "visual_"):
            setattr(classifier, part, copy.copy(getattr(classifier, part)))
    classifier.set_params(warm_start=True, **changed)
    for go_on in (classifier.fit, classifier.partial_fit):
        with pytest.raises(ValueError, match=message):
            go_on(X, y)


@pytest.mark.usefixtures("eagerly")
def test_going_on_with_as_many_filters_in_a_list(fitted, features):
    X, y, _ = features
    classifier = copy.deepcopy(fitted["audio"]).set_params(filters=[4, 4, 4])
    n_epochs = len(classifier.history_["loss"])
    assert len(classifier.partial_fit(X[:12], y[:12]).history_["loss"]) == n_epochs + 1


@pytest.mark.parametrize("name", ["audio", "visual", "both"])
def test_warm_start_on_other_bands(fitted, features, name):
    X, y, _ = features
    classifier = copy.copy(fitted[name]).set_params(warm_start=True)
    other = np.zeros(len(X), [("audio", "f4", (8, 100, 3)), ("visual", "f4", (10, 5))])
    with pytest.raises(ValueError, match=r"X has (8 bands|5 features) on axis \d, .* fitted with"):
        classifier.fit(other, y)


@pytest.mark.usefixtures("eagerly")
def test_warm_start_with_other_labels(features, small_visual):
    X, y, _ = features
    classifier = small_visual(warm_start=True, validation_fraction=0).partial_fit(X[:6], y[:6])
    with pytest.raises(ValueError, match="not those of the first fit"):
        classifier.fit(X, np.where(y == "bus", "airport", y))


def test_prefit_on_other_labels(fitted, features, small_framework):
    X, y, groups = features
    framework = small_framework().set_params(audio=FrozenEstimator(fitted["audio"]))
    with pytest.raises(ValueError, match="audio classifier was fitted on the labels"):
        framework.fit(X, np.where(y == "bus", "airport", y), groups=groups)


def test_prefit_that_is_not_fitted(features, small_audio, small_visual, small_framework):
    X, y, _ = features
    with pytest.raises(ValueError, match="not fitted"):
        small_framework().set_params(audio=FrozenEstimator(small_audio())).fit(X, y)
    with pytest.raises(NotFittedError, match=r"visual is a FrozenEstimator .* fit that first"):
        small_framework().set_params(visual=FrozenEstimator(small_visual())).fit(X, y)

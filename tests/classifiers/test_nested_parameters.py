"""No parameter of a part of the framework is ignored: it changes something, or is refused."""

import inspect
import time

import numpy as np
import pytest
from sklearn.base import clone

from skavsc import AudioSceneClassifier, SECRNNClassifier, VisualSceneClassifier
from skavsc.training.augmentation import (
    FilterAugment,
    HorizontalFlip,
    Mixup,
    ModalityDropout,
    SpecAugment,
)
from skavsc.visual import VGGPlacesEmbedder

# A value of each parameter that is not its default.
COMMON = {
    "dropout": 0.3,
    "learning_rate": 0.01,
    "batch_size": 4,
    "epochs": 5,
    "patience": 1,
    "rate_patience": 1,
    "rate_schedule": "cosine",
    "augmentation": [ModalityDropout(rate=0.9)],
    "label_smoothing": 0.2,
    "verbose": 1,
}
CHANGED = {
    "audio": {
        **COMMON,
        "filters": (3, 3, 3),
        "reduction": 1,
        "segment_frames": 48,
        "clean_statistics": True,
        "augmentation__mixup__alpha": 3.0,
        "augmentation__mixup__domain": "power",
        "augmentation__specaugment__time_mask": 9,
        "augmentation__specaugment__frequency_mask": 4,
        "augmentation__filteraugment__gain": 0.4,
    },
    "visual": {**COMMON, "units": 3, "l2": 1.0, "scale_frames": True, "segment_frames": 4},
}
REFUSED = {
    "class_weight": "balanced",
    "clip_average": "geometric",
    "precision": "bfloat16",
    "random_state": 7,
    "runtime": "onnxruntime",
    "starts_per_second": 5,
    "validation_fraction": 0,
    "warm_start": True,
}
REFUSED_OF_VISUAL = {
    **REFUSED,
    "fine_tune": "all",
    "embedder": VGGPlacesEmbedder(),
    "fine_tune_learning_rate": 1e-3,
}
REFUSALS = [
    *(("audio", *item) for item in REFUSED.items()),
    *(("visual", *item) for item in REFUSED_OF_VISUAL.items()),
]


def framework():
    augmentation = [Mixup(), SpecAugment(time_mask=2, frequency_mask=1), FilterAugment(gain=0.1)]
    # At such rates the validation loss rises now and then.
    return SECRNNClassifier(
        AudioSceneClassifier(
            filters=(2, 2, 2), augmentation=augmentation, epochs=12, learning_rate=0.3
        ),
        VisualSceneClassifier(units=2, epochs=12, learning_rate=3.0),
        units=2,
        epochs=1,
        validation_fraction=0.3,
        random_state=0,
    )


def test_every_parameter_is_tried():
    tried = {f"{part}__{name}" for part, values in CHANGED.items() for name in values} | {
        f"{part}__{name}" for part, name, _ in REFUSALS
    }
    names = {name for name in framework().get_params() if name.startswith(("audio__", "visual__"))}
    assert tried == names
    for kind in (AudioSceneClassifier, VisualSceneClassifier):
        defaults = {name: p.default for name, p in inspect.signature(kind).parameters.items()}
        for name, value in {**CHANGED[kind.modality], **REFUSED_OF_VISUAL}.items():
            assert name not in defaults or value != defaults[name]


@pytest.mark.parametrize(("part", "name", "value"), REFUSALS, ids=str)
def test_what_the_framework_decides_is_refused(features, part, name, value):
    classifier = framework().set_params(**{f"{part}__{name}": value})
    message = rf"{part}__{name}=.* has no effect .*: set {name} of the SECRNNClassifier itself"
    with pytest.raises(ValueError, match=message):
        classifier.fit(*features[:2])


def outcome(classifier, features, capfd):
    """All that a fit leaves behind, or the error."""
    X, y, groups = features
    capfd.readouterr()
    try:
        classifier.fit(X, y, groups=groups)
    except ValueError as error:
        return str(error)
    lines = [line for line in capfd.readouterr().err.splitlines() if ": epoch" in line]
    parts = (classifier.audio_, classifier.visual_, classifier)
    return str([part.history_ for part in parts]), classifier.predict_proba(X).tobytes(), lines


@pytest.mark.slow
@pytest.mark.parametrize("part", list(CHANGED))
def test_all_others_change_something_or_are_refused(make_features, capfd, tmp_path, part):
    features = make_features(18, seconds=1, n_bands=8, n_features=12)
    # What a change does not concern is taken from the memory.
    usual = framework().set_params(memory=tmp_path)
    expected = outcome(clone(usual), features, capfd)
    assert outcome(clone(usual), features, capfd) == expected
    for name, value in CHANGED[part].items():
        memory = None if name == "verbose" else tmp_path
        changed = clone(usual).set_params(**{f"{part}__{name}": value, "memory": memory})
        assert outcome(changed, features, capfd) != expected, f"{part}__{name}"


def test_augmentations_that_would_change_nothing_are_refused(features, small_visual, small_audio):
    X, y, _ = features
    for classifier, augmentation, message in (
        (small_visual, SpecAugment(), "changes the modality 'audio'; VisualSceneClassifier takes"),
        (small_audio, HorizontalFlip(), "changes the modality 'visual'"),
        (small_visual, HorizontalFlip(), 'only fine_tune="all" trains on frames'),
        (small_audio, SpecAugment(time_mask=50), "time_mask=50 .* less than 50"),
        (small_audio, Mixup(alpha=-1), "'alpha' parameter of Mixup"),
    ):
        begin = time.monotonic()
        with pytest.raises(ValueError, match=message):
            classifier(epochs=10**6, augmentation=[augmentation]).fit(X, y)
        assert time.monotonic() - begin < 30
    with pytest.raises(TypeError, match="augmentation holds 'mixup'; each must be"):
        small_audio(augmentation=["mixup"]).fit(X, y)


def test_parameters_of_augmentations_are_parameters():
    classifier = AudioSceneClassifier()
    assert classifier.get_params()["augmentation__mixup__alpha"] == 0.4
    classifier.set_params(augmentation__mixup__alpha=0.1)
    assert [step.alpha for step in classifier.augmentation] == [0.1]
    assert AudioSceneClassifier().get_params()["augmentation__mixup__alpha"] == 0.4
    twice = AudioSceneClassifier(augmentation=[Mixup(0.1), Mixup(0.2)])
    copy = clone(twice).set_params(**{"augmentation__mixup-2__alpha": 0.3})
    assert [step.alpha for step in copy.augmentation] == [0.1, 0.3]
    assert [step.alpha for step in twice.augmentation] == [0.1, 0.2]
    with pytest.raises(ValueError, match=r"Invalid parameter .*its augmentations are \['mixup'\]"):
        AudioSceneClassifier().set_params(augmentation__specaugment__time_mask=3)
    np.testing.assert_equal(
        SECRNNClassifier(classifier).get_params()["audio__augmentation__mixup__alpha"], 0.1
    )

"""What Ctrl-C ends: the training of one network, or, pressed twice, the program."""

import math
import os
import signal

import keras
import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from skavsc.training._callbacks import Interruptions, interruptions
from skavsc.training._segments import ClipFeatures, LabelledClips, ModalityFeatures, TrainingSet
from skavsc.training._trainer import TrainingOptions, compile_for_training, train_network
from skavsc.training.augmentation import Augmentation


class PressCtrlC(Augmentation):
    """Ctrl-C while the given batch is made."""

    def __init__(self, at=1):
        self.at = at
        self.batches = 0

    def __call__(self, batch, rng):
        self.batches += 1
        if self.batches == self.at:
            os.kill(os.getpid(), signal.SIGINT)
        return batch


@pytest.fixture(autouse=True)
def _ctrl_c(monkeypatch):
    # The press of the test before would make this one's the second.
    monkeypatch.setattr(interruptions, "last", -math.inf)
    # A shell's background jobs ignore the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def network():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((5, 3))
    scores = keras.layers.Dense(2, activation="softmax")(keras.layers.Flatten()(inputs))
    network = keras.Model(inputs, scores)
    compile_for_training(network, 0.01, keras.losses.CategoricalCrossentropy())
    return network


@pytest.fixture(scope="module")
def training_set():
    data = np.random.default_rng(0).normal(size=(12, 10, 3))
    features = ClipFeatures({"visual": ModalityFeatures(data, 5)})
    labels = np.arange(12) % 2
    train, validation = (
        LabelledClips(features, labels, None, rows) for rows in np.split(np.arange(12), [9])
    )
    return TrainingSet(train, validation, np.arange(2), 0)


def options(augmentation=None, **changed):
    known = {
        "label": "small",
        "epochs": 500,
        "batch_size": 3,
        "patience": 500,
        "rate_patience": 500,
        "rate_schedule": "halving",
        "augmentation": () if augmentation is None else (augmentation,),
        "clean_statistics": False,
        "verbose": 0,
    }
    return TrainingOptions(**known | changed)


def test_the_best_weights_are_kept_with_a_warning(network, training_set):
    with pytest.warns(ConvergenceWarning, match="small network was interrupted after .* best"):
        # Late, as batches are made ahead of the epoch that is trained on.
        history = train_network(network, training_set, options(PressCtrlC(at=60)))
    assert 1 <= len(history["loss"]) < 500
    segments = training_set.validation.features.crops(
        np.arange(9, 12).repeat(2), np.tile([0, 5], 3)
    )
    losses = keras.losses.categorical_crossentropy(
        training_set.validation.targets(np.arange(2))[9:].repeat(2, axis=0),
        network(segments["visual"]),
    )
    assert float(np.mean(losses)) == pytest.approx(min(history["val_loss"]), rel=1e-4)


def test_before_the_first_epoch_has_ended_there_is_nothing_to_keep(network, training_set):
    with pytest.raises(KeyboardInterrupt) as caught:
        train_network(network, training_set, options(PressCtrlC()))
    assert "small network had not been trained for an epoch" in caught.value.__notes__[0]


def test_what_was_trained_before_is_kept(network, training_set):
    train_network(network, training_set, options(epochs=2))
    before = network.get_weights()
    with pytest.warns(ConvergenceWarning, match="interrupted after 0 epochs"):
        history = train_network(network, training_set, options(PressCtrlC()), initial_epoch=2)
    assert not history
    for one, other in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    # And it can go on.
    history = train_network(network, training_set, options(epochs=2), initial_epoch=2)
    assert len(history["loss"]) == 2


def test_what_is_to_be_complete_is_not_kept(network, training_set):
    with pytest.raises(KeyboardInterrupt):
        train_network(network, training_set, options(PressCtrlC(at=60), keep_interrupted=False))


def test_twice_ends_more_than_a_network(network, training_set, monkeypatch):
    # At one time, however slow the machine.
    monkeypatch.setattr(interruptions, "clock", lambda: 0.0)
    with pytest.warns(ConvergenceWarning, match="Ctrl-C twice within"):
        train_network(network, training_set, options(PressCtrlC(at=60)))
    with pytest.raises(KeyboardInterrupt):
        train_network(network, training_set, options(PressCtrlC(at=60)), initial_epoch=9)


def test_now_and_then_is_not_twice():
    times = iter([10, 13, 14.5, 20])
    pressed = Interruptions(lambda: next(times))
    assert [pressed.note() for _ in range(4)] == [False, False, True, False]

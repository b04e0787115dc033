"""How many training steps of light networks TensorFlow takes at once."""

import keras
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skavsc.networks import (
    audio_network,
    fusion_network,
    squeezenet11_base,
    visual_network,
    with_backbone,
)
from skavsc.training import _trainer

on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="other backends do not trace so"
)


@pytest.fixture(scope="module")
def light():
    return visual_network(3, backbone=None, n_features=12)


@on_tensorflow
@settings(deadline=None)
@given(steps_per_epoch=st.integers(1, 500))
def test_steps_at_once_divide_an_epoch(light, steps_per_epoch):
    n_at_once = _trainer.steps_at_once(light, steps_per_epoch)
    assert 1 <= n_at_once <= _trainer.MOST_STEPS_AT_ONCE
    assert steps_per_epoch % n_at_once == 0
    if steps_per_epoch <= _trainer.MOST_STEPS_AT_ONCE:
        assert n_at_once == steps_per_epoch


@pytest.mark.parametrize(
    "heavy",
    [
        lambda: audio_network(3, filters=(4, 4, 4)),
        lambda: fusion_network(
            3,
            audio=audio_network(3, filters=(4, 4, 4)),
            visual=visual_network(3, backbone=None, n_features=12),
        ),
        lambda: with_backbone(
            visual_network(3, backbone=None, n_features=512),
            squeezenet11_base((64, 64, 3)),
            image_size=64,
            pooling="avg",
            preprocessing="none",
        ),
    ],
    ids=["sound", "both", "frames"],
)
def test_ctrl_c_is_heard_between_heavy_steps(heavy):
    assert _trainer.steps_at_once(heavy(), 10) == 1

"""The clips held out to stop training by."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skavsc.classifiers._checks import hold_out


@settings(max_examples=60, deadline=None)
@given(
    n_classes=st.integers(2, 5),
    locations=st.integers(3, 8),
    clips=st.integers(1, 4),
    seed=st.integers(0, 2**31),
    fraction=st.floats(0.05, 0.5),
)
def test_groups_stay_whole_and_every_class_is_trained(n_classes, locations, clips, seed, fraction):
    labels = np.repeat(np.arange(n_classes), locations * clips)
    groups = np.repeat(np.arange(n_classes * locations), clips)
    train, held = hold_out(labels, groups, fraction, seed)
    assert not set(groups[train]) & set(groups[held])
    assert set(labels[train]) == set(range(n_classes))
    assert len(held) > 0
    assert sorted([*train, *held]) == list(range(len(labels)))


def test_about_the_fraction_is_held_out():
    labels = np.repeat(np.arange(4), 100)
    _, held = hold_out(labels, np.arange(400) // 5, 0.2, 0)
    assert 0.15 <= len(held) / 400 <= 0.25
    assert set(labels[held]) == {0, 1, 2, 3}


def test_the_seed_decides():
    labels = np.repeat(np.arange(2), 50)
    one, again, other = (hold_out(labels, None, 0.2, seed)[1].tolist() for seed in (0, 0, 1))
    assert one == again
    assert one != other


@pytest.mark.parametrize("groups", [np.array([0, 0, 1, 1]), np.zeros(4, dtype=int)])
def test_nothing_to_spare_is_an_error_with_a_remedy(groups):
    with pytest.raises(ValueError, match=r"validation_fraction=0.15 cannot be held out.*locations"):
        hold_out(np.array([0, 0, 1, 1]), groups, 0.15, 0)

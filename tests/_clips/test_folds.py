"""Folds that keep locations together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import GroupKFold, StratifiedKFold

from skavsc._clips import grouped_folds


@given(seed=st.none() | st.integers(0, 99), cv=st.sampled_from([2, np.int64(3), None]))
def test_a_number_makes_stratified_folds_of_whole_locations(seed, cv):
    y, groups = np.arange(60) % 3, np.arange(60) // 6
    folds = grouped_folds(cv, y, groups, seed)
    assert len(folds) == (5 if cv is None else cv)
    for train, test in folds:
        assert not set(groups[train]) & set(groups[test])
        assert set(y[test]) == {0, 1, 2}
    np.testing.assert_array_equal(np.sort(np.concatenate([test for _, test in folds])), range(60))


def test_only_a_seed_shuffles():
    y = np.arange(60) % 3
    plain, shuffled, same = (grouped_folds(3, y, random_state=seed) for seed in (None, 0, 0))
    for (_, test), (_, expected) in zip(plain, StratifiedKFold(3).split(y, y), strict=True):
        np.testing.assert_array_equal(test, expected)
    np.testing.assert_array_equal(shuffled[0][1], same[0][1])
    assert not np.array_equal(plain[0][1], shuffled[0][1])


@pytest.mark.parametrize("kind", ["splitter", "rows", "masks", "lists"])
def test_folds_of_any_form_become_row_numbers(kind):
    y, groups = np.arange(12) % 2, np.arange(12) // 3
    expected = list(GroupKFold(2).split(y, y, groups))
    masks = [tuple(np.isin(np.arange(12), part) for part in fold) for fold in expected]
    cv = {
        "splitter": GroupKFold(2),
        "rows": expected,
        "masks": masks,
        "lists": [(train.tolist(), test.tolist()) for train, test in expected],
    }[kind]
    for fold, given_fold in zip(grouped_folds(cv, y, groups), expected, strict=True):
        for rows, given_rows in zip(fold, given_fold, strict=True):
            np.testing.assert_array_equal(rows, given_rows)

"""Which part of X a branch gets, and which of its rows are missing."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.feature_selection import SelectKBest
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC

from skavsc.classifiers import SECRNNClassifier, VisualSceneClassifier
from skavsc.fusion import ModalityUnion
from skavsc.fusion._inputs import branch_values, is_stateless, missing_rows, take_rows


def test_a_field_is_a_view_and_anything_else_is_the_whole(clips):
    X, _, _ = clips
    svm = SVC()
    assert np.shares_memory(branch_values(X, "audio", svm), X)
    assert branch_values(X, "audio", svm).shape == (len(X), 3, 4)
    assert branch_values(X, "early", svm) is X
    plain = np.ones((3, 2))
    assert branch_values(plain, "audio", svm) is plain


def test_a_scene_classifier_gets_its_modality_under_any_name(clips):
    X, _, _ = clips
    for visual in (
        VisualSceneClassifier(),
        make_pipeline(StandardScaler(), VisualSceneClassifier()),
    ):
        assert branch_values(X, "picture", visual).shape == X["visual"].shape
        # What the user names comes first.
        assert branch_values(X, "audio", visual).shape == X["audio"].shape
    assert branch_values(X, "both", SECRNNClassifier()) is X


def test_all_rows_are_no_copy():
    X = np.ones((4, 2))
    assert take_rows(X, np.arange(4), 4) is X
    assert take_rows(X, np.array([1, 2]), 4).shape == (2, 2)


@given(
    shape=st.lists(st.integers(1, 3), min_size=1, max_size=3),
    missing=st.lists(st.booleans(), min_size=1, max_size=12),
    kind=st.sampled_from([np.float32, np.float64, object]),
)
def test_only_rows_without_any_value_are_missing(shape, missing, kind):
    X = np.ones((len(missing), *shape), dtype=kind)
    X[np.array(missing)] = None if kind is object else np.nan
    expected = np.array(missing)
    if int(np.prod(shape)) > 1:
        # Some values that are missing do not make a row missing.
        there = np.flatnonzero(~expected)
        X.reshape(len(X), -1)[there, 0] = np.nan
    assert missing_rows(X, "audio").tolist() == expected.tolist()


def test_missing_rows_of_frames_series_and_lists():
    table = pd.DataFrame({"audio": ["a", None, "c"], "video": ["d", "e", np.nan]})
    assert missing_rows(table, "audio").tolist() == [False, True, False]
    assert missing_rows(table, "early").tolist() == [False, False, False]
    table.loc[1, "video"] = None
    assert missing_rows(table, "early").tolist() == [False, True, False]
    assert missing_rows(table["video"], "early").tolist() == [False, True, True]
    assert missing_rows(["a", None, float("nan")], "audio").tolist() == [False, True, True]


def test_a_structured_row_needs_all_fields(clips):
    X = clips[0][:3].copy()
    X["audio"][0] = np.nan
    X["visual"][1] = np.nan
    assert missing_rows(X, "early").tolist() == [True, True, False]


@pytest.mark.parametrize("X", [np.arange(6).reshape(3, 2), np.array(["a", "b", "c"])])
def test_integers_and_strings_are_there(X):
    assert not missing_rows(X, "audio").any()


class Handle:
    """Frames that are decoded when they are looked at, which this test must not bring about."""

    shape = (5, 8, 8, 3)

    def __array__(self, dtype=None, copy=None):
        raise AssertionError("decoded")


def test_lazy_frames_are_not_decoded_to_see_whether_they_are_missing():
    handles = np.empty(3, dtype=object)
    handles[0] = handles[2] = Handle()
    assert missing_rows(handles, "visual").tolist() == [False, True, False]
    joined = ModalityUnion([("visual", "passthrough")]).fit_transform(handles)
    assert joined["visual"].tolist() == handles.tolist()
    assert missing_rows(joined, "visual").tolist() == [False, True, False]


def test_sparse_and_empty_rows_are_there():
    assert missing_rows(csr_array(np.zeros((3, 2))), "audio").tolist() == [False] * 3
    assert missing_rows(np.empty((2, 0)), "audio").tolist() == [False, False]
    assert missing_rows(np.empty((0, 2)), "audio").tolist() == []


def test_stateless_transformers_are_known_by_their_tags():
    plain, learns = FunctionTransformer(), StandardScaler()
    assert is_stateless(plain)
    assert is_stateless("passthrough")
    assert not is_stateless(learns)
    assert is_stateless(make_pipeline(plain, plain))
    assert not is_stateless(make_pipeline(plain, learns))
    assert not is_stateless(SelectKBest())
    assert is_stateless(FeatureUnion([("a", plain), ("b", "drop")]))
    assert not is_stateless(FeatureUnion([("a", learns)]))
    assert is_stateless(ModalityUnion([("audio", plain)]))
    assert not is_stateless(ModalityUnion([("audio", plain), ("visual", learns)]))

"""ModalityUnion: shapes, order, memory, and scikit-learn's conventions."""

import pickle
import shutil
import tracemalloc
from operator import methodcaller
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.utils import estimator_html_repr
from sklearn.utils.estimator_checks import parametrize_with_checks

from skavsc import GammatoneMelTransformer, LateFusionClassifier, ModalityUnion, VideoFrameSampler
from skavsc.exceptions import MediaError
from skavsc.fusion import _union

from .conftest import AUDIO_SHAPE, VISUAL_SHAPE, ArrayReader, Flatten

LEARNS = ModalityUnion([("audio", StandardScaler()), ("visual", FunctionTransformer(np.sign))])
STATELESS = ModalityUnion([("audio", FunctionTransformer(np.abs))])

_COMPARES = "compares outputs as plain numbers; the output is a structured array. Twin below."
EXPECTED = {
    "check_estimators_pickle": _COMPARES,
    "check_transformer_general": _COMPARES,
    "check_methods_sample_order_invariance": _COMPARES,
    "check_methods_subset_invariance": _COMPARES,
    "check_fit_idempotent": _COMPARES,
    "check_pipeline_consistency": _COMPARES,
}


@parametrize_with_checks([LEARNS, STATELESS], expected_failed_checks=lambda _: EXPECTED)
def test_sklearn_contract(estimator, check):
    check(estimator)


def assert_same(first, second):
    """Twin of the numeric comparison in scikit-learn's checks."""
    assert first.dtype == second.dtype
    for name in first.dtype.names:
        np.testing.assert_allclose(first[name], second[name], rtol=1e-6)


@pytest.fixture(params=[LEARNS, STATELESS], ids=["learns", "stateless"])
def union(request):
    return clone(request.param)


@pytest.fixture
def plain():
    return np.random.default_rng(0).normal(size=(30, 3))


def test_twin_fit_transform_is_fit_then_transform_and_idempotent(union, plain):
    first = union.fit_transform(plain)
    assert_same(first, union.transform(plain))
    assert_same(first, clone(union).fit(plain).transform(plain))
    assert_same(first, union.fit(plain).transform(plain))


def test_twin_rows_are_independent_and_keep_their_order(union, plain):
    whole = union.fit_transform(plain)
    order = np.random.default_rng(1).permutation(len(plain))
    assert_same(whole[order], union.transform(plain[order]))
    assert_same(whole[4:9], union.transform(plain[4:9]))


def test_twin_pickle_and_pipeline(union, plain):
    whole = union.fit_transform(plain)
    assert_same(whole, pickle.loads(pickle.dumps(union)).transform(plain))
    assert_same(whole, make_pipeline(union).fit(plain).transform(plain))


def test_fields_have_the_shapes_of_the_outputs(clip_table):
    table, _, _ = clip_table
    union = ModalityUnion(
        [
            (
                "audio",
                Pipeline(
                    [
                        ("read", ArrayReader("audio", AUDIO_SHAPE)),
                        (
                            "shape",
                            FunctionTransformer(methodcaller("reshape", -1, *AUDIO_SHAPE)),
                        ),
                    ]
                ),
            ),
            ("visual", ArrayReader("video", VISUAL_SHAPE)),
        ]
    )
    features = union.transform(table)
    assert features.shape == (48,)
    assert features.dtype == np.dtype(
        [("audio", "f4", AUDIO_SHAPE), ("visual", "f4", VISUAL_SHAPE)]
    )
    for row in (0, 17, 47):
        np.testing.assert_array_equal(features["audio"][row], np.load(table["audio"][row]))
        np.testing.assert_array_equal(features["visual"][row], np.load(table["video"][row]))
    assert union.get_feature_names_out().tolist() == ["audio", "visual"]


def test_missing_clips_stay_in_their_row(clip_table):
    table = clip_table[0].copy()
    table.loc[3, "video"] = None
    union = ModalityUnion([("visual", ArrayReader("video", VISUAL_SHAPE))])
    found = np.isnan(union.fit_transform(table)["visual"]).all(axis=1)
    assert np.flatnonzero(found).tolist() == [3]


def test_many_rows_are_transformed_once_and_in_order():
    flatten = Flatten()
    X = np.arange(2 * _union.CHUNK + 3.0).reshape(-1, 1, 1)
    features = ModalityUnion([("audio", flatten)]).fit_transform(X)
    np.testing.assert_array_equal(features["audio"], X[:, 0])
    assert Flatten.rows_seen["rows"] == len(X)


@pytest.fixture
def filmed(video_path, wav_path):
    """A clip table of which row 1 lacks the picture, and a union whose frames are lazy."""
    table = pd.DataFrame({"audio": [str(wav_path)] * 5, "video": [str(video_path)] * 5})
    table.loc[1, "video"] = None
    sound = GammatoneMelTransformer(duration=1.0)
    return table, ModalityUnion(
        [("audio", sound), ("visual", VideoFrameSampler(size=32, duration=1.0))]
    )


def test_lazy_frames_are_carried_undecoded(filmed, tmp_path):
    table, union = filmed
    copied = Path(shutil.copy(table["video"][0], tmp_path))
    table.loc[3, "video"] = str(copied)
    features = union.fit_transform(table)
    assert features.dtype == np.dtype([("audio", "f4", (64, 50, 3)), ("visual", object)])
    assert [item is None for item in features["visual"]] == [row == 1 for row in range(5)]
    expected = VideoFrameSampler(size=32, duration=1.0).transform(table["video"])
    np.testing.assert_array_equal(features["visual"][4], expected[4])
    assert np.asarray(features["visual"][4]).std() > 0
    copied.unlink()
    with pytest.raises(MediaError):
        np.asarray(features["visual"][3])


def test_lazy_frames_go_through_indexing_pickles_and_processes(filmed):
    table, union = filmed
    features = union.fit_transform(table)
    again = pickle.loads(pickle.dumps(features[[4, 1]]))
    assert again["visual"][1] is None
    np.testing.assert_array_equal(again["visual"][0], features["visual"][0])
    parallel = clone(union).set_params(n_jobs=2).fit_transform(table)
    np.testing.assert_array_equal(parallel["visual"][0], features["visual"][0])
    np.testing.assert_array_equal(parallel["audio"], features["audio"])


def _lazy_if_positive(X):
    frames = VideoFrameSampler(size=4, duration=0.2).transform([None] * len(X))
    return frames if X[0, 0] >= 0 else X


def test_features_after_lazy_frames_are_refused():
    X = np.ones((_union.CHUNK + 1, 2))
    X[-1] = -1
    with pytest.raises(ValueError, match=r"'visual' returned rows of float32, shape \(2,\)"):
        ModalityUnion([("visual", FunctionTransformer(_lazy_if_positive))]).fit_transform(X)


def test_features_do_not_exist_twice():
    values = np.zeros((4 * _union.CHUNK, 500), dtype=np.float32)
    union = ModalityUnion([("audio", FunctionTransformer(np.negative)), ("visual", "passthrough")])
    tracemalloc.start()
    try:
        features = union.fit_transform(values)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1.5 * features.nbytes


def test_n_jobs_gives_the_same(plain):
    assert_same(
        LEARNS.fit_transform(plain), clone(LEARNS).set_params(n_jobs=2).fit_transform(plain)
    )


def test_drop_passthrough_and_names(plain):
    union = clone(LEARNS).set_params(audio="passthrough", visual="drop")
    features = union.fit_transform(plain)
    np.testing.assert_allclose(features["audio"], plain, rtol=1e-6)
    assert features.dtype.names == ("audio",)
    assert union.named_transformers.visual == "drop"
    assert list(union.named_transformers_) == ["audio"]
    assert union["audio"] is union.transformers_[0][1]
    assert clone(LEARNS).set_params(audio__with_mean=False)["audio"].with_mean is False
    assert LEARNS.get_params()["audio__with_std"] is True


def test_fit_leaves_the_given_transformers_unfitted(plain):
    union = clone(LEARNS).fit(plain)
    assert not hasattr(union.transformers[0][1], "mean_")
    assert union.n_features_in_ == 3


def test_only_stateless_unions_transform_without_fit(plain):
    assert clone(STATELESS).transform(plain).shape == (30,)
    with pytest.raises(NotFittedError):
        clone(LEARNS).transform(plain)


def test_html_shows_the_modalities_side_by_side():
    html = estimator_html_repr(LEARNS)
    assert "sk-parallel" in html
    assert "audio" in html
    assert "StandardScaler" in html


def test_search_over_a_modality_of_a_pipeline(clips):
    X, y, _ = clips
    plain = np.hstack([X["audio"].reshape(len(X), -1), X["visual"]])
    model = Pipeline(
        [
            ("features", ModalityUnion([("audio", PCA(2)), ("visual", StandardScaler())])),
            (
                "fusion",
                LateFusionClassifier(
                    [
                        ("audio", LogisticRegression()),
                        ("visual", LogisticRegression()),
                    ],
                    cv=3,
                ),
            ),
        ]
    )
    search = GridSearchCV(model, {"features__audio__n_components": [1, 8]}, cv=3)
    search.fit(plain, y)
    assert search.best_params_ == {"features__audio__n_components": 8}
    assert search.score(plain, y) > 0.8


def test_pandas_output_of_a_transformer_is_taken_in_its_order(plain):
    table = pd.DataFrame(plain, index=np.arange(30)[::-1])
    scaler = StandardScaler().set_output(transform="pandas")
    features = ModalityUnion([("audio", scaler)]).fit_transform(table)
    np.testing.assert_allclose(
        features["audio"], StandardScaler().fit_transform(plain), rtol=1e-4, atol=1e-6
    )


def test_global_pandas_output_leaves_the_structured_array(plain):
    with config_context(transform_output="pandas"):
        assert ModalityUnion([("audio", StandardScaler())]).fit_transform(plain).dtype.names == (
            "audio",
        )


class WeightedMean(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None, sample_weight=None):
        self.mean_ = np.average(X, axis=0, weights=sample_weight)
        return self

    def transform(self, X):
        return X - self.mean_


def test_metadata_is_routed_to_transformers_that_request_it(plain):
    weight = np.arange(30.0)
    with config_context(enable_metadata_routing=True):
        part = WeightedMean().set_fit_request(sample_weight=True)
        union = ModalityUnion([("audio", part), ("visual", FunctionTransformer())])
        union.fit(plain, sample_weight=weight)
    np.testing.assert_allclose(union["audio"].mean_, np.average(plain, axis=0, weights=weight))
    with pytest.raises(ValueError, match="enable_metadata_routing"):
        clone(LEARNS).fit(plain, sample_weight=weight)


def _first_rows(X):
    return X[:-1]


def _names(X):
    return np.array([f"clip {row}" for row in range(len(X))], dtype=object)


def _reversed_rows(X):
    return X[::-1]


@pytest.mark.parametrize(
    ("part", "error", "message"),
    [
        (FunctionTransformer(_first_rows), ValueError, "'audio' returned 29 rows for 30 clips"),
        (FunctionTransformer(_reversed_rows), ValueError, "'audio' changed the index"),
        (FunctionTransformer(list), TypeError, "'audio' returned list"),
        (OneHotEncoder(), TypeError, "'audio' returned .*dense"),
        (FunctionTransformer(np.array, kw_args={"dtype": "S4"}), TypeError, "not numbers"),
        (FunctionTransformer(np.array, kw_args={"dtype": object}), TypeError, "nor lazy frames"),
        (FunctionTransformer(_names), TypeError, "nor lazy frames"),
        (LogisticRegression(), TypeError, "'audio' is LogisticRegression.*fit and transform"),
        (StandardScaler, TypeError, "instance"),
    ],
)
def test_unusable_transformers_are_named(plain, part, error, message):
    X = pd.DataFrame(plain) if "index" in message else plain
    with pytest.raises(error, match=message):
        ModalityUnion([("audio", part)]).fit_transform(X)


@pytest.mark.parametrize(
    ("transformers", "message"),
    [
        ([], "at least one entry"),
        ([("audio", StandardScaler(), 1)], "list of"),
        ([("a", StandardScaler()), ("a", StandardScaler())], "not unique"),
        ([("n_jobs", StandardScaler())], "conflict"),
        ([("a__b", StandardScaler())], "__"),
        ([("a", "drop")], "at least one must be kept"),
        ({"audio": StandardScaler()}, "transformers"),
    ],
)
def test_unusable_lists_are_explained(plain, transformers, message):
    with pytest.raises(ValueError, match=message):
        ModalityUnion(transformers).fit(plain)


def _wide_if_negative(X):
    return X if X[0, 0] >= 0 else np.hstack([X, X])


def test_rows_of_another_shape_in_a_later_part_are_refused():
    X = np.ones((_union.CHUNK + 1, 1))
    X[-1] = -1
    with pytest.raises(ValueError, match=r"'audio' returned rows of float32, shape \(2,\), and"):
        ModalityUnion([("audio", FunctionTransformer(_wide_if_negative))]).fit_transform(X)

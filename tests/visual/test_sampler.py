"""Lazy frames: what they hold, when they decode, and how scikit-learn handles them."""

import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

from skavsc.exceptions import (
    ClipTableError,
    MediaError,
    MediaNotFoundError,
    MissingClipWarning,
)
from skavsc.media import read_frames
from skavsc.visual import LazyFrames, VideoFrameSampler


class _Sampler2D(VideoFrameSampler):
    """The sampler with a tag that lets scikit-learn's checks run, although it takes no 2-D X."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        tags.input_tags.one_d_array = False
        return tags


# The checks pass 2-D numbers, of which a row is no source of frames. Twins below use clips.
ROWS = "rows of numbers are no clips; twin: test_forms_of_clips"
FAILS = {
    "check_dict_unchanged": ROWS,
    "check_dtype_object": ROWS,
    "check_fit_idempotent": "twin: test_rows_stay_in_order",
    "check_fit_score_takes_y": ROWS,
    "check_fit2d_predict1d": "numbers are no clips; twin: test_wrong_sources",
    "check_transformers_unfitted_stateless": "most twins transform without fit",
    "check_estimators_dtypes": ROWS,
    "check_estimators_pickle": "rows of numbers are no clips; twin: test_pickle_and_clone",
    "check_f_contiguous_array_estimator": ROWS,
    "check_methods_sample_order_invariance": "twin: test_rows_stay_in_order",
    "check_methods_subset_invariance": "twin: test_rows_stay_in_order",
    "check_pipeline_consistency": "twin: test_in_a_pipeline",
    "check_transformer_data_not_an_array": ROWS,
    "check_transformer_general": ROWS,
    "check_transformer_preserve_dtypes": "the result holds handles, not numbers",
    "check_n_features_in": "clips have no features",
    "check_n_features_in_after_fitting": "clips have no features",
    "check_estimator_sparse_tag": "a sparse matrix is no list of clips",
    "check_estimator_sparse_array": "a sparse matrix is no list of clips",
    "check_estimator_sparse_matrix": "a sparse matrix is no list of clips",
    "check_complex_data": "complex rows are refused on transform; twin: test_wrong_sources",
    "check_estimators_empty_data_messages": "no clips give no handles; twin: test_forms_of_clips",
    "check_fit1d": "a list of clips is 1-D",
}


@parametrize_with_checks([_Sampler2D()], expected_failed_checks=lambda _: FAILS)
def test_sklearn_checks(estimator, check):
    check(estimator)


def equal(handles, others):
    return all(
        np.array_equal(np.asarray(a), np.asarray(b)) for a, b in zip(handles, others, strict=True)
    )


def test_handle_decodes_what_read_frames_reads(video_path):
    (handle,) = VideoFrameSampler(fps=5, size=32, duration=1.0).fit_transform([video_path])
    expected = read_frames(video_path, fps=5, size=32, duration=1.0)
    assert isinstance(handle, LazyFrames)
    assert handle.path == str(video_path)
    assert handle.shape == expected.shape == np.asarray(handle).shape
    assert handle.dtype == np.uint8
    np.testing.assert_array_equal(np.asarray(handle), expected)
    assert np.asarray(handle, dtype=np.float32).dtype == np.float32


def test_nothing_is_decoded_before_it_is_asked_for(tmp_path):
    path = tmp_path / "text.mp4"
    path.write_text("no video")
    (handle,) = VideoFrameSampler().transform([path])
    with pytest.raises(MediaError, match=r"text\.mp4"):
        np.asarray(handle)
    with pytest.raises(ValueError, match="copy=False"):
        np.array(handle, copy=False)


def test_short_clip_is_padded_and_says_so(video_path):
    (handle,) = VideoFrameSampler(fps=5, size=16, duration=3.0).transform([video_path])
    frames, n_valid = handle.read()
    assert (frames.shape, n_valid) == ((15, 16, 16, 3), 5)
    assert frames[:5].any(axis=(1, 2, 3)).all()
    assert not frames[5:].any()


def test_forms_of_clips(video_path):
    sampler = VideoFrameSampler(size=16, duration=1.0)
    expected = sampler.transform([video_path])
    for X in (
        [str(video_path)],
        np.array([str(video_path)]),
        np.array([video_path], dtype=object),
        pd.Series([str(video_path)], index=[7]),
        pd.DataFrame({"audio": [None], "video": [str(video_path)]}, index=[7]),
    ):
        handles = sampler.transform(X)
        assert handles.shape == (1,)
        assert handles.dtype == object
        assert equal(handles, expected)
    assert sampler.transform([]).shape == (0,)


def test_arrays_in_memory(make_frames):
    images = make_frames(duration=2.0, fps=10)
    sampler = VideoFrameSampler(fps=5, size=(48, 64), duration=2.0)
    at_ten, at_five, short = sampler.transform([(images, 10), images[::2], images[:6:2]])
    np.testing.assert_array_equal(np.asarray(at_ten), images[::2])
    np.testing.assert_array_equal(np.asarray(at_five), images[::2])
    assert at_five.path is None
    frames, n_valid = short.read()
    assert n_valid == 3
    np.testing.assert_array_equal(frames[:3], images[:6:2])
    resized = sampler.set_params(size=20).transform(np.stack([images, images]))
    assert [np.asarray(handle).shape for handle in resized] == [(10, 20, 20, 3)] * 2


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_missing_clips(video_path, missing):
    handles = VideoFrameSampler(size=16).transform(pd.Series([missing, str(video_path), missing]))
    assert handles[0] is None
    assert handles[2] is None
    assert isinstance(handles[1], LazyFrames)


def test_files_that_do_not_exist(video_path, tmp_path):
    X = [tmp_path / "one.mp4", video_path, tmp_path / "two.mp4"]
    with pytest.raises(MediaNotFoundError, match=r"one\.mp4"):
        VideoFrameSampler().transform(X)
    with pytest.warns(MissingClipWarning, match=r"2 of 3 videos do not exist .*one\.mp4"):
        handles = VideoFrameSampler(on_error="missing").transform(X)
    assert [handle is None for handle in handles] == [True, False, True]


@pytest.mark.parametrize(
    "source",
    [
        np.zeros((2, 4, 4, 3)),
        np.zeros((4, 4, 3), "uint8"),
        np.zeros((2, 4, 4, 1), "uint8"),
        np.zeros((0, 4, 4, 3), "uint8"),
        (np.zeros((2, 4, 4, 3), "uint8"), 0),
        7,
        np.ones(3, dtype=complex),
    ],
)
def test_wrong_sources(source):
    with pytest.raises(ClipTableError, match="clip 1"):
        VideoFrameSampler().transform([None, source])


def test_one_path_in_place_of_a_list(video_path):
    with pytest.raises(ClipTableError, match="pass a list of paths"):
        VideoFrameSampler().fit(str(video_path))
    with pytest.raises(ClipTableError, match="no column 'video'"):
        VideoFrameSampler().transform(pd.DataFrame({"film": ["a"]}))


@pytest.mark.parametrize(
    "params",
    [{"fps": 0}, {"size": 0}, {"size": (8,)}, {"size": (8, 0)}, {"duration": -1},
     {"interpolation": "bilinear"}, {"on_error": "ignore"}],
)  # fmt: skip
def test_wrong_parameters(params, video_path):
    (name,) = params
    for method in ("fit", "transform"):
        with pytest.raises(ValueError, match=name):
            getattr(VideoFrameSampler(**params), method)([video_path])


def test_pickle_and_clone(video_path, tmp_path):
    sampler = VideoFrameSampler(size=16, duration=1.0)
    handles = sampler.fit_transform([video_path, None])
    assert len(pickle.dumps(handles)) < 2000
    joblib.dump(handles, tmp_path / "handles.joblib")
    again = joblib.load(tmp_path / "handles.joblib")
    assert again[1] is None
    assert equal(again[:1], handles[:1])
    assert joblib.hash(again) == joblib.hash(handles)
    assert clone(sampler).get_params() == sampler.get_params()


def test_rows_stay_in_order(video_path, clip_path):
    sampler = VideoFrameSampler(size=16, duration=1.0)
    X = np.array([str(video_path), None, str(clip_path)], dtype=object)
    handles = sampler.transform(X)
    order = [2, 0, 1]
    assert [getattr(h, "path", None) for h in sampler.transform(X[order])] == [
        getattr(handles[row], "path", None) for row in order
    ]


def test_in_a_pipeline(video_path):
    """Handles pass through cross-validation, which indexes them."""
    from sklearn.dummy import DummyClassifier

    def brightness(handles):
        return np.array([[np.asarray(handle).mean()] for handle in handles])

    pipeline = make_pipeline(
        VideoFrameSampler(size=16, duration=1.0), FunctionTransformer(brightness), DummyClassifier()
    )
    X = pd.DataFrame({"video": [str(video_path)] * 4})
    y = ["a", "a", "a", "b"]
    assert cross_val_predict(pipeline, X, y, cv=KFold(2)).tolist() == ["a"] * 4


def test_cache_source_names_what_matters(video_path):
    def source(**params):
        (handle,) = VideoFrameSampler(size=16, **params).transform([video_path])
        return handle.cache_source()

    path, reading = source()
    assert path == str(video_path)
    assert source(on_error="missing") == source()
    for change in ({"fps": 4}, {"duration": 3.0}, {"interpolation": "area"}):
        assert source(**change)[1] != reading

"""Embeddings: values, missing clips and frames, caches, pickles, and scikit-learn's contract."""

import functools
import pickle
from pathlib import Path

import joblib
import keras
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from skavsc.exceptions import (
    ClipTableError,
    MediaError,
    MissingClipWarning,
    UntrainedWeightsWarning,
    WeightsError,
)
from skavsc.networks import ImagePreprocessing, squeezenet11_base, vgg16_base
from skavsc.pretrained._weights import draw_weights
from skavsc.visual import ImageEmbedder, VGGPlacesEmbedder, VideoFrameSampler

SHARED = Path(__file__).parents[3] / "shared" / "data"

untrained = pytest.mark.filterwarnings("ignore::skavsc.exceptions.UntrainedWeightsWarning")
pytestmark = untrained


class _Images2D:
    """Lets scikit-learn's checks run: they pass 2-D numbers."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        tags.input_tags.one_d_array = False
        return tags


class _Embedder2D(_Images2D, ImageEmbedder):
    pass


class _VGG2D(_Images2D, VGGPlacesEmbedder):
    pass


ROWS = "rows of numbers are no frames; twin: test_forms_of_clips"
FAILS = {
    "check_complex_data": ROWS,
    "check_dict_unchanged": ROWS,
    "check_dont_overwrite_parameters": ROWS,
    "check_dtype_object": ROWS,
    "check_estimator_sparse_array": ROWS,
    "check_estimator_sparse_matrix": ROWS,
    "check_estimator_sparse_tag": ROWS,
    "check_estimators_dtypes": ROWS,
    "check_estimators_empty_data_messages": ROWS,
    "check_estimators_fit_returns_self": ROWS,
    "check_estimators_nan_inf": "NaN stands for a missing frame; twin: test_missing_frames",
    "check_estimators_overwrite_params": ROWS,
    "check_estimators_pickle": "twin: test_pickle_in_a_fresh_process",
    "check_f_contiguous_array_estimator": ROWS,
    "check_fit2d_1feature": ROWS,
    "check_fit2d_1sample": ROWS,
    "check_fit2d_predict1d": ROWS,
    "check_fit_check_is_fitted": "twin: test_not_fitted",
    "check_fit_idempotent": "twin: test_rows_do_not_depend_on_each_other",
    "check_fit_score_takes_y": ROWS,
    "check_methods_sample_order_invariance": "twin: test_rows_do_not_depend_on_each_other",
    "check_methods_subset_invariance": "twin: test_rows_do_not_depend_on_each_other",
    "check_n_features_in": "clips have no features",
    "check_n_features_in_after_fitting": "clips have no features",
    "check_pipeline_consistency": "twin: test_pipeline_from_files",
    "check_positive_only_tag_during_fit": ROWS,
    "check_readonly_memmap_input": ROWS,
    "check_transformer_data_not_an_array": ROWS,
    "check_transformer_general": ROWS,
    "check_transformer_get_feature_names_out": "twin: test_feature_names",
    "check_transformer_get_feature_names_out_pandas": "twin: test_feature_names",
    "check_transformer_preserve_dtypes": "the result is float32 whatever the frames are",
}


@parametrize_with_checks(
    [_Embedder2D("squeezenet11"), _VGG2D(weights=None)], expected_failed_checks=lambda _: FAILS
)
def test_sklearn_checks(estimator, check):
    check(estimator)


def pictures(n_clips=3, steps=3, size=32, seed=0):
    return np.random.default_rng(seed).integers(
        0, 256, (n_clips, steps, size, size, 3), dtype=np.uint8
    )


@pytest.fixture(scope="module")
def squeezenet():
    embedder = ImageEmbedder("squeezenet11", random_state=0)
    # There are none of it that go by a name.
    with pytest.warns(UntrainedWeightsWarning, match=r"random weights.*=<file of trained ones>$"):
        return embedder.fit(pictures())


# Values.


@pytest.fixture(scope="module")
def vgg():
    """The function ``vgg(seed)``: the network with weights of a seed."""

    @functools.cache
    def draw(seed):
        network = vgg16_base((32, 32, 3))
        draw_weights(network, seed)
        return network

    return draw


@pytest.mark.parametrize(("pooling", "preprocessing"), [("avg", "places365"), ("max", "none")])
def test_vgg_values(vgg, pooling, preprocessing):
    X = pictures(2, 3, 32)
    embedder = VGGPlacesEmbedder(None, pooling, preprocessing, batch_size=2, random_state=7).fit(X)
    maps = np.asarray(
        vgg(embedder.seed_)(ImagePreprocessing(preprocessing)(X.reshape(6, 32, 32, 3)))
    )
    expected = {"avg": np.mean, "max": np.max}[pooling](maps, axis=(1, 2)).reshape(2, 3, 512)
    features = embedder.transform(X)
    assert features.dtype == np.float32
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(features, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.skipif(
    not (SHARED / "squeezenet_places365.npz").exists(), reason="needs the Places365 SqueezeNet"
)
def test_squeezenet_golden_values():
    with np.load(SHARED / "squeezenet_places365_golden.npz") as golden:
        image, expected = golden["image"], golden["embedding"]
    embedder = ImageEmbedder("squeezenet11", weights=SHARED / "squeezenet_places365.npz")
    features = embedder.fit_transform(image[np.newaxis])
    np.testing.assert_allclose(features[0], expected, atol=1e-4)


def test_any_keras_model_and_its_file(tmp_path):
    model = keras.Sequential(
        [keras.Input((32, 32, 3)), keras.layers.Conv2D(7, 3), keras.layers.ReLU()]
    )
    X = pictures()
    embedder = ImageEmbedder(model, pooling="max").fit(X)
    expected = np.asarray(model(X.reshape(-1, 32, 32, 3))).max(axis=(1, 2)).reshape(3, 3, 7)
    np.testing.assert_allclose(embedder.transform(X), expected, rtol=1e-5)
    model.save(tmp_path / "own.keras")
    from_file = ImageEmbedder(tmp_path / "own.keras", pooling="max").fit(X)
    np.testing.assert_allclose(from_file.transform(X), expected, rtol=1e-5)
    copied = clone(embedder).fit(X)
    np.testing.assert_array_equal(copied.transform(X), embedder.transform(X))


def test_model_that_gives_vectors():
    inputs = keras.Input((32, 32, 3))
    outputs = keras.layers.GlobalAveragePooling2D()(inputs)
    X = pictures()
    features = ImageEmbedder(keras.Model(inputs, outputs)).fit_transform(X)
    np.testing.assert_allclose(features, X.mean(axis=(2, 3)), rtol=1e-5)


def test_a_model_trained_after_fit_is_noticed():
    inputs = keras.Input((32, 32, 3))
    model = keras.Model(inputs, keras.layers.Conv2D(2, 1)(inputs))
    embedder = ImageEmbedder(model).fit(pictures())
    model.set_weights([2 * w for w in model.get_weights()])
    with pytest.raises(WeightsError, match="not those of fit"):
        embedder.transform(pictures())


@pytest.mark.parametrize("model", ["alexnet", "nowhere.keras"])
def test_unknown_model(model):
    with pytest.raises(WeightsError, match=f"model='{model}' is neither one of"):
        ImageEmbedder(model).fit(pictures())


def test_network_that_is_no_image_network():
    inputs = keras.Input((8,))
    model = keras.Model(inputs, keras.layers.Dense(2)(inputs))
    with pytest.raises(WeightsError, match="must go from images"):
        ImageEmbedder(model).fit(pictures())


def test_random_weights_follow_the_seed():
    X = pictures(1)
    first, again, other = (
        ImageEmbedder("squeezenet11", random_state=seed).fit_transform(X) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3
    assert np.isfinite(first).all()


# Frames that are there and frames that are not.


def test_forms_of_clips(squeezenet):
    X = pictures(2)
    expected = squeezenet.transform(X)
    assert expected.shape == (2, 3, 512)
    objects = np.empty(2, dtype=object)
    objects[0], objects[1] = X
    lazy = VideoFrameSampler(fps=1, duration=3.0, size=32).transform(X)
    for form in (list(X), objects, pd.Series([X[0], X[1]]), lazy, X.astype(np.float64)):
        np.testing.assert_array_equal(squeezenet.transform(form), expected)
    assert squeezenet.transform(X[:0]).shape == (0, 3, 512)


def test_black_and_white_frames(squeezenet):
    X = np.zeros((2, 3, 32, 32, 3), dtype=np.uint8)
    X[1] = 255
    features = squeezenet.transform(X)
    assert np.isfinite(features).all()
    assert np.abs(features[0] - features[1]).max() > 0


def test_rows_do_not_depend_on_each_other(squeezenet):
    X = pictures(4)
    whole = squeezenet.transform(X)
    np.testing.assert_array_equal(squeezenet.transform(X[[2, 0]]), whole[[2, 0]])
    np.testing.assert_array_equal(clone(squeezenet).fit(X[:1]).transform(X), whole)


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_batches_do_not_matter(squeezenet, batch_size):
    X = pictures(2, steps=5)
    features = clone(squeezenet).set_params(batch_size=batch_size).fit(X).transform(X)
    np.testing.assert_allclose(features, squeezenet.transform(X), atol=1e-5)


def test_missing_clips(squeezenet):
    X = pictures(2)
    features = squeezenet.transform([None, X[0], X[1][:2]])
    assert np.isnan(features[0]).all()
    np.testing.assert_array_equal(features[1], squeezenet.transform(X)[0])
    assert np.isfinite(features[2, :2]).all()
    assert np.isnan(features[2, 2]).all()
    everything = squeezenet.transform([None, None])
    assert everything.shape == (2, 3, 512)
    assert np.isnan(everything).all()


def test_all_clips_missing_from_the_start():
    embedder = ImageEmbedder("squeezenet11").fit([None])
    with pytest.raises(ValueError, match="all clips are missing"):
        embedder.transform([None])
    assert np.isfinite(embedder.transform(pictures(1))).all()


def test_missing_frames(squeezenet):
    X = pictures(1).astype(np.float32)
    whole = squeezenet.transform(X)
    X[0, 1, 5, 5, 0] = np.nan
    features = squeezenet.transform(X)
    assert np.isnan(features[0, 1]).all()
    np.testing.assert_array_equal(features[0, [0, 2]], whole[0, [0, 2]])


def test_clip_that_ends_early(squeezenet, video_path):
    lazy = VideoFrameSampler(fps=5, duration=1.4, size=32).transform([video_path, None])
    features = squeezenet.transform(lazy)
    assert features.shape == (2, 7, 512)
    assert np.isfinite(features[0, :5]).all()
    assert np.isnan(features[0, 5:]).all()
    assert np.isnan(features[1]).all()


def test_unreadable_file(squeezenet, video_path, tmp_path):
    bad = tmp_path / "bad.mp4"
    bad.write_text("no video")
    X = [video_path, bad, video_path]
    sampler = VideoFrameSampler(fps=5, duration=1.0, size=32)
    with pytest.raises(MediaError, match=r"bad\.mp4: read picture"):
        squeezenet.transform(sampler.transform(X))
    lenient = clone(squeezenet).set_params(on_error="missing").fit(sampler.transform(X))
    for embedder, frames in (
        (lenient, sampler.transform(X)),
        (squeezenet, VideoFrameSampler(5, 32, 1.0, on_error="missing").transform(X)),
    ):
        with pytest.warns(MissingClipWarning, match=r"1 of 3 clips .*bad\.mp4"):
            features = embedder.transform(frames)
        assert np.isnan(features[1]).all()
        assert np.isfinite(features[[0, 2]]).all()


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (pd.DataFrame({"video": ["a.mp4"]}), "put a VideoFrameSampler before it"),
        (["a.mp4"], r"clip 0 is the path 'a\.mp4'"),
        (np.zeros((2, 32, 32, 3)), r"clip 0 is float64 of shape \(32, 32, 3\)"),
        (np.zeros((2, 3, 32, 32, 1)), "clip 0"),
        ([None, np.zeros((0, 32, 32, 3))], "clip 1 has the shape"),
        ([np.zeros((1, 32, 32, 3)), np.zeros((1, 48, 32, 3))], "images have the sizes"),
        ([["a", "b"]], r"clip 0 is \['a', 'b'\]; pass one path or array"),
    ],
)
def test_wrong_input(squeezenet, X, message):
    for method in (clone(squeezenet).fit, squeezenet.transform):
        with pytest.raises(ClipTableError, match=message):
            method(X)


@pytest.mark.parametrize(
    "params",
    [{"pooling": "sum"}, {"preprocessing": "bgr"}, {"runtime": "torch"}, {"batch_size": 0},
     {"on_error": "ignore"}, {"mmap_mode": "w"}],
)  # fmt: skip
def test_wrong_parameters(params):
    (name,) = params
    for embedder in (ImageEmbedder("squeezenet11", **params), VGGPlacesEmbedder(None, **params)):
        with pytest.raises(ValueError, match=f"'{name}' parameter"):
            embedder.fit(pictures())


# Around the network.


def test_not_fitted():
    with pytest.raises(ValueError, match="not fitted yet"):
        ImageEmbedder("squeezenet11").transform(pictures())


def test_feature_names(squeezenet):
    names = squeezenet.get_feature_names_out()
    assert names.shape == (512,)
    assert names[1] == "imageembedder1"


def test_pipeline_from_files(video_path, squeezenet):
    pipeline = make_pipeline(VideoFrameSampler(5, 32, 1.0), ImageEmbedder("squeezenet11", n_jobs=2))
    X = pd.DataFrame({"video": [str(video_path), None, str(video_path)]})
    features = pipeline.fit_transform(X)
    lazy = VideoFrameSampler(5, 32, 1.0).transform(X)
    np.testing.assert_array_equal(features, squeezenet.transform(lazy))


@pytest.mark.parametrize("make_memory", [str, lambda path: joblib.Memory(path, verbose=0)])
def test_memory(tmp_path, video_path, squeezenet, make_memory, monkeypatch, make_frames):
    short = make_frames(duration=0.6, fps=5)
    X = VideoFrameSampler(5, 32, 1.0).transform([video_path, None, short])
    embedder = clone(squeezenet).set_params(memory=make_memory(tmp_path)).fit(X)
    first = embedder.transform(X)
    np.testing.assert_array_equal(first, squeezenet.transform(X))
    assert len(list(tmp_path.rglob("*.npy"))) == 2

    from skavsc.visual import _embedder

    monkeypatch.setattr(_embedder, "decode", None)
    np.testing.assert_array_equal(embedder.transform(X), first)
    other = embedder.set_params(pooling="max").fit(X)
    with pytest.raises(TypeError):
        other.transform(X)


def test_memory_mapped_result(tmp_path, squeezenet):
    X = pictures()
    embedder = clone(squeezenet).set_params(memory=tmp_path, mmap_mode="r").fit(X)
    features = embedder.transform(X)
    assert isinstance(features, np.memmap)
    np.testing.assert_array_equal(features, squeezenet.transform(X))
    with pytest.raises(ValueError, match="memory="):
        embedder.set_params(memory=None).transform(X)


FRESH = """
import sys, joblib, numpy as np
embedder, X, expected = joblib.load(sys.argv[1])
np.testing.assert_allclose(embedder.transform(X), expected, atol=1e-6)
"""


def test_pickle_in_a_fresh_process(tmp_path, squeezenet, run_fresh):
    X = pictures()
    assert len(pickle.dumps(squeezenet)) < 5000
    joblib.dump((squeezenet, X, squeezenet.transform(X)), tmp_path / "embedder.joblib")
    run_fresh(FRESH, tmp_path / "embedder.joblib")


def test_survives_a_cleared_session(squeezenet):
    X = pictures()
    before = squeezenet.transform(X)
    keras.utils.clear_session()
    np.testing.assert_array_equal(squeezenet.transform(X), before)


def test_build_is_shared_between_clones(squeezenet):
    from skavsc.pretrained import open_keras

    seed = squeezenet.seed_
    assert open_keras("squeezenet11", None, seed) is open_keras("squeezenet11", None, seed)
    assert open_keras("squeezenet11", None, seed) is not open_keras("squeezenet11", None, seed + 1)


def test_preprocessing_equals_the_layer():
    from skavsc.visual._image_network import preprocess

    frames = pictures(1)[0]
    pair = ((1, 2, 3), (4, 5, 6))
    for mode in ("places365", "squeezenet-places365", "imagenet", "clip", "none", pair):
        np.testing.assert_allclose(
            preprocess(frames, mode), np.asarray(ImagePreprocessing(mode)(frames)), atol=1e-5
        )


def test_squeezenet_uses_its_own_preprocessing(squeezenet):
    X = pictures(1)
    named = ImageEmbedder(
        "squeezenet11", preprocessing="squeezenet-places365", random_state=0
    ).fit_transform(X)
    auto = squeezenet.transform(X)
    np.testing.assert_array_equal(auto, named)
    assert squeezenet11_base((None, None, 3)).count_params() == 722_496

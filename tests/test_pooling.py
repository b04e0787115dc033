"""Pooling over time: values against NumPy, missing steps, names, and scikit-learn's contract."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from skavsc import TimePooling
from skavsc.audio import GammatoneMelTransformer

ALL = ("mean", "std", "min", "max", "median")
REFERENCE = (np.nanmean, np.nanstd, np.nanmin, np.nanmax, np.nanmedian)


@parametrize_with_checks([TimePooling(), TimePooling(statistics=["median"])])
def test_sklearn_contract(estimator, check):
    check(estimator)


values = st.floats(-1e3, 1e3, width=32) | st.just(np.nan)


@given(arrays("float32", array_shapes(min_dims=3, max_dims=4, max_side=5), elements=values))
@settings(max_examples=60, deadline=None)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_statistics_are_those_of_numpy_without_the_missing_steps(X):
    result = TimePooling(ALL).fit_transform(X)
    expected = [function(X.astype(float), axis=-2).reshape(len(X), -1) for function in REFERENCE]
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, np.concatenate(expected, axis=1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(4, 6, 3), (4, 5, 6, 2)])
def test_missing_steps_have_no_influence_and_missing_clips_stay_missing(shape):
    X = np.random.default_rng(0).normal(size=shape).astype("float32")
    X[0, ..., 4:, :] = np.nan
    X[1] = np.nan
    pooling = TimePooling(ALL).fit(X)
    result = pooling.transform(X)
    assert np.isnan(result[1]).all()
    assert np.isfinite(result[[0, 2, 3]]).all()
    np.testing.assert_array_equal(result[0], pooling.transform(X[:1, ..., :4, :])[0])
    assert TimePooling(("std",)).fit_transform(X[2:, ..., :1, :]).max() == 0


def test_many_clips_equal_single_ones():
    # Two batches, the last one short.
    X = np.random.default_rng(0).normal(size=(3, 1200, 1200)).astype("float16")
    pooling = TimePooling().fit(X)
    whole = pooling.transform(X)
    for row in range(3):
        np.testing.assert_array_equal(pooling.transform(X[row : row + 1])[0], whole[row])


def test_names_and_tables():
    pooling = TimePooling(("max", "mean")).fit(np.zeros((2, 3, 2)))
    assert list(pooling.get_feature_names_out()) == ["max_x0", "max_x1", "mean_x0", "mean_x1"]
    assert list(pooling.get_feature_names_out(["a", "b"])) == ["max_a", "max_b", "mean_a", "mean_b"]
    spectrograms = TimePooling(("mean",)).fit(np.zeros((2, 2, 3, 2)))
    table = spectrograms.set_output(transform="pandas").transform(np.ones((2, 2, 5, 2)))
    assert list(table) == [f"mean_band{b}_channel{c}" for b in range(2) for c in range(2)]
    assert table.to_numpy().tolist() == [[1.0] * 4] * 2


@pytest.mark.parametrize("statistics", [(), ("mode",), ("mean", "skew"), 3, "mean"])
def test_unknown_statistics_are_named(statistics):
    with pytest.raises(ValueError, match="statistics"):
        TimePooling(statistics).fit(np.zeros((2, 3, 2)))


def test_features_of_another_shape_are_refused():
    pooling = TimePooling().fit(np.zeros((2, 3, 4)))
    with pytest.raises(ValueError, match=r"\(2, 3, 5\).*\(4,\)"):
        pooling.transform(np.zeros((2, 3, 5)))
    with pytest.raises(ValueError, match="infinity"):
        pooling.transform(np.full((2, 3, 4), np.inf))


def test_a_classifier_follows():
    rng = np.random.default_rng(0)
    time = np.arange(8_000) / 8_000
    y = np.repeat(["low", "high"], 6)
    pitches = np.where(y == "low", 200, 2000) * rng.uniform(0.8, 1.2, 12)
    sounds = 0.3 * np.sin(2 * np.pi * pitches[:, None] * time)
    pipeline = make_pipeline(
        GammatoneMelTransformer(sample_rate=8_000, duration=1.0, channels="mono"),
        TimePooling(),
        LogisticRegression(),
    )
    assert pipeline.fit(sounds[::2], y[::2]).score(sounds[1::2], y[1::2]) == 1

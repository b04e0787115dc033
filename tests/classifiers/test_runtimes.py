"""Prediction by onnxruntime in place of Keras."""

import copy
import multiprocessing
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator


@pytest.fixture(params=["audio", "visual", "both"])
def classifier(request, fitted):
    """A copy of each fitted classifier, whose parameters may be set."""
    return copy.copy(fitted[request.param])


@pytest.fixture
def clips(make_features):
    """Clips of 3 s, of which one lacks parts of a second."""
    X, _, _ = make_features(n_clips=8, seconds=3, seed=1)
    X["audio"][0, :, 60] = X["visual"][0, 8] = np.nan
    return X


@pytest.mark.parametrize("average", ["arithmetic", "geometric"])
def test_equal_to_keras(classifier, clips, average):
    classifier.set_params(clip_average=average, starts_per_second=5)
    fast = copy.copy(classifier).set_params(runtime="onnxruntime")
    for method in ("predict_proba", "predict_proba_segments"):
        expected = getattr(classifier, method)(clips)
        found = getattr(fast, method)(clips)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
        assert found.dtype == expected.dtype
    assert fast.history_ == classifier.history_


def test_threads_get_what_one_gets(classifier, clips):
    classifier.set_params(runtime="onnxruntime")
    expected = [classifier.predict_proba(clips[:n]) for n in range(1, 9)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: classifier.predict_proba(clips[:n]), [*range(1, 9)] * 8))
    for number, one in enumerate(found):
        np.testing.assert_array_equal(one, expected[number % 8])


def predict_in_fork(classifier, X, queue):
    queue.put(classifier.predict_proba(X))


def test_forks_predict(classifier, clips):
    classifier.set_params(runtime="onnxruntime")
    expected = classifier.predict_proba(clips)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    worker = context.Process(target=predict_in_fork, args=(classifier, clips, queue))
    worker.start()
    np.testing.assert_array_equal(queue.get(timeout=60), expected)
    worker.join()


@pytest.mark.usefixtures("eagerly")
def test_training_that_goes_on_is_seen(features, light_visual):
    X, y, _ = features
    classifier = light_visual(runtime="onnxruntime", epochs=1, validation_fraction=0).fit(X, y)
    before = classifier.predict_proba(X)
    classifier.partial_fit(X, y)
    after = classifier.predict_proba(X)
    assert np.abs(after - before).max() > 1e-4
    expected = classifier.set_params(runtime="keras").predict_proba(X)
    np.testing.assert_allclose(after, expected, rtol=0, atol=1e-5)


def test_onnx_models_are_not_pickled(classifier, clips):
    size = len(pickle.dumps(classifier))
    classifier.set_params(runtime="onnxruntime").predict_proba(clips)
    graph = len(classifier._onnx_graph())
    assert len(pickle.dumps(classifier)) < size + graph / 2


def test_unknown_runtime(classifier, clips):
    with pytest.raises(ValueError, match="runtime='tpu' must be one of"):
        classifier.set_params(runtime="tpu").predict_proba(clips)


def test_runtime_is_checked_before_training(build, features):
    with pytest.raises(ValueError, match="'runtime' parameter"):
        build(runtime="tpu").fit(*features[:2])


def test_copies_without_keras(classifier, clips, features):
    X, y, _ = features
    alone = pickle.loads(pickle.dumps(classifier._without_keras()))
    expected = classifier.predict_proba(clips)
    np.testing.assert_allclose(alone.predict_proba(clips), expected, rtol=0, atol=1e-5)
    assert alone.history_ == classifier.history_
    assert hasattr(classifier, "keras_classifier_")
    for use in (
        lambda: copy.copy(alone).set_params(runtime="keras").predict_proba(clips),
        lambda: copy.copy(alone).set_params(warm_start=True).fit(X, y),
        lambda: copy.copy(alone).partial_fit(X, y),
    ):
        with pytest.raises(ValueError, match="saved for onnxruntime"):
            use()


@pytest.mark.usefixtures("eagerly")
def test_copies_without_keras_are_fitted_anew(fitted, features):
    X, y, _ = features
    alone = fitted["visual"]._without_keras()
    alone.set_params(runtime="keras", epochs=1, random_state=1).fit(X, y)
    assert len(alone.history_["loss"]) == 1
    assert np.abs(alone.predict_proba(X) - fitted["visual"].predict_proba(X)).max() > 1e-4


def test_runtime_of_a_part_is_that_of_the_framework(features, fitted):
    framework = copy.copy(fitted["both"])
    framework.set_params(audio=copy.copy(framework.audio).set_params(runtime="onnxruntime"))
    with pytest.raises(ValueError, match="audio__runtime='onnxruntime' has no effect"):
        framework.fit(*features[:2])


def test_frozen_part_is_without_keras_too(fitted):
    framework = copy.copy(fitted["both"]).set_params(audio=FrozenEstimator(fitted["both"].audio_))
    alone = framework._without_keras()
    assert alone.audio.estimator is alone.audio_
    assert not hasattr(alone.audio_, "keras_classifier_")

"""Clip tables through scikit-learn's tools, from files to probabilities."""

import joblib
import keras
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedGroupKFold,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import Pipeline

from skavsc import (
    AudioSceneClassifier,
    GammatoneMelTransformer,
    LateFusionClassifier,
    ModalityUnion,
    SECRNNClassifier,
    VGGPlacesEmbedder,
    VideoFrameSampler,
    VisualSceneClassifier,
    make_scenes,
)
from skavsc.exceptions import MediaNotFoundError
from skavsc.visual import ImageEmbedder

pytestmark = pytest.mark.filterwarnings("ignore::skavsc.exceptions.UntrainedWeightsWarning")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return make_scenes(
        tmp_path_factory.mktemp("scenes"), 2, 4, 2, duration=1.0, size=(64, 48), difficulty=0
    )


def sound_pipeline(epochs=15):
    classifier = small_networks(epochs)[0].set_params(random_state=0)
    return Pipeline(
        [("features", GammatoneMelTransformer(duration=1.0)), ("classifier", classifier)]
    )


@pytest.fixture(scope="module")
def small_embedder():
    inputs = keras.Input((None, None, 3))
    initial = keras.initializers.HeNormal(0)  # seeded, as some weights see nothing of a scene
    maps = keras.layers.Conv2D(8, 3, strides=4, activation="relu", kernel_initializer=initial)(
        inputs
    )
    return ImageEmbedder(keras.Model(inputs, maps))


def both_modalities(embedder):
    picture = Pipeline(
        [
            ("frames", VideoFrameSampler(size=32, duration=1.0)),
            ("embedding", embedder),
        ]
    )
    return ModalityUnion([("audio", GammatoneMelTransformer(duration=1.0)), ("visual", picture)])


def small_networks(epochs=15):
    return (
        AudioSceneClassifier(filters=(4, 4, 4), epochs=epochs, learning_rate=0.02),
        VisualSceneClassifier(units=4, epochs=epochs, learning_rate=0.02, scale_frames=True),
    )


@pytest.mark.usefixtures("eagerly")
def test_grouped_cross_validation(scenes):
    scores = cross_val_score(
        sound_pipeline(epochs=6).set_params(classifier__validation_fraction=0),
        scenes.X,
        scenes.y,
        groups=scenes.groups,
        cv=StratifiedGroupKFold(2),
        error_score="raise",
    )
    assert scores.shape == (2,)
    assert scores.mean() > 0.6


@pytest.fixture(scope="module")
def searched(scenes, eager):
    """A search over both steps of a pipeline, by one fold."""
    fold = next(StratifiedGroupKFold(2).split(scenes.X, scenes.y, scenes.groups))
    candidates = [
        {"classifier__learning_rate": [rate], "features__filterbank": [filterbank]}
        for rate, filterbank in [(1e-3, "mel"), (0.02, "gammatone")]
    ]
    search = GridSearchCV(sound_pipeline(epochs=1), candidates, cv=[fold], error_score="raise")
    with eager():
        return search.fit(scenes.X, scenes.y, groups=scenes.groups)


def test_grid_search_over_learning_rate_and_filterbank(scenes, searched):
    assert len(searched.cv_results_["params"]) == 2
    # The refitted pipeline was really trained with the parameters that the search names.
    best, params = searched.best_estimator_, searched.best_params_
    rates = best["classifier"].history_["learning_rate"]
    assert rates[0] == pytest.approx(params["classifier__learning_rate"])
    falling = np.diff(best["features"].centre_frequencies_)[0] < 0
    assert falling == (params["features__filterbank"] == "gammatone")
    assert best.predict(scenes.X).shape == scenes.y.shape


def test_clone_is_unfitted(scenes):
    pipeline = clone(sound_pipeline())
    assert repr(pipeline) == repr(sound_pipeline())
    with pytest.raises(NotFittedError):
        pipeline.predict(scenes.X)


@pytest.fixture
def probabilities_of_fresh_process(scenes, tmp_path, run_fresh):
    """The function that gives what models predict of the scenes once they are in a file."""
    code = (
        "import joblib, numpy, pandas, warnings\n"
        "warnings.simplefilter('error', UserWarning)\n"
        # Keras's, of images that come as an array and not in a list.
        "warnings.filterwarnings('ignore', 'The structure of `inputs`')\n"
        f"models = joblib.load(r'{tmp_path / 'models.joblib'}')\n"
        f"clips = pandas.read_csv(r'{tmp_path / 'clips.csv'}')\n"
        "predicted = [model.predict_proba(clips) for model in models]\n"
        f"numpy.save(r'{tmp_path / 'p.npy'}', predicted)\n"
    )

    def predict(*models):
        joblib.dump(models, tmp_path / "models.joblib")
        scenes.X.to_csv(tmp_path / "clips.csv", index=False)
        run_fresh(code)
        return np.load(tmp_path / "p.npy")

    return predict


@pytest.mark.slow
def test_joblib_file_of_framework_pipeline_in_a_fresh_process(
    scenes, probabilities_of_fresh_process
):
    embedder = VGGPlacesEmbedder(None, preprocessing="none")
    framework = SECRNNClassifier(*small_networks(epochs=1), units=4, epochs=1, random_state=0)
    pipeline = Pipeline([("features", both_modalities(embedder)), ("classifier", framework)])
    pipeline.fit(scenes.X, scenes.y, classifier__groups=scenes.groups)
    np.testing.assert_array_equal(
        probabilities_of_fresh_process(pipeline)[0], pipeline.predict_proba(scenes.X)
    )


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("rule", ["mean", pytest.param(None, marks=pytest.mark.slow)])
def test_late_fusion_predicts_clips_that_lost_a_stream(scenes, small_embedder, rule):
    options = {"random_state": 0, "validation_fraction": 0}
    audio, visual = (part.set_params(**options) for part in small_networks(epochs=8))
    fusion = LateFusionClassifier([("audio", audio), ("visual", visual)], rule, cv=2)
    features = both_modalities(small_embedder)
    pipeline = Pipeline([("features", features), ("classifier", fusion)])
    pipeline.fit(scenes.X, scenes.y, classifier__groups=scenes.groups)
    whole = pipeline.predict_proba(scenes.X)
    lost = scenes.X.copy()
    lost.loc[lost.index[:3], "video"] = None
    lost.loc[lost.index[3:5], "audio"] = None
    probabilities = pipeline.predict_proba(lost)
    assert probabilities.shape == (len(lost), 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    np.testing.assert_allclose(probabilities[5:], whole[5:], atol=1e-6)
    assert not np.allclose(probabilities[:5], whole[:5])
    assert pipeline.score(lost, scenes.y) > 0.6


def weights_moved(embedder, trained):
    weights = zip(embedder.model.get_weights(), trained.model.get_weights(), strict=True)
    return not any(np.array_equal(before, after) for before, after in weights)


@pytest.mark.slow
def test_visual_network_is_trained_from_films_in_cross_validation(scenes, small_embedder):
    visual = small_networks()[1].set_params(
        random_state=0,
        units=8,
        epochs=40,
        embedder=small_embedder,
        fine_tune="all",
        fine_tune_learning_rate=0.003,
        validation_fraction=0,
    )
    pipeline = Pipeline(
        [("frames", VideoFrameSampler(size=32, duration=1.0)), ("classifier", visual)]
    )
    folds = StratifiedGroupKFold(2).split(scenes.X, scenes.y, scenes.groups)
    scored = cross_validate(
        pipeline,
        scenes.X,
        scenes.y,
        cv=[next(folds)],
        error_score="raise",
        return_estimator=True,
    )
    assert scored["test_score"].mean() > 0.6
    for fitted in scored["estimator"]:
        assert weights_moved(small_embedder, fitted["classifier"].embedder_)


@pytest.fixture(scope="module")
def lost(scenes):
    """The clips, of which three lack a stream."""
    lost = scenes.X.copy()
    lost.loc[lost.index[[0, 9]], "video"] = None
    lost.loc[lost.index[5], "audio"] = None
    return lost


@pytest.fixture(scope="module")
def framework_on_files(scenes, lost, small_embedder, eager):
    """A pipeline from those files to labels, whose image network was trained too."""
    features = ModalityUnion(
        [
            ("audio", GammatoneMelTransformer(duration=1.0)),
            ("visual", VideoFrameSampler(size=32, duration=1.0)),
        ]
    )
    framework = SECRNNClassifier(
        *small_networks(epochs=6),
        fine_tune="all",
        embedder=small_embedder,
        fine_tune_learning_rate=0.003,
        units=4,
        epochs=3,
        learning_rate=0.01,
        modality_dropout=0.3,
        validation_fraction=0,
        random_state=0,
    )
    with eager():
        return Pipeline([("features", features), ("classifier", framework)]).fit(lost, scenes.y)


@pytest.mark.usefixtures("eagerly")
def test_framework_is_trained_from_files_of_which_some_are_missing(
    scenes, lost, small_embedder, framework_on_files
):
    pipeline = framework_on_files
    assert weights_moved(small_embedder, pipeline["classifier"].embedder_)
    probabilities, whole = pipeline.predict_proba(lost), pipeline.predict_proba(scenes.X)
    assert pipeline.score(scenes.X, scenes.y) > 0.6
    there = np.delete(np.arange(len(lost)), [0, 5, 9])
    np.testing.assert_allclose(probabilities[there], whole[there], atol=1e-6)
    assert np.isfinite(probabilities).all()
    for row in (0, 5, 9):
        assert not np.allclose(probabilities[row], whole[row])


def test_joblib_files_of_pipelines_in_a_fresh_process(
    scenes, searched, framework_on_files, probabilities_of_fresh_process
):
    pipelines = searched.best_estimator_, framework_on_files
    alone, both = probabilities_of_fresh_process(*pipelines)
    np.testing.assert_array_equal(alone, pipelines[0].predict_proba(scenes.X))
    np.testing.assert_array_equal(both, pipelines[1].predict_proba(scenes.X))


def test_missing_file_is_named_through_the_pipeline(scenes):
    X = scenes.X.copy()
    X.loc[X.index[2], "audio"] = "gone.wav"
    with pytest.raises(MediaNotFoundError, match=r"gone\.wav: open: "):
        sound_pipeline().fit(X, scenes.y)

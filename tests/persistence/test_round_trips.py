"""Every public estimator, fitted on features of real files, is the same from a model file."""

import os
import subprocess
import sys

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline

import skavsc
from skavsc.classifiers import EmbeddingSceneClassifier

LABELS = np.array(["park", "tram"] * 3)
SHORT = {"epochs": 1, "validation_fraction": 0, "random_state": 0}


def sound():
    return skavsc.GammatoneMelTransformer(
        "gammatone", "mono", sample_rate=8000, duration=1.0, n_bands=8
    )


def sampler():
    return skavsc.VideoFrameSampler(size=32, duration=1.0)


def picture(networks):
    return make_pipeline(
        sampler(), skavsc.ImageEmbedder(networks["onnx"], preprocessing="imagenet")
    )


def union(networks):
    return skavsc.ModalityUnion([("audio", sound()), ("visual", picture(networks))])


def audio_network():
    return skavsc.AudioSceneClassifier(filters=(2, 2, 2), **SHORT)


def visual_network():
    return skavsc.VisualSceneClassifier(units=2, **SHORT)


def framework():
    return skavsc.SECRNNClassifier(
        skavsc.AudioSceneClassifier(filters=(2, 2, 2), epochs=1),
        skavsc.VisualSceneClassifier(units=2, epochs=1),
        units=2,
        **SHORT,
    )


def on_picture(networks, classifier):
    return Pipeline([("features", picture(networks)), ("classifier", classifier)])


# What each is for: the classes of ours that it holds are looked for below.
MODELS = {
    "sound": lambda n: make_pipeline(sound(), skavsc.TimePooling(), LogisticRegression()),
    "sound by a network": lambda n: skavsc.AudioEmbedder(
        n["sound"], sample_rate=8000, window=0.5, hop=0.5, duration=1.0
    ),
    "frames": lambda n: sampler(),
    "pixels": lambda n: make_pipeline(sampler(), skavsc.PixelEmbedder()),
    "pictures by Keras": lambda n: make_pipeline(
        sampler(), skavsc.ImageEmbedder("squeezenet11", weights=n["keras"], batch_size=5)
    ),
    "novelty": lambda n: make_pipeline(
        sound(), skavsc.TimePooling(), skavsc.SceneNoveltyDetector(cv=3)
    ),
    "audio network": lambda n: make_pipeline(sound(), audio_network()),
    "visual network": lambda n: on_picture(n, visual_network()),
    "transformer": lambda n: Pipeline(
        [
            ("features", union(n)),
            (
                "classifier",
                EmbeddingSceneClassifier("transformer", modality="visual", units=4, **SHORT),
            ),
        ]
    ),
    "framework": lambda n: Pipeline([("features", union(n)), ("classifier", framework())]),
    "fusion of networks": lambda n: Pipeline(
        [
            ("features", union(n)),
            (
                "classifier",
                skavsc.LateFusionClassifier(
                    [("audio", audio_network()), ("visual", visual_network())],
                    final_estimator="mean",
                ),
            ),
        ]
    ),
    "search": lambda n: on_picture(
        n, GridSearchCV(visual_network(), {"units": [2, 3]}, cv=2, refit=True)
    ),
    "calibrated": lambda n: on_picture(n, CalibratedClassifierCV(visual_network(), cv=2)),
}
# VGG16 takes seconds to draw and 60 MB to write.
SLOW_MODELS = {
    "VGG16": lambda n: make_pipeline(sampler(), skavsc.VGGPlacesEmbedder(n["vgg"])),
}


def test_every_public_estimator_is_here():
    from skavsc.persistence._trust import objects

    networks = dict.fromkeys(("onnx", "sound", "keras", "vgg"), "file")
    models = [make(networks) for make in (MODELS | SLOW_MODELS).values()]
    held = {type(item) for model in models for item in objects(model)}
    public = [getattr(skavsc, name) for name in skavsc.__all__]
    estimators = {
        item for item in public if isinstance(item, type) and issubclass(item, BaseEstimator)
    }
    assert estimators - held == set()


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    import keras

    from skavsc.networks import squeezenet11_base

    folder = tmp_path_factory.mktemp("networks")
    paths = {"onnx": folder / "images.onnx", "sound": folder / "sound.onnx"}
    pictures = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Conv2D(6, 5, strides=3)])
    skavsc.to_onnx(pictures, paths["onnx"])
    windows = keras.Sequential([keras.Input((4000,)), keras.layers.Dense(5, activation="relu")])
    skavsc.to_onnx(windows, paths["sound"])
    paths["keras"] = folder / "squeezenet.weights.h5"
    squeezenet11_base((32, 32, 3)).save_weights(paths["keras"])
    return {name: str(path) for name, path in paths.items()}


COMMON = """
import numpy as np

def output(model, table):
    if hasattr(model, "predict_proba"):
        return model.predict_proba(table)
    if hasattr(model, "score_samples"):
        return model.score_samples(table)
    found = model.transform(table)
    if isinstance(found, np.ndarray) and found.dtype != object:
        return found
    return np.stack([np.asarray(frames) for frames in found])
"""
namespace = {}
exec(COMMON, namespace)
output = namespace["output"]

PROGRAM = (
    COMMON
    + """
import pathlib, sys, pandas as pd, skavsc
folder, tolerance = pathlib.Path(sys.argv[1]), float(sys.argv[2])
table = pd.read_csv(folder / "table.csv")
for path in sorted(folder.glob("*.skops")):
    found, expected = output(skavsc.load(path), table), np.load(path.with_suffix(".npy"))
    assert found.dtype == expected.dtype, path
    difference = np.abs(found.astype(float) - expected.astype(float)).max()
    assert difference <= tolerance, (path, difference)
    print(path.stem)
"""
)


def saved(makers, networks, table, folder):
    """A folder with a model file and its predictions for each model."""
    table.to_csv(folder / "table.csv", index=False)
    for name, make in makers.items():
        model = make(networks).fit(table, LABELS)
        np.save(folder / f"{name}.npy", output(model, table))
        skavsc.save(model, folder / f"{name}.skops")
    return folder


def loaded_elsewhere(folder, tolerance, **environment):
    """The models that predict the same in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder), str(tolerance)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "SKAVSC_CACHE_DIR": str(folder / "cache"), **environment},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return set(done.stdout.splitlines())


@pytest.fixture(scope="module")
def folder(networks, table, tmp_path_factory):
    return saved(MODELS, networks, table, tmp_path_factory.mktemp("models"))


@pytest.mark.slow
def test_equal_to_the_last_bit_in_a_fresh_process(folder):
    assert loaded_elsewhere(folder, 0) == set(MODELS)


@pytest.mark.slow
def test_equal_on_another_backend(folder):
    import keras

    other = "jax" if keras.backend.backend() == "tensorflow" else "tensorflow"
    assert loaded_elsewhere(folder, 1e-5, KERAS_BACKEND=other) == set(MODELS)


@pytest.mark.slow
def test_vgg16(networks, table, tmp_path):
    import keras

    from skavsc.networks import vgg16_base

    keras.utils.set_random_seed(0)
    path = tmp_path / "vgg.weights.h5"
    vgg16_base((32, 32, 3)).save_weights(path)
    saved(SLOW_MODELS, {**networks, "vgg": str(path)}, table, tmp_path)
    assert loaded_elsewhere(tmp_path, 0) == set(SLOW_MODELS)

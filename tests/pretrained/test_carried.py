"""Pickles of fitted embedders work where the files of their networks are not."""

import os
import pickle
import shutil
import subprocess
import sys

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import skavsc
from skavsc.exceptions import WeightsNotFoundError

FRAMES = np.random.default_rng(0).integers(0, 256, (4, 2, 32, 32, 3), dtype=np.uint8)
LABELS = ["park", "tram"] * 2


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """An ONNX file, and a file of weights of SqueezeNet in Keras."""
    import keras

    from skavsc.networks import squeezenet11_base

    folder = tmp_path_factory.mktemp("networks")
    tiny = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Conv2D(4, 3, strides=2)])
    skavsc.to_onnx(tiny, folder / "tiny.onnx")
    squeezenet11_base((32, 32, 3)).save_weights(folder / "squeezenet.weights.h5")
    return folder


def embedders(folder):
    return {
        "onnx": skavsc.ImageEmbedder(folder / "tiny.onnx", preprocessing="imagenet"),
        "keras": skavsc.ImageEmbedder("squeezenet11", weights=folder / "squeezenet.weights.h5"),
    }


PROGRAM = """
import sys, joblib, numpy as np
model = joblib.load("model.joblib")
np.save("found.npy", model.predict_proba(np.load("frames.npy")))
"""


def test_in_an_empty_environment(networks, tmp_path):
    source, there = tmp_path / "source", tmp_path / "there"
    shutil.copytree(networks, source)
    there.mkdir()
    models = {
        name: make_pipeline(embedder, skavsc.TimePooling(), LogisticRegression()).fit(
            FRAMES, LABELS
        )
        for name, embedder in embedders(source).items()
    }
    expected = models["onnx"].predict_proba(FRAMES)
    joblib.dump(models["onnx"], tmp_path / "model.joblib")
    np.save(there / "frames.npy", FRAMES)
    shutil.move(tmp_path / "model.joblib", there)
    shutil.rmtree(source)
    (there / "home").mkdir()
    empty = {"HOME": str(there / "home"), "PATH": os.environ["PATH"]}
    empty |= {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
    subprocess.run([sys.executable, "-c", PROGRAM], cwd=there, env=empty, check=True)
    assert np.array_equal(np.load(there / "found.npy"), expected)


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("kind", ["onnx", "keras"])
def test_file_that_is_gone_or_changed(networks, tmp_path, monkeypatch, kind):
    monkeypatch.setenv("SKAVSC_CACHE_DIR", str(tmp_path / "cache"))
    source = tmp_path / "source"
    shutil.copytree(networks, source)
    embedder = embedders(source)[kind].fit(FRAMES)
    expected, pickled = embedder.transform(FRAMES), pickle.dumps(embedder)
    # Where the file is there, it is used.
    assert str(source) in str(pickle.loads(pickled).get_params().values())
    for change in (shutil.rmtree, os.mkdir):
        change(source)
        loaded = pickle.loads(pickled)
        assert np.array_equal(loaded.transform(FRAMES), expected)
        assert np.array_equal(clone(loaded).fit_transform(FRAMES), expected)
        assert str(source) not in str(loaded.get_params().values())


def test_file_that_is_gone_when_pickled(networks, tmp_path):
    path = shutil.copy(networks / "tiny.onnx", tmp_path)
    embedder = skavsc.ImageEmbedder(path, preprocessing="imagenet").fit(FRAMES)
    os.unlink(path)
    with pytest.raises(WeightsNotFoundError, match=r"tiny\.onnx.* is no file"):
        pickle.dumps(embedder)


def test_only_what_is_fitted_carries_files(networks):
    embedder = embedders(networks)["keras"]
    assert len(pickle.dumps(embedder)) < 5000


def test_cache_folder_that_cannot_be_written(networks, tmp_path, monkeypatch):
    path = shutil.copy(networks / "tiny.onnx", tmp_path)
    pickled = pickle.dumps(skavsc.ImageEmbedder(path, preprocessing="imagenet").fit(FRAMES))
    os.unlink(path)
    (tmp_path / "file").touch()
    monkeypatch.setenv("SKAVSC_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(OSError, match="set SKAVSC_CACHE_DIR to a folder that can be written"):
        pickle.loads(pickled)

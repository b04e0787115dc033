"""The messages on the page Troubleshooting are those that users meet."""

import contextlib
import os
import re
import shutil
import sys
import warnings
from pathlib import Path

import joblib
import numpy as np
import onnx
import pandas as pd
import pooch
import pytest
from onnx import TensorProto, helper
from sklearn.base import clone
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline

import skavsc
from skavsc import (
    AudioEmbedder,
    AudioSceneClassifier,
    GammatoneMelTransformer,
    ImageEmbedder,
    SECRNNClassifier,
    TimePooling,
    VideoFrameSampler,
    load_clip_folder,
    load_clip_table,
    make_scene_classifier,
    make_scenes,
    scene_report,
)

PAGE = Path(__file__).parents[1] / "docs" / "guide" / "troubleshooting.md"


def messages_of(section):
    """Return the messages of a section of the page."""
    text = re.search(
        rf"^## {section}\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.DOTALL | re.MULTILINE
    )
    return re.findall(r"^```text\n(.*?)^```", text[1], re.DOTALL | re.MULTILINE)


def pattern(message):
    """Return the regular expression of a message on the page; ``...`` is anything."""
    parts = (re.escape(part) for part in " ".join(message.split()).split("..."))
    return ".*".join(parts)


def message_of(action):
    """Return the error of an action, or its warnings if it has none, as Python prints them."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            action()
        except Exception as error:
            return f"{type(error).__name__}: {error}"
    return "\n".join(f"{each.category.__name__}: {each.message}" for each in caught)


def raise_error(*_, **__):
    raise ConnectionError("no network")


def write_network(path, n_outputs=1, shape=(1, 8000)):
    tensors = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name in ["given", *(f"found{k}" for k in range(n_outputs))]
    ]
    nodes = [helper.make_node("Identity", ["given"], [tensor.name]) for tensor in tensors[1:]]
    graph = helper.make_graph(nodes, "graph", tensors[:1], tensors[1:])
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("troubles")


@pytest.fixture(scope="module")
def scenes(folder):
    return make_scenes(folder / "scenes", 2, 2, 1, duration=1.0, size=(64, 48))


@pytest.fixture(scope="module")
def recipe(scenes):
    """A classifier of sound and picture, not fitted; features are kept."""
    memory = Path(scenes.X["audio"][0]).parents[2] / "cache"
    return make_scene_classifier("statistics", duration=1.0, C=1.0, memory=memory)


@pytest.fixture
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SKAVSC_CACHE_DIR", str(folder / "weights"))
    return folder


@contextlib.contextmanager
def section(name):
    """Yield a check that an action's message is in a section; at the end all of it must be met."""
    messages = messages_of(name)
    met = []

    def check(action, *words):
        found = " ".join(message_of(action).split())
        matching = [message for message in messages if re.fullmatch(pattern(message), found)]
        assert len(matching) == 1, f"not on the page, or twice: {found}"
        assert all(word in found for word in words)
        met.extend(matching)

    yield check
    assert set(messages) == set(met)


def test_finding_clips(here, scenes):
    with section("Finding clips") as check:
        video = scenes.X["video"][0]
        for place in ("empty", "flat", "one/park", "one/tram", "two/park"):
            (here / place).mkdir(parents=True)
        for copy in ("flat/lake_1.mp4", "one/park/lake_1.mp4", "two/park/lake_1.mp4"):
            shutil.copy(video, here / copy)
        Path("columns.csv").write_text("file,label\na.wav,park\n")
        Path("files.csv").write_text("audio,video,label\na.wav,,park\nb.wav,,tram\n")
        check(lambda: load_clip_folder("elsewhere"))
        check(lambda: load_clip_folder("empty"))
        check(lambda: load_clip_folder("flat"))
        check(lambda: load_clip_folder("one"))
        check(lambda: load_clip_folder("two", groups=r"^(\d+)-"))
        check(lambda: load_clip_table("columns.csv"))
        check(lambda: load_clip_table("files.csv"))
        sound = GammatoneMelTransformer(duration=1.0)
        check(lambda: sound.fit(scenes.X["audio"][0]))
        check(lambda: sound.fit(scenes.X.iloc[0]))
        check(lambda: sound.fit(scenes.X[["video"]]))


def test_reading_files(here, scenes):
    with section("Reading files") as check:
        whole = Path(scenes.X["audio"][0]).read_bytes()
        Path("empty.wav").touch()
        Path("text.wav").write_text("no sound\n" * 20)
        Path("cut.wav").write_bytes(whole[: len(whole) // 2])
        sound = GammatoneMelTransformer("mel", duration=1.0)
        check(lambda: sound.fit_transform(["nothing.wav"]))
        check(lambda: sound.fit_transform(["empty.wav"]))
        check(lambda: sound.fit_transform(["text.wav"]))
        check(lambda: sound.fit_transform(scenes.X["video"]))
        check(lambda: sound.fit_transform(["cut.wav"]))
        frames = VideoFrameSampler(duration=1.0).fit_transform(scenes.X["audio"])
        check(lambda: np.asarray(frames[0]))
        sound.set_params(on_error="missing")
        check(lambda: sound.fit_transform(["text.wav", *scenes.X["audio"]]), "1 of 5")
        sound.set_params(memory="text.wav")
        check(lambda: sound.fit_transform(scenes.X))


def test_training(scenes, recipe):
    with section("Training") as check:
        X, y, groups = scenes.X, scenes.y, scenes.groups
        check(lambda: recipe.fit(X, y, groups=groups))
        check(lambda: recipe.fit(X, y, classifier__groups=[0, 0, 1, 2]), "'park'")
        cv = StratifiedGroupKFold(5)
        check(lambda: cross_val_score(recipe, X, y, groups=groups, cv=cv))
        check(lambda: recipe.fit(X[:2], y[:2]))
        nothing = X.copy()
        nothing.loc[0, ["audio", "video"]] = None
        check(lambda: clone(recipe).fit(nothing, y), "rows [0]")
        check(lambda: recipe.fit(X, [None, "a", "a", "b"]))
        plain = make_pipeline(GammatoneMelTransformer(), TimePooling(), LogisticRegression())
        check(lambda: plain.fit(X.assign(audio=None), y))
        check(lambda: GammatoneMelTransformer(duration="4").fit(X))
        features = np.zeros(4, dtype=[("audio", "f4", (16, 50, 1)), ("visual", "f4", (5, 6))])
        features["visual"][0] = np.nan
        sound = AudioSceneClassifier()
        check(lambda: sound.fit(features["audio"], y, groups=[0, 0, 0, 0]))
        framework = SECRNNClassifier(validation_fraction=0, epochs=1)
        check(lambda: framework.fit(features, y), "row 0")
        check(lambda: framework.fit(pd.DataFrame({"audio": ["a"] * 4, "video": ["b"] * 4}), y))


@pytest.mark.slow
def test_predicting(scenes, recipe, monkeypatch):
    with section("Predicting") as check:
        check(lambda: clone(recipe).predict(scenes.X))
        fitted = clone(recipe).fit(scenes.X, scenes.y, classifier__groups=None)
        check(lambda: fitted.predict(scenes.X.assign(audio=None, video=None)))
        X = np.random.default_rng(0).normal(size=(4, 16, 50, 1))
        y = ["park", "tram"] * 2
        network = AudioSceneClassifier(filters=(2, 2, 2), epochs=1, validation_fraction=0)
        network.fit(X, y)
        check(lambda: network.predict(X[:, :8]))
        process = os.getpid()
        monkeypatch.setattr(os, "getpid", lambda: process + 1)
        check(lambda: network.predict(X), f"fork of process {process}")


def test_networks(here, monkeypatch):
    with section("Networks") as check:
        monkeypatch.setattr(pooch, "retrieve", raise_error)
        sound = [np.zeros(16_000, dtype=np.float32)]
        frames = np.zeros((1, 1, 64, 64, 3), dtype=np.uint8)
        check(lambda: AudioEmbedder("yamnet").fit(sound))
        check(lambda: AudioEmbedder("openl3-audio").fit(sound))
        check(lambda: AudioEmbedder("net.onnx").fit(sound))
        check(lambda: AudioEmbedder("vggish").fit(sound))
        Path("page.onnx").write_text("<html>")
        check(lambda: AudioEmbedder("page.onnx").fit(sound))
        write_network("sound.onnx")
        check(lambda: AudioEmbedder("sound.onnx").fit(sound))
        write_network("two.onnx", n_outputs=2)
        check(lambda: AudioEmbedder("two.onnx", sample_rate=16_000).fit(sound))
        write_network("images.onnx", shape=(1, 3, 224, 224))
        check(lambda: ImageEmbedder("images.onnx").fit(frames))
        check(lambda: ImageEmbedder("images.onnx", preprocessing="none").fit(frames))
        check(lambda: ImageEmbedder("vgg16").fit(frames))
        Path("sound.tflite").write_bytes(b"TFL3")
        for missing in ("ai_edge_litert", "ai_edge_litert.interpreter", "jinja2"):
            monkeypatch.setitem(sys.modules, missing, None)
        check(lambda: AudioEmbedder("sound.tflite", sample_rate=16_000).fit(sound))
        check(lambda: scene_report(["a", "b"], np.eye(2)).to_html("report.html"))


def test_model_files(here, scenes):
    with section("Model files") as check:
        joblib.dump(1, "m.joblib")
        check(lambda: skavsc.load("m.joblib"))
        boosting = GradientBoostingClassifier(n_estimators=1).fit([[0], [1]], [0, 1])
        check(lambda: skavsc.save(boosting, "m.skops"))
        keras = pytest.importorskip("keras")
        network = keras.Sequential([keras.layers.Input((800,)), keras.layers.Dense(2)])
        check(lambda: skavsc.save(AudioEmbedder(network, sample_rate=8000), "m.skops"))


def test_rendered_scenes(here, scenes):
    with section("Rendered scenes") as check:
        check(lambda: make_scenes(here / "scenes", 3))

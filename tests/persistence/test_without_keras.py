"""Model files saved for onnxruntime predict where neither Keras nor TensorFlow can be imported."""

import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import helper
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline

import skavsc
from skavsc.classifiers import SECRNNClassifier
from skavsc.exceptions import ModelFileError
from skavsc.training._onnx_classifier import check_graph

pytestmark = pytest.mark.usefixtures("all_eagerly")

LABELS = ["park", "tram"] * 3  # of the clips in the table

# Named in a traceback where a module of ours asks for them.
BLOCKER = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("keras", "tensorflow", "scikeras", "jax", "torch"):
            raise ImportError(f"{name} is not installed")

sys.meta_path.insert(0, Blocker())
"""


@pytest.fixture(scope="module")
def features(image_network):
    sound = skavsc.GammatoneMelTransformer(
        "gammatone", "mono", sample_rate=8000, duration=1.0, n_bands=8
    )
    picture = make_pipeline(
        skavsc.VideoFrameSampler(size=16, duration=1.0),
        skavsc.ImageEmbedder(image_network, preprocessing="imagenet"),
    )
    return skavsc.ModalityUnion([("audio", sound), ("visual", picture)])


SHORT = {"epochs": 1, "validation_fraction": 0}


def small_audio(**options):
    return skavsc.AudioSceneClassifier(filters=(2, 2, 2), **SHORT, **options)


@pytest.fixture(scope="module")
def whole(features, table):
    """A whole pipeline from files to labels, fitted."""
    framework = SECRNNClassifier(
        skavsc.AudioSceneClassifier(filters=(2, 2, 2), epochs=1),
        skavsc.VisualSceneClassifier(units=2, epochs=1),
        units=2,
        random_state=0,
        **SHORT,
    )
    pipeline = Pipeline([("features", features), ("classifier", framework)])
    return pipeline.fit(table, LABELS)


def predicted_without_keras(folder, table):
    """What each model file of a folder predicts in a process that cannot import Keras."""
    table.to_csv(folder / "table.csv", index=False)
    program = BLOCKER + (
        "import pathlib, numpy as np, pandas as pd, skavsc\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "table = pd.read_csv(folder / 'table.csv')\n"
        "for path in folder.glob('*.skops'):\n"
        "    model = skavsc.load(path)\n"
        "    np.save(path.with_suffix('.npy'), model.predict_proba(table))\n"
        "assert not {'keras', 'tensorflow', 'scikeras'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return {path.stem: np.load(path) for path in folder.glob("*.npy")}


def test_pipelines_from_files(whole, features, table, tmp_path, monkeypatch):
    monkeypatch.setenv("SKAVSC_CACHE_DIR", str(tmp_path / "cache"))
    branches = [
        ("audio", small_audio(random_state=0)),
        ("visual", make_pipeline(skavsc.TimePooling(), LogisticRegression())),
    ]
    fused = skavsc.LateFusionClassifier(branches, final_estimator="mean")
    models = {"framework": whole, "fusion": Pipeline([("features", features), ("fusion", fused)])}
    models["fusion"].fit(table, LABELS)
    for name, model in models.items():
        skavsc.save(model, tmp_path / f"{name}.skops", runtime="onnxruntime")
    found = predicted_without_keras(tmp_path, table)
    assert set(found) == set(models)
    for name, model in models.items():
        expected = model.predict_proba(table)
        np.testing.assert_allclose(found[name], expected, rtol=0, atol=1e-5)


def test_what_is_saved_is_not_changed(whole, tmp_path):
    before = whole.get_params()
    skavsc.save(whole, tmp_path / "a.skops", runtime="onnxruntime")
    assert whole.get_params() == before
    assert hasattr(whole[-1].audio_, "keras_classifier_")


def test_runtime_of_the_classifier_decides(whole, tmp_path):
    X = np.random.default_rng(0).normal(size=(6, 5, 4)).astype("f4")
    classifier = skavsc.VisualSceneClassifier(units=2, runtime="onnxruntime", **SHORT)
    skavsc.save(classifier.fit(X, LABELS), tmp_path / "a.skops", sample=X[:2])
    loaded = skavsc.load(tmp_path / "a.skops", verify=True)
    assert not hasattr(loaded, "keras_classifier_")
    np.testing.assert_array_equal(loaded.predict_proba(X), classifier.predict_proba(X))
    classifier.set_params(runtime="keras")
    skavsc.save(classifier, tmp_path / "b.skops")
    assert hasattr(skavsc.load(tmp_path / "b.skops"), "keras_classifier_")


@pytest.mark.slow
def test_wrapped_classifiers(tmp_path):
    X = np.random.default_rng(0).normal(size=(6, 5, 4)).astype("f4")
    visual = skavsc.VisualSceneClassifier(units=2, random_state=0, **SHORT)
    fitted = GridSearchCV(visual, {"units": [2, 3]}, cv=2).fit(X, LABELS)
    calibrated = CalibratedClassifierCV(FrozenEstimator(fitted.best_estimator_), cv=3).fit(
        X, LABELS
    )
    for number, model in enumerate((fitted, calibrated)):
        path = tmp_path / f"{number}.skops"
        skavsc.save(model, path, runtime="onnxruntime")
        found = skavsc.load(path).predict_proba(X)
        np.testing.assert_allclose(found, model.predict_proba(X), rtol=0, atol=1e-5)


def test_unknown_runtime(whole, tmp_path):
    with pytest.raises(ValueError, match="runtime='keras'"):
        skavsc.save(whole, tmp_path / "a.skops", runtime="keras")


@pytest.fixture(scope="module")
def graph():
    X = np.random.default_rng(0).normal(size=(6, 5, 4)).astype("f4")
    classifier = skavsc.VisualSceneClassifier(units=2, random_state=0, **SHORT)
    return skavsc.to_onnx(classifier.fit(X, LABELS))


def changed(graph, change):
    model = onnx.load_model_from_string(graph)
    change(model)
    return model.SerializeToString()


def operator(kind, domain=""):
    def change(model):
        model.graph.node[0].op_type, model.graph.node[0].domain = kind, domain

    return change


def stored_elsewhere(model):
    array = model.graph.initializer[0]
    array.data_location = onnx.TensorProto.EXTERNAL
    array.external_data.add(key="location", value="/etc/passwd")


def wide(model):
    """An outer product of two vectors of the file makes 10 GB."""
    name = model.graph.output[0].name
    for number in range(2):
        long = np.ones((50_000, 1)[:: 1 - 2 * number], "f4")
        model.graph.initializer.append(onnx.numpy_helper.from_array(long, f"long{number}"))
    model.graph.node.append(helper.make_node("MatMul", ["long0", "long1"], ["wide"]))
    model.graph.node.append(helper.make_node("ReduceMax", ["wide"], ["largest"], keepdims=0))
    last = next(node for node in model.graph.node if node.output[0] == name)
    last.output[0] = "before"
    model.graph.node.append(helper.make_node("Add", ["before", "largest"], [name]))


def inner_graph(model):
    inner = helper.make_graph([], "inner", [], [])
    model.graph.node[0].attribute.append(helper.make_attribute("body", inner))


CHANGES = {
    "operator of another kind": operator("Loop"),
    "operator of somebody's": operator("Relu", "evil"),
    "file": stored_elsewhere,
    "wide": wide,
    "inner graph": inner_graph,
    "function": lambda model: model.functions.add(name="Relu", domain=""),
    "does not fit": lambda model: model.graph.initializer[0].dims.__setitem__(0, 3),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_hostile_models(graph, kind):
    check_graph(graph)
    with pytest.raises(ModelFileError, match="ONNX model"):
        check_graph(changed(graph, CHANGES[kind]))


@pytest.mark.parametrize("content", [b"", b"nonsense", None, "text"])
def test_no_models(content):
    with pytest.raises(ModelFileError, match="ONNX model"):
        check_graph(content)


def test_hostile_model_in_a_file(graph, remade, tmp_path, canary):
    X = np.random.default_rng(0).normal(size=(6, 5, 4)).astype("f4")
    classifier = skavsc.VisualSceneClassifier(units=2, random_state=0, **SHORT).fit(X, LABELS)
    path = tmp_path / "a.skops"
    skavsc.save(classifier, path, runtime="onnxruntime")

    def change(schema, description, members):
        name = next(name for name in members if name.endswith(".bin"))
        members[name] = changed(members[name], operator("Loop"))

    path.write_bytes(remade(path.read_bytes(), change))
    with pytest.raises(ModelFileError, match="Loop, which is not known to be safe"):
        skavsc.load(path)
    assert not canary.exists()

"""What is saved is whole, equal when loaded, and described."""

import io
import json
import os
import resource
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier, StackingClassifier
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import skavsc
from skavsc.exceptions import (
    ModelFileError,
    ModelVersionWarning,
    UntrustedTypeError,
    WeightsNotFoundError,
)
from skavsc.recipes import LocationFolds


def both(features):
    table = np.zeros(len(features), [("audio", float, (8,)), ("visual", float, (8,))])
    table["audio"], table["visual"] = features[:, :8], features[:, 8:]
    return table


def fusion_of_searches():
    branch = make_pipeline(StandardScaler(), LogisticRegression())
    search = GridSearchCV(
        branch,
        {"logisticregression__C": [1, 2]},
        cv=LocationFolds(2),
        scoring=skavsc.macro_log_loss_scorer,
    )
    # Requests of metadata hold the estimators that hold them.
    return skavsc.LateFusionClassifier([("audio", search), ("visual", search)], cv=2)


def fusion(rule):
    branches = [(name, LogisticRegression()) for name in ("audio", "visual")]
    return skavsc.LateFusionClassifier(branches, final_estimator=rule, cv=2)


def sound(features):
    rng = np.random.default_rng(0)
    return np.stack([rng.standard_normal(8000) * (1 + clip % 2) for clip in range(12)])


def front_end():
    return skavsc.GammatoneMelTransformer("mel", "mono", sample_rate=8000, duration=1.0, n_bands=8)


ESTIMATORS = {
    "sound": (
        lambda: make_pipeline(front_end(), skavsc.TimePooling(), LogisticRegression()),
        sound,
    ),
    "grid": (
        lambda: GridSearchCV(
            make_pipeline(StandardScaler(), LogisticRegression()),
            {"logisticregression__C": [1, 2]},
            cv=2,
            scoring=skavsc.macro_log_loss_scorer,
        ),
        None,
    ),
    "calibrated": (lambda: CalibratedClassifierCV(SVC(), cv=2), None),
    "isotonic": (lambda: CalibratedClassifierCV(SVC(), cv=2, method="isotonic"), None),
    "forest": (lambda: RandomForestClassifier(3, random_state=0), None),
    "discriminant": (lambda: make_pipeline(PCA(2), LinearDiscriminantAnalysis()), None),
    "neighbours": (lambda: KNeighborsClassifier(3), None),
    "perceptron": (lambda: MLPClassifier(max_iter=3, random_state=0), None),
    "stacking": (lambda: StackingClassifier([("a", LogisticRegression())], cv=2), None),
    "fusion": (lambda: fusion(None), both),
    "fusion of searches": (fusion_of_searches, both),
    "fusion by the mean": (lambda: fusion("mean"), both),
    "fusion by the product": (lambda: fusion("product"), both),
    "fusion by confidence": (lambda: fusion("confidence"), both),
}


@pytest.fixture(scope="module")
def saved(features, labels, tmp_path_factory):
    """A folder with a file and what was predicted, for each estimator."""
    folder = tmp_path_factory.mktemp("saved")
    for name, (make, inputs) in ESTIMATORS.items():
        X = features if inputs is None else inputs(features)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of few epochs and few clips
            estimator = make().fit(X, labels)
        skavsc.save(estimator, folder / f"{name}.skops", sample=X[:1])
        np.save(folder / f"{name}.X.npy", X)
        np.save(folder / f"{name}.npy", estimator.predict_proba(X))
    return folder


def test_equal_in_a_fresh_process_and_nothing_is_imported_for_a_refusal(
    saved, good_file, remade, tmp_path
):
    def change(schema, description, members):
        hostile = {"__class__": "Lambda", "__module__": "keras.layers", "__loader__": "ObjectNode"}
        schema["content"]["estimator"] = hostile

    (tmp_path / "a.skops").write_bytes(remade(good_file, change))
    program = (
        "import pathlib, sys, numpy as np, skavsc\n"
        "for path in sorted(pathlib.Path(sys.argv[1]).glob('*.skops')):\n"
        "    X, y = (np.load(path.with_suffix(end)) for end in ('.X.npy', '.npy'))\n"
        "    model = skavsc.load(path, verify=True)\n"
        "    assert np.array_equal(model.predict_proba(X), y), path\n"
        "    print(path.stem)\n"
        "try:\n    skavsc.load(sys.argv[2])\n"
        "except ValueError as error:\n    assert 'Lambda' in str(error)\n"
        "else:\n    raise SystemExit('not refused')\n"
        "assert not {'keras', 'tensorflow', 'torch'} & set(sys.modules)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, str(saved), str(tmp_path / "a.skops")],
        check=True,
        capture_output=True,
        text=True,
    )
    assert set(run.stdout.split("\n")[:-1]) == set(ESTIMATORS)


def test_fusion_keeps_its_dicts(saved):
    loaded = skavsc.load(saved / "fusion.skops")
    assert set(loaded.final_estimators_) == {("audio",), ("visual",), ("audio", "visual")}


def test_file_of_format_1():
    # Files of a format that was released stay loadable: never make this one anew.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ModelVersionWarning)
        warnings.simplefilter("ignore", InconsistentVersionWarning)
        model = skavsc.load(Path(__file__).with_name("format_1.skops"), verify=True)
    assert model.classes_.tolist() == ["park", "tram"]


def test_types_of_users(features, labels, tmp_path):
    model = GradientBoostingClassifier(n_estimators=1).fit(features, labels)
    with pytest.raises(UntrustedTypeError, match="GradientBoosting") as caught:
        skavsc.save(model, tmp_path / "a.skops")
    assert not (tmp_path / "a.skops").exists()
    skavsc.save(model, tmp_path / "a.skops", trusted=caught.value.types)
    with pytest.raises(UntrustedTypeError):
        skavsc.load(tmp_path / "a.skops")
    loaded = skavsc.load(tmp_path / "a.skops", trusted=[GradientBoostingClassifier])
    assert np.array_equal(loaded.predict_proba(features), model.predict_proba(features))


def test_trusted_must_be_a_list(good_file, tmp_path):
    (tmp_path / "a.skops").write_bytes(good_file)
    with pytest.raises(TypeError):
        skavsc.load(tmp_path / "a.skops", trusted=True)


def test_joblib_memory_is_refused(tmp_path):
    with pytest.raises(ModelFileError, match="memory"):
        skavsc.save(front_end().set_params(memory=joblib.Memory(tmp_path)), tmp_path / "a.skops")


def test_verify_notices_other_predictions(good_file, remade, tmp_path):
    def change(schema, description, members):
        state = schema["content"]["estimator"]["content"]["content"]["steps"]["content"][1]
        node = state["content"][1]["content"]["content"]["intercept_"]
        stream = io.BytesIO()
        np.save(stream, np.load(io.BytesIO(members[node["file"]])) + 1)
        members[node["file"]] = stream.getvalue()

    (tmp_path / "a.skops").write_bytes(remade(good_file, change))
    skavsc.load(tmp_path / "a.skops")
    with pytest.raises(ModelFileError, match="predict_proba of the stored sample"):
        skavsc.load(tmp_path / "a.skops", verify=True)


def test_verify_needs_a_sample(features, labels, tmp_path):
    skavsc.save(LogisticRegression().fit(features, labels), tmp_path / "a.skops")
    with pytest.raises(ModelFileError, match="sample="):
        skavsc.load(tmp_path / "a.skops", verify=True)


def test_other_versions_are_named(good_file, remade, tmp_path):
    def change(schema, description, members):
        description["versions"]["scipy"] = "0.1"

    (tmp_path / "a.skops").write_bytes(remade(good_file, change))
    with pytest.warns(ModelVersionWarning, match=r"scipy 0\.1 \(here "):
        skavsc.load(tmp_path / "a.skops")


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        skavsc.load(tmp_path / "a.skops")


def test_disk_full_leaves_the_old_file(features, labels, tmp_path):
    path = tmp_path / "a.skops"
    skavsc.save(LogisticRegression().fit(features, labels), path)
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match="the former file is unchanged"):
            skavsc.save(StandardScaler().fit(features), path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.skops"]


@pytest.mark.slow
def test_killed_at_any_moment_leaves_a_whole_file(features, labels, tmp_path):
    path = tmp_path / "a.skops"
    program = (
        "import sys, numpy as np, skavsc\n"
        "from sklearn.preprocessing import StandardScaler\n"
        "model = StandardScaler().fit(np.ones((2, 300_000)))\n"
        "while True:\n    skavsc.save(model, sys.argv[1])\n    print(flush=True)\n"
    )
    for delay in (0.0, 0.01):
        child = subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE)
        child.stdout.readline()
        time.sleep(delay)
        child.send_signal(signal.SIGKILL)
        child.communicate()
        assert skavsc.load(path).n_features_in_ == 300_000


def test_card(features, labels, tmp_path):
    path = tmp_path / "a.skops"
    pipeline = make_pipeline(front_end(), skavsc.TimePooling(), LogisticRegression())
    training = {"clips": 12, "locations": 3, "metrics": {"accuracy": 0.9}, "by": "<b>me</b>"}
    skavsc.save(pipeline.fit(sound(None), labels), path, training=training)
    card = skavsc.model_card(path)
    text = str(card)
    for part in ("park, tram", "sample_rate 8000", "duration 1.0", "accuracy: 0.9", "scikit-learn"):
        assert part in text
    assert "&lt;b&gt;me" in card._repr_html_()
    assert "<b>" not in card._repr_html_()
    markdown = card.to_markdown()
    for title in ("Model details", "Uses", "Training details", "Evaluation", "Versions"):
        assert f"## {title}\n" in markdown
    assert "<b>" not in markdown


def test_training_must_be_json(features, labels, tmp_path):
    with pytest.raises(ModelFileError, match="training"):
        skavsc.save(StandardScaler().fit(features), tmp_path / "a", training={"x": object()})


@pytest.fixture(scope="module")
def embedder(tmp_path_factory):
    keras = pytest.importorskip("keras")
    path = tmp_path_factory.mktemp("network") / "tiny.keras"
    keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Conv2D(4, 3)]).save(path)
    frames = np.random.default_rng(0).integers(0, 256, (2, 2, 16, 16, 3), dtype=np.uint8)
    return skavsc.ImageEmbedder(path).fit(frames), frames, path


def test_network_is_inside(embedder, tmp_path, monkeypatch):
    embedder, frames, network = embedder
    monkeypatch.setenv("SKAVSC_CACHE_DIR", str(tmp_path / "cache"))
    skavsc.save(embedder, tmp_path / "a.skops", sample=frames[:1])
    expected = embedder.transform(frames)
    kept = network.read_bytes()
    network.unlink()
    try:
        loaded = skavsc.load(tmp_path / "a.skops", verify=True)
        assert np.array_equal(loaded.transform(frames), expected)
    finally:
        network.write_bytes(kept)


def test_network_is_named(embedder, tmp_path, monkeypatch):
    embedder, frames, network = embedder
    monkeypatch.setenv("SKAVSC_CACHE_DIR", str(tmp_path / "cache"))
    path = tmp_path / "a.skops"
    skavsc.save(embedder, path, include_weights=False)
    [described] = skavsc.model_card(path).description["weights"]
    with pytest.raises(WeightsNotFoundError, match=f"tiny.keras.*{described['sha256']}"):
        skavsc.load(path)
    with pytest.raises(WeightsNotFoundError, match="not in"):
        skavsc.load(path, weights=tmp_path)
    loaded = skavsc.load(path, weights=network.parent)
    assert np.array_equal(loaded.transform(frames), embedder.transform(frames))


def test_card_is_json(good_file, tmp_path):
    (tmp_path / "a.skops").write_bytes(good_file)
    json.dumps(skavsc.model_card(tmp_path / "a.skops").description)


def test_every_public_estimator_is_trusted():
    from sklearn.base import BaseEstimator

    from skavsc.persistence._trust import _is_own_class, _trusted_types

    public = [getattr(skavsc, name) for name in skavsc.__all__]
    estimators = [
        item for item in public if isinstance(item, type) and issubclass(item, BaseEstimator)
    ]
    assert len(estimators) >= 10
    names = {f"{item.__module__}.{item.__qualname__}" for item in estimators}
    assert {name for name in names - _trusted_types() if not _is_own_class(name)} == set()

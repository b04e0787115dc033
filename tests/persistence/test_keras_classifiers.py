"""Classifiers that hold a Keras network, in model files."""

import copy
import json
import sys

import numpy as np
import pytest

import skavsc
from skavsc.exceptions import ModelFileError
from skavsc.training import augmentation

LABELS = ["park", "tram"] * 4


def audio_features():
    return np.random.default_rng(0).standard_normal((8, 64, 50, 3)).astype(np.float32)


def visual_features():
    return np.random.default_rng(0).standard_normal((8, 5, 4)).astype(np.float32)


@pytest.fixture(scope="module")
def audio(tmp_path_factory, eager):
    path = tmp_path_factory.mktemp("audio") / "model.skops"
    X = audio_features()
    model = skavsc.AudioSceneClassifier(filters=(4, 4, 4), epochs=1, random_state=0)
    with eager():
        model.fit(X, LABELS)
    skavsc.save(model, path, sample=X[:1])
    return model, X, path


@pytest.fixture
def predicted_elsewhere(tmp_path, run_fresh):
    """The function that gives what the model of a file predicts in another process."""
    program = (
        "import sys, numpy as np, skavsc\n"
        "model = skavsc.load(sys.argv[1], verify=True)\n"
        "np.save(sys.argv[3], model.predict_proba(np.load(sys.argv[2])))\n"
    )

    def predict(path, X):
        np.save(tmp_path / "X.npy", X)
        run_fresh(program, path, tmp_path / "X.npy", tmp_path / "y.npy")
        return np.load(tmp_path / "y.npy")

    return predict


def test_equal_in_a_fresh_process(audio, predicted_elsewhere):
    model, X, path = audio
    assert np.array_equal(predicted_elsewhere(path, X), model.predict_proba(X))


@pytest.mark.usefixtures("eagerly")
def test_training_goes_on(audio):
    model, X, path = audio
    loaded = skavsc.load(path)
    optimizer = loaded.keras_classifier_.model_.optimizer
    for here, there in zip(
        optimizer.variables, model.keras_classifier_.model_.optimizer.variables, strict=True
    ):
        assert np.array_equal(here.numpy(), there.numpy())
    steps = int(optimizer.iterations)
    loaded.partial_fit(X, LABELS)
    assert int(loaded.keras_classifier_.model_.optimizer.iterations) > steps
    assert len(loaded.history_["loss"]) == 2


@pytest.mark.usefixtures("eagerly")
def test_visual_classifier(tmp_path):
    X = visual_features()
    model = skavsc.VisualSceneClassifier(epochs=1, random_state=0).fit(X, LABELS)
    # scikeras has Keras call the class of the network by another name from then on.
    copy.deepcopy(model.keras_classifier_.model_)
    skavsc.save(model, tmp_path / "a.skops", sample=X[:1])
    loaded = skavsc.load(tmp_path / "a.skops", verify=True)
    assert np.array_equal(loaded.predict_proba(X), model.predict_proba(X))


def test_augmentations(tmp_path):
    """All of the package's augmentations are trusted; the file keeps their parameters."""
    kinds = [
        kind()
        for kind in map(augmentation.__dict__.get, augmentation.__all__)
        if issubclass(kind, augmentation.Augmentation) and kind is not augmentation.Augmentation
    ]
    assert len(kinds) >= 6
    for model in (
        skavsc.AudioSceneClassifier(augmentation=kinds),
        skavsc.AudioSceneClassifier().set_params(augmentation__mixup__alpha=0.7),
    ):
        skavsc.save(model, tmp_path / "a.skops")
        loaded = skavsc.load(tmp_path / "a.skops")
        assert repr(loaded.augmentation) == repr(model.augmentation)
        assert loaded.get_params().keys() == model.get_params().keys()


@pytest.mark.slow
def test_secrnn(tmp_path, predicted_elsewhere):
    X = np.zeros(8, [("audio", "f4", (64, 50, 3)), ("visual", "f4", (5, 4))])
    X["audio"], X["visual"] = audio_features(), visual_features()
    model = skavsc.SECRNNClassifier(epochs=1, random_state=0).fit(X, LABELS)
    skavsc.save(model, tmp_path / "a.skops", sample=X[:1])
    assert np.array_equal(predicted_elsewhere(tmp_path / "a.skops", X), model.predict_proba(X))


def layer(module, name, config, registered=None):
    return {
        "module": module,
        "class_name": name,
        "config": config,
        "registered_name": registered,
        "name": "evil",
        "inbound_nodes": [],
    }


NETWORKS = {
    "lambda layer": layer("keras.layers", "Lambda", {"function": {"class_name": "__lambda__"}}),
    "function": layer("canary_of_skavsc", "function", "run"),
    "class from elsewhere": layer("canary_of_skavsc", "Thing", {}),
    "class under a name of ours": layer("canary_of_skavsc", "Thing", {}, "skavsc>Thing"),
    "not registered": layer("skavsc.networks._layers", "keras", {}),
    "saved model": layer("keras.layers", "TFSMLayer", {"filepath": "/tmp"}),
    "torch module": layer("keras.layers", "TorchModuleWrapper", {"module": "x"}),
    "vocabulary in a file": layer("keras.layers", "StringLookup", {"vocabulary": "/etc/passwd"}),
    "other spelling": layer("keras.src.layers.core.lambda_layer", "Lambda", {}),
    "no module": layer(None, "Lambda", {}),
    "loader": layer("keras.saving", "load_model", {}),
}


@pytest.mark.parametrize("part", ["config", "compiled"])
@pytest.mark.parametrize("kind", NETWORKS)
def test_hostile_networks(audio, remade, tmp_path, canary, kind, part):
    def change(schema, description, members):
        state = schema["content"]["estimator"]["content"]["content"]["keras_classifier_"]
        node = state["content"]["content"]["network"]["content"][part]
        config = json.loads(json.loads(node["content"]))
        if part == "config":
            config["config"]["layers"].insert(1, NETWORKS[kind])
        else:
            config["loss"] = NETWORKS[kind]
        node["content"] = json.dumps(json.dumps(config))

    path = tmp_path / "hostile.skops"
    path.write_bytes(remade(audio[2].read_bytes(), change))
    with pytest.raises(ModelFileError, match="not known to be safe"):
        skavsc.load(path)
    assert not canary.exists()
    assert "canary_of_skavsc" not in sys.modules


@pytest.mark.parametrize(
    ("kind", "part", "width"), [("Dense", "units", 10**12), ("Conv2D", "filters", 100_000)]
)
def test_wide_networks_are_refused_before_they_are_made(
    audio, remade, tmp_path, canary, kind, part, width
):
    def change(schema, description, members):
        state = schema["content"]["estimator"]["content"]["content"]["keras_classifier_"]
        node = state["content"]["content"]["network"]["content"]["config"]
        config = json.loads(json.loads(node["content"]))
        for item in config["config"]["layers"]:
            if item["class_name"] == kind:
                item["config"][part] = width
            # Else Keras notices that the widths of the first time are other ones.
            item.pop("build_config", None)
        node["content"] = json.dumps(json.dumps(config))

    path = tmp_path / "hostile.skops"
    path.write_bytes(remade(audio[2].read_bytes(), change))
    # Convolutions alone would take 40 GB each.
    with pytest.raises(ModelFileError, match=r"have weights of the shapes|cannot be restored"):
        skavsc.load(path)


@pytest.mark.usefixtures("eagerly")
def test_training_is_described(audio, tmp_path):
    model, X, path = audio
    training = skavsc.model_card(path).description["training"]
    assert training["clips"] == 8
    assert len(training["date"]) == 10
    assert "locations" not in training
    model = skavsc.VisualSceneClassifier(units=2, epochs=1, validation_fraction=0)
    X = visual_features()
    model.fit(X, LABELS, groups=[0, 0, 1, 1, 2, 2, 3, 3])
    skavsc.save(model, tmp_path / "a.skops", training={"date": "long ago", "by": "me"})
    training = skavsc.model_card(tmp_path / "a.skops").description["training"]
    assert training == {"clips": 8, "locations": 4, "date": "long ago", "by": "me"}
    model.partial_fit(X, LABELS)
    skavsc.save(model, tmp_path / "a.skops")
    assert skavsc.model_card(tmp_path / "a.skops").description["training"] == {}


def test_unsafe_layers_are_refused_when_saved():
    import keras

    from skavsc.training._network_state import network_state

    network = keras.Sequential([keras.Input((2,)), keras.layers.Lambda(lambda x: x)])
    network.compile("adam")
    with pytest.raises(ModelFileError, match=r"keras\.layers\.Lambda"):
        network_state(network)

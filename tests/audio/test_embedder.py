"""Embeddings of sound: values, steps, levels, missing clips and models that do not fit."""

import pickle
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile
from onnx import TensorProto, helper
from sklearn.utils.estimator_checks import (
    check_estimator_cloneable,
    check_get_params_invariance,
    check_no_attributes_set_in_init,
    check_parameters_default_constructible,
    check_set_params,
)

from skavsc.audio import AudioEmbedder, GammatoneMelTransformer
from skavsc.exceptions import MediaError, MissingClipWarning, ModelError, WeightsNotFoundError

MODELS = Path(__file__).resolve().parents[3] / "shared" / "models"
WINDOW, RATE = 400, 8000


def write_onnx(path, nodes, takes, gives):
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, takes)]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, gives)]
    graph = helper.make_graph(nodes, "model", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    onnx.save(model, path)
    return str(path)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A network without batch axis that gives mean, largest and smallest sample of a window."""
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], keepdims=1),
        helper.make_node("ReduceMax", ["x"], ["max"], keepdims=1),
        helper.make_node("ReduceMin", ["x"], ["min"], keepdims=1),
        helper.make_node("Concat", ["mean", "max", "min"], ["y"], axis=0),
    ]
    path = tmp_path_factory.mktemp("model") / "levels.onnx"
    return write_onnx(path, nodes, [WINDOW], [3])


def embedder(model, **params):
    return AudioEmbedder(model, **{"sample_rate": RATE, "duration": 1.0, "hop": 0.1, **params})


@pytest.fixture(scope="module")
def ramp():
    return np.linspace(0, 0.5, RATE)


def test_each_step_is_the_window_around_it(model, ramp):
    values = embedder(model).fit_transform([ramp])[0]
    assert values.shape == (10, 3)
    assert values.dtype == np.float32
    for step in range(10):
        start = step * 800 + 400 - WINDOW // 2
        window = ramp[start : start + WINDOW]
        np.testing.assert_allclose(
            values[step], [window.mean(), window.max(), window.min()], atol=1e-6
        )


def test_windows_longer_than_the_hop_stay_inside_the_clip(model, ramp):
    values = embedder(model, hop=0.02).fit_transform([ramp])[0]
    assert values.shape == (50, 3)
    np.testing.assert_allclose(values[0, 1], ramp[WINDOW - 1], atol=1e-6)
    np.testing.assert_allclose(values[-1, 2], ramp[-WINDOW], atol=1e-6)


def test_steps_of_a_second_are_as_many_whatever_the_duration(model):
    fitted = embedder(model, hop=0.25, duration=3.0).fit([])
    assert fitted.steps_per_second_ == 4
    assert fitted.transform([np.zeros(RATE)]).shape[1] == 12


def test_what_is_not_there_is_nan(model, ramp):
    values = embedder(model).fit_transform([ramp[: RATE // 2], None, np.tile(ramp, 3)])
    assert np.isfinite(values[0, :5]).all()
    assert np.isnan(values[0, 5:]).all()
    assert np.isnan(values[1]).all()
    assert np.isfinite(values[2]).all()


def test_files_stereo_and_rates(model, ramp, tmp_path):
    stereo = np.stack([np.full(16_000, 0.25), np.full(16_000, -0.05)], axis=1)
    soundfile.write(tmp_path / "a.wav", stereo, 16_000, subtype="FLOAT")
    values = embedder(model).fit_transform([str(tmp_path / "a.wav")])[0]
    np.testing.assert_allclose(values[5], 0.1, atol=1e-3)


def test_workers_cache_and_batches_give_the_same_bits(model, tmp_path):
    rng = np.random.default_rng(0)
    waves = [rng.uniform(-0.5, 0.5, RATE) for _ in range(4)]
    paths = []
    for number, wave in enumerate(waves):
        paths.append(str(tmp_path / f"{number}.wav"))
        soundfile.write(paths[-1], wave, RATE, subtype="FLOAT")
    expected = embedder(model).fit_transform(paths)
    alone = np.concatenate([embedder(model).fit_transform([path]) for path in paths])
    kept = embedder(model, memory=tmp_path / "cache")
    assert np.array_equal(embedder(model, n_jobs=2).fit_transform(paths), expected)
    assert np.array_equal(alone, expected)
    assert np.array_equal(kept.fit_transform(paths), expected)
    assert np.array_equal(kept.fit_transform(paths), expected)
    assert np.array_equal(pickle.loads(pickle.dumps(kept)).transform(paths), expected)


def test_level_brings_clips_to_one_level(model, ramp):
    fitted = embedder(model, level=-20.0).fit([])
    quiet, loud, silent = fitted.transform([0.001 * ramp, ramp, 0 * ramp])
    np.testing.assert_allclose(quiet, loud, rtol=1e-4)
    assert not silent.any()
    rms = np.sqrt(np.mean(ramp**2))
    np.testing.assert_allclose(loud[0, 1], 0.1 / rms * ramp[599], rtol=1e-3)


def test_a_front_end_makes_what_the_network_takes(tmp_path):
    # A batch of spectrograms with one channel, as log-mel networks take them.
    nodes = [
        helper.make_node("Constant", [], ["axes"], value_ints=[1, 2]),
        helper.make_node("ReduceMean", ["x"], ["m"], axes=[1, 2], keepdims=0),
        helper.make_node("Identity", ["m"], ["y"]),
    ]
    path = write_onnx(tmp_path / "mel.onnx", nodes, ["n", 16, 5, 1], ["n", 1])
    mel = GammatoneMelTransformer(
        "mel", "mono", sample_rate=RATE, duration=0.1, n_bands=16, window=0.04, hop=0.02
    )
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, RATE)
    params = {"sample_rate": RATE, "window": 0.1, "hop": 0.1, "duration": 1.0}
    values = AudioEmbedder(path, front_end=mel, **params).fit_transform([noise])
    assert values.shape == (1, 10, 1)
    expected = mel.fit_transform(noise.reshape(10, 800)).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(values[0, :, 0], expected, rtol=1e-5)


def test_a_keras_model(ramp):
    import keras

    inputs = keras.Input((WINDOW,))
    network = keras.Model(inputs, keras.layers.Dense(3)(inputs))
    values = embedder(network).fit_transform([ramp, None])
    expected = network.predict(ramp[None, 200:600].astype("f4"), verbose=0)
    np.testing.assert_allclose(values[0, 0], expected[0], rtol=1e-5)
    assert np.isnan(values[1]).all()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"sample_rate": None}, "sample_rate="),
        ({"window": 0.1}, r"window=0\.1, but levels\.onnx takes 0\.05"),
        ({"output": "embedding"}, "output='embedding' is no output"),
    ],
)
def test_settings_that_do_not_fit_say_what_the_file_takes(model, params, message):
    with pytest.raises(ModelError, match=message):
        embedder(model, **params).fit([])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"hop": 0.3}, "hop=0.3 s must divide a second"),
        ({"duration": 0.01}, "duration=0.01 must be at least the window"),
    ],
)
def test_lengths_that_do_not_fit(model, params, message):
    with pytest.raises(ValueError, match=message):
        embedder(model, **params).fit([])


def network_file(path, takes, gives, output_nodes=("y",)):
    """Write a network of the given shapes that passes its input on to each output."""
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], [name]) for name in output_nodes],
        "model",
        [info("x", TensorProto.FLOAT, takes)],
        [info(name, TensorProto.FLOAT, gives) for name in output_nodes],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    onnx.save(model, path)
    return str(path)


@pytest.mark.parametrize(
    ("takes", "params", "message"),
    [
        (["n", "samples"], {}, "does not say with which window it was trained; give window="),
        (["n", "bands", 50], {"window": 0.05}, r"takes 'x' .*\(any, any, 50\).* give front_end="),
        (["n", 2, "samples"], {"window": 0.05}, r"takes 'x' .*\(any, 2, any\).* give front_end="),
        (["n", 300], {"window": 0.05}, r"window=0\.05, but a\.onnx takes 0\.0375"),
        ([2, "samples"], {"window": 0.05}, None),
        (["n", "samples"], {"window": 0.05}, None),
    ],
)
def test_axes_of_any_length(tmp_path, takes, params, message):
    path = network_file(tmp_path / "a.onnx", takes, takes)
    if message is None:
        values = embedder(path, **params).fit_transform([np.linspace(0, 1, RATE)])
        np.testing.assert_allclose(values[0, 0], np.linspace(0, 1, RATE)[200:600], atol=1e-6)
        return
    with pytest.raises(ModelError, match=message):
        embedder(path, **params).fit([])


def test_one_of_several_outputs_must_be_named(tmp_path):
    path = network_file(tmp_path / "a.onnx", ["n", WINDOW], ["n", WINDOW], ("first", "second"))
    with pytest.raises(ModelError, match=r"a\.onnx has the outputs 'first' .*'second' .*name one"):
        embedder(path).fit([])
    assert embedder(path, output="second").fit([]).output_ == "second"


def test_a_truncated_file(model, tmp_path):
    whole = Path(model).read_bytes()
    (tmp_path / "cut.onnx").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match=r"cut\.onnx"):
        embedder(tmp_path / "cut.onnx").fit([])


def test_a_file_that_is_not_there():
    with pytest.raises(WeightsNotFoundError, match=r"gone\.onnx"):
        AudioEmbedder("gone.onnx").fit([])


def test_a_network_that_gives_nan_is_named(tmp_path):
    path = write_onnx(
        tmp_path / "log.onnx", [helper.make_node("Log", ["x"], ["y"])], [WINDOW], [WINDOW]
    )
    with pytest.raises(ModelError, match=r"log\.onnx gives NaN .* peaks at -200 dBFS.*level=-20"):
        embedder(path).fit_transform([np.zeros(RATE)])


def test_sound_that_cannot_be_read(model, tmp_path):
    (tmp_path / "a.wav").write_bytes(b"no sound")
    with pytest.raises(MediaError, match=r"a\.wav"):
        embedder(model).fit_transform([str(tmp_path / "a.wav")])
    with pytest.warns(MissingClipWarning, match=r"a\.wav") as caught:
        values = embedder(model, on_error="missing").fit_transform([str(tmp_path / "a.wav")])
    assert np.isnan(values).all()
    assert [error.path for error in caught[0].message.errors] == [str(tmp_path / "a.wav")]


def test_a_clip_shorter_than_a_window_is_an_error(model):
    with pytest.raises(MediaError, match="less than one window of 400"):
        embedder(model).fit_transform([np.zeros(300)])


@pytest.mark.parametrize("name", ["yamnet.onnx", "yamnet.tflite"])
def test_yamnet_is_recognised_and_gives_the_golden_values(name):
    if not MODELS.is_dir():
        pytest.skip(f"needs {MODELS}")
    if name.endswith("tflite"):
        pytest.importorskip("ai_edge_litert")
    golden = np.load(MODELS / "golden.npz")
    fitted = AudioEmbedder(MODELS / name, duration=0.975).fit([])
    assert (fitted.sample_rate_, fitted.window_, fitted.labels_) == (16_000, 0.975, None)
    values = fitted.transform([golden["waveform"]])
    expected = golden["embedding"].ravel()
    assert np.abs(values[0, 0] - expected).max() <= 1e-2 * np.abs(expected).max()
    scores = AudioEmbedder(MODELS / name, duration=0.975, output="scores").fit([])
    assert len(scores.labels_) == 521
    assert scores.labels_[0] == "Speech"


@pytest.mark.parametrize(
    "check",
    [
        check_no_attributes_set_in_init,
        check_parameters_default_constructible,
        check_estimator_cloneable,
        check_get_params_invariance,
        check_set_params,
    ],
)
def test_parameters_follow_scikit_learn(model, check):
    """The checks of data pass rows that are no waveforms; tests above stand for them."""
    check("AudioEmbedder", embedder(model))

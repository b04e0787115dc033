"""The same numbers from every runtime, and what happens where one is missing."""

import importlib.util
import sys
import warnings

import keras
import numpy as np
import pytest
from sklearn.base import clone

from skavsc.exceptions import RuntimeSkippedWarning
from skavsc.pretrained import _precision
from skavsc.pretrained import _runtimes as runtimes
from skavsc.visual import ImageEmbedder, VGGPlacesEmbedder

pytestmark = pytest.mark.filterwarnings("ignore::skavsc.exceptions.UntrainedWeightsWarning")


@pytest.fixture(autouse=True, scope="module")
def cache_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SKAVSC_CACHE_DIR", str(folder))
        yield folder


def pictures(n_clips=1, steps=3, size=64):
    return np.random.default_rng(0).integers(
        0, 256, (n_clips, steps, size, size, 3), dtype=np.uint8
    )


def without(monkeypatch, *packages):
    """Hide packages, as if they were not installed."""
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in packages else find(name)
    )


def deviation(features, reference):
    return np.abs(features - reference).max() / np.abs(reference).max()


@pytest.mark.parametrize(
    "embedder",
    [
        VGGPlacesEmbedder(None),
        ImageEmbedder("squeezenet11"),
        ImageEmbedder("squeezenet11", pooling="max"),
    ],
    ids=["vgg16-avg", "squeezenet11-avg", "squeezenet11-max"],
)
def test_same_numbers(embedder):
    X = pictures()
    reference = embedder.set_params(runtime="keras").fit_transform(X)
    for runtime in ("onnxruntime", "mnn"):
        embedder.set_params(runtime=runtime).fit(X)
        assert embedder.runtime_ == runtime
        features = embedder.transform(X)
        assert features.dtype == np.float32
        assert 0 < deviation(features, reference) < 1e-4


def test_image_height_and_width_are_not_mixed_up():
    X = np.random.default_rng(0).integers(0, 256, (1, 2, 40, 72, 3), dtype=np.uint8)
    reference = ImageEmbedder("squeezenet11", pooling="max").fit_transform(X)
    for runtime in ("onnxruntime", "mnn"):
        features = ImageEmbedder("squeezenet11", pooling="max", runtime=runtime).fit_transform(X)
        assert deviation(features, reference) < 1e-4


@pytest.mark.parametrize("pooled", [False, True])
def test_model_of_ones_own_runs_everywhere(tmp_path, pooled):
    layers = [
        keras.Input((None, None, 3)),
        keras.layers.Conv2D(4, 3, strides=2, padding="same", activation="tanh"),
        keras.layers.MaxPooling2D(2, padding="same"),
        keras.layers.BatchNormalization(beta_initializer="ones"),
        keras.layers.Conv2D(8, (1, 3), dilation_rate=(1, 2), use_bias=False),
    ]
    path = tmp_path / "network.keras"
    keras.Sequential(layers + [keras.layers.GlobalMaxPooling2D()] * pooled).save(path)
    X = pictures(size=37)
    embedder = ImageEmbedder(path, preprocessing="imagenet")
    reference = embedder.fit_transform(X)
    for runtime in ("onnxruntime", "mnn"):
        features = clone(embedder).set_params(runtime=runtime).fit_transform(X)
        assert 0 < deviation(features, reference) < 1e-4


def test_layer_without_counterpart():
    inputs = keras.Input((None, None, 3))
    separable = keras.Model(inputs, keras.layers.SeparableConv2D(4, 3)(inputs))
    with pytest.raises(ValueError, match=r"SeparableConv2D.*use runtime='keras'"):
        ImageEmbedder(separable, runtime="onnxruntime").fit_transform(pictures())
    softplus = keras.Model(inputs, keras.layers.Conv2D(4, 3, activation="softplus")(inputs))
    with pytest.raises(ValueError, match=r"activation='softplus'.*use runtime='keras'"):
        ImageEmbedder(softplus, runtime="mnn").fit_transform(pictures())
    # The automatic choice leaves such runtimes out.
    assert ImageEmbedder(separable, runtime="auto").fit(pictures()).runtime_ == "keras"


def test_converted_network_is_kept(cache_dir):
    X = pictures(size=48)
    ImageEmbedder("squeezenet11", runtime="mnn", random_state=5).fit_transform(X)
    (file,) = (path for path in (cache_dir / "mnn").glob("*.mnn") if "48x48x3" in path.name)
    before = file.stat().st_mtime_ns
    from skavsc.pretrained import _keras

    _keras.compiled_network.cache_clear()
    ImageEmbedder("squeezenet11", runtime="mnn", random_state=5).fit_transform(X)
    assert file.stat().st_mtime_ns == before


# What C writes to a file waits in a buffer of its own.
QUIET = """
import ctypes, os, sys, warnings
os.dup2(os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT), 1)
import numpy as np
from skavsc.visual import ImageEmbedder
warnings.simplefilter("ignore")
ImageEmbedder("squeezenet11", runtime="mnn").fit_transform(np.zeros((1, 1, 32, 32, 3), np.uint8))
ctypes.CDLL(None).fflush(None)
print("table")
"""


def test_nothing_is_written_to_the_standard_output(tmp_path, run_fresh):
    run_fresh(QUIET, tmp_path / "output.txt")
    assert (tmp_path / "output.txt").read_text(encoding="utf-8") == "table\n"


def test_fastest_is_measured():
    import time

    def after(seconds):
        return lambda images: time.sleep(seconds)

    candidates = {"keras": after(0.02), "mnn": after(0.001), "onnxruntime": after(0.04)}
    assert runtimes.fastest(candidates, (1, 8, 8, 3)) == "mnn"


def test_auto_takes_an_installed_runtime():
    X = pictures()
    embedder = ImageEmbedder("squeezenet11", runtime="auto").fit(X)
    assert embedder.runtime_ in runtimes.installed_runtimes()
    reference = ImageEmbedder("squeezenet11").fit_transform(X)
    assert deviation(embedder.transform(X), reference) < 1e-4


@pytest.mark.parametrize(
    ("runtime", "package", "extra"),
    [("mnn", "MNN", "mnn"), ("onnxruntime", "onnxruntime", "onnx"), ("mnn", "onnx", "mnn")],
)
def test_missing_package(monkeypatch, runtime, package, extra):
    without(monkeypatch, package)
    assert runtime not in runtimes.installed_runtimes()
    with pytest.raises(ImportError, match=rf'needs {package}; .*pip install "skavsc\[{extra}\]"'):
        ImageEmbedder("squeezenet11", runtime=runtime).fit(pictures())
    assert "keras" in runtimes.installed_runtimes()


def test_auto_without_a_folder_to_write(monkeypatch):
    monkeypatch.setenv("SKAVSC_CACHE_DIR", "/proc/nowhere")
    X = pictures(size=40)
    with pytest.warns(
        RuntimeSkippedWarning, match="runtime='mnn' is installed but .*/proc/nowhere"
    ):
        embedder = ImageEmbedder("squeezenet11", runtime="auto", random_state=11).fit(X)
    assert embedder.runtime_ in {"keras", "onnxruntime"}
    with pytest.raises(OSError, match=r"runtime='mnn'.*SKAVSC_CACHE_DIR"):
        ImageEmbedder("squeezenet11", runtime="mnn", random_state=11).fit_transform(X)


def test_auto_warns_of_an_installed_runtime_that_does_not_start(monkeypatch, tmp_path):
    broken = tmp_path / "onnxruntime"
    broken.mkdir()
    (broken / "__init__.py").write_text("raise ImportError('libstdc++.so.6 is too old')")
    for name in [name for name in sys.modules if name.partition(".")[0] == "onnxruntime"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    without(monkeypatch, "MNN")
    with pytest.warns(RuntimeSkippedWarning) as caught:
        embedder = ImageEmbedder("squeezenet11", runtime="auto", random_state=13).fit(
            pictures(size=40)
        )
    assert embedder.runtime_ == "keras"
    (message,) = (str(w.message) for w in caught if w.category is RuntimeSkippedWarning)
    assert "runtime='onnxruntime'" in message
    assert "ImportError: libstdc++.so.6 is too old" in message


def test_auto_skips_what_is_not_installed_without_a_word(monkeypatch):
    without(monkeypatch, "MNN", "onnxruntime")
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeSkippedWarning)
        embedder = ImageEmbedder("squeezenet11", runtime="auto", random_state=14)
        assert embedder.fit(pictures(size=40)).runtime_ == "keras"


class WithoutCopy(keras.layers.Layer):
    """A layer that breaks where it is copied, as for bfloat16."""

    def call(self, inputs):
        return 2 * inputs

    @classmethod
    def from_config(cls, config):
        raise RuntimeError("this layer cannot be copied")


def test_auto_says_nothing_of_a_runtime_that_runs_in_another_precision(monkeypatch):
    without(monkeypatch, "MNN", "onnxruntime")
    monkeypatch.setattr(_precision, "has_bfloat16_units", lambda: True)
    images = keras.Input((8, 8, 3))
    network = keras.Model(images, keras.layers.Conv2D(2, 3)(WithoutCopy()(images)))
    embedder = ImageEmbedder(network, preprocessing="none", runtime="auto", precision="auto")
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeSkippedWarning)
        embedder.fit(pictures(size=8))
    assert (embedder.runtime_, embedder.precision_) == ("keras", "float32")


@pytest.mark.parametrize("runtime", ["keras", "onnxruntime"])
def test_settings_of_keras_change_nothing(runtime):
    X = pictures()
    expected = ImageEmbedder("squeezenet11", runtime=runtime, random_state=12).fit_transform(X)
    kept = keras.config.dtype_policy(), keras.config.floatx(), keras.config.image_data_format()
    keras.config.set_dtype_policy("mixed_bfloat16")
    keras.config.set_floatx("float16")
    keras.config.set_image_data_format("channels_first")
    try:
        from skavsc.pretrained import _keras

        _keras._opened.cache_clear()
        features = ImageEmbedder("squeezenet11", runtime=runtime, random_state=12).fit_transform(X)
    finally:
        keras.config.set_dtype_policy(kept[0])
        keras.config.set_floatx(kept[1])
        keras.config.set_image_data_format(kept[2])
    np.testing.assert_array_equal(features, expected)

"""Saved networks load after ``import skavsc``, which loads no Keras itself."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import skavsc
from skavsc import _keras_objects
from skavsc.networks import audio_network, fusion_network, visual_network, with_backbone
from skavsc.training import compile_for_training


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A network with all of the package's layers and initializers, and with its optimizer.

    And, in the same folder, what goes in and what comes out.
    """
    framework = fusion_network(
        2,
        audio=audio_network(2, input_shape=(8, 50, 1), filters=(2, 2, 2)),
        visual=visual_network(2, backbone=None, n_features=3, units=2),
        units=2,
    )
    pictures = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(3, 3)])
    network = with_backbone(framework, pictures, image_size=8, preprocessing="places365")
    compile_for_training(network, 0.01, keras.losses.CategoricalCrossentropy())
    folder = tmp_path_factory.mktemp("saved")
    network.save(folder / "network.keras")
    rng = np.random.default_rng(0)
    shapes = [(2, *given.shape[1:]) for given in network.inputs]
    inputs = [rng.uniform(0, 255, shape).astype("float32") for shape in shapes]
    scores = keras.ops.convert_to_numpy(network(inputs))
    np.savez(folder / "known.npz", *inputs, scores=scores)
    return folder


@pytest.mark.parametrize(
    "first",
    [
        "import skavsc; assert 'keras' not in __import__('sys').modules",
        pytest.param("import keras, skavsc", marks=pytest.mark.slow),
        # Here Keras is loaded while a module with registered objects is.
        pytest.param("from skavsc.networks import BlockScaling", marks=pytest.mark.slow),
        pytest.param("from skavsc.networks import fusion_network", marks=pytest.mark.slow),
    ],
)
def test_loads_in_a_fresh_process(saved, first):
    code = (
        f"{first}\nimport keras, numpy\n"
        f"network = keras.saving.load_model(r'{saved / 'network.keras'}')\n"
        "assert type(network.optimizer).__module__.startswith('skavsc')\n"
        f"known = numpy.load(r'{saved / 'known.npz'}')\n"
        "scores = network([known['arr_0'], known['arr_1']])\n"
        "scores = keras.ops.convert_to_numpy(scores)\n"
        "numpy.testing.assert_allclose(scores, known['scores'], rtol=1e-6)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_module_with_registered_objects_is_known():
    package = Path(skavsc.__file__).parent
    found = {
        ".".join(["skavsc", *path.relative_to(package).with_suffix("").parts])
        for path in package.rglob("*.py")
        if "@keras.saving.register_keras_serializable" in path.read_text(encoding="utf-8")
    }
    assert found == set(_keras_objects.MODULES)

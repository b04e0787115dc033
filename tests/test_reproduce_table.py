"""The example with the published table, whose image network is trained too."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from skavsc import make_scenes
from skavsc.networks import squeezenet11_base

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "reproduce_table.py"


@pytest.fixture(scope="module")
def reproduce(tmp_path_factory):
    """The function ``reproduce(fusion)``: the table on rendered scenes, from random weights."""
    spec = importlib.util.spec_from_file_location("reproduce_table", EXAMPLE)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    folder = tmp_path_factory.mktemp("table")
    make_scenes(
        folder / "scenes",
        n_scenes=2,
        n_locations=4,
        clips_per_location=1,
        duration=1.0,
        size=(64, 64),
    )
    squeezenet11_base().save_weights(folder / "random.weights.h5")

    def run(fusion):
        return example.main(
            [
                str(folder / "scenes"),
                "--network=squeezenet11",
                f"--weights={folder / 'random.weights.h5'}",
                "--features=log-mel",
                "--duration=1",
                f"--audio={json.dumps({'filters': [4, 4, 4], 'epochs': 1})}",
                f"--visual={json.dumps({'units': 4, 'epochs': 1})}",
                f"--fusion={json.dumps({'units': 4, 'epochs': 1, **fusion})}",
                "--fine-tune-images",
                f"--work={folder / 'work'}",
            ]
        )

    run.networks = folder / "work" / "networks"
    return run


@pytest.mark.slow
def test_the_image_network_is_trained_before_the_fusion_and_with_it(reproduce, capsys):
    before = reproduce({})
    names = ["audio", "visual", "early", "late"]
    assert list(before.index) == [("log-mel", name) for name in names]
    assert np.isfinite(before["macro_log_loss"].to_numpy(dtype=float)).all()
    assert "1 of 1 official folds, 2 scenes" in capsys.readouterr().out
    besides = reproduce({"fine_tune": "all", "fine_tune_learning_rate": 1e-3})
    # The image network of the first run, with which the fusion is trained further in the second.
    assert len(list(reproduce.networks.rglob("fitted/*/output.pkl"))) == 1
    before, besides = (table["macro_log_loss"].droplevel(0) for table in (before, besides))
    assert besides["visual"] == pytest.approx(before["visual"], rel=1e-5)
    assert besides["late"] != pytest.approx(before["late"], rel=1e-5)

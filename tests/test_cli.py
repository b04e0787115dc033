"""The command as a user types it, and the demo's way on a smaller set."""

import subprocess
import sys
from pathlib import Path

import joblib
import pytest

import skavsc
from skavsc import _demo
from skavsc.cli import main
from skavsc.exceptions import WeightsNotFoundError


def test_importing_loads_nothing_heavy():
    code = (
        "import sys, skavsc\n"
        "heavy = {'keras', 'tensorflow', 'cv2', 'av', 'librosa', 'sklearn', 'numba', 'pandas'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_naming_an_estimator_does_not_load_keras():
    code = "import sys, skavsc; skavsc.SECRNNClassifier(); print('keras' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_version(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"skavsc {skavsc.__version__}\n"


def test_unknown_command(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["dance"])
    assert "invalid choice: 'dance'" in capsys.readouterr().err


def test_demo_tells_of_weights_that_are_not_there_before_it_renders(tmp_path):
    with pytest.raises(WeightsNotFoundError, match=r"gone\.h5"):
        main(["demo", "--directory", str(tmp_path / "demo"), "--weights", "gone.h5"])
    assert not (tmp_path / "demo").exists()


def small_framework():
    return skavsc.SECRNNClassifier(
        skavsc.AudioSceneClassifier(filters=(4, 4, 4), epochs=2),
        skavsc.VisualSceneClassifier(units=4, epochs=2, scale_frames=True),
        units=4,
        epochs=1,
        random_state=0,
    )


def test_demo_from_rendering_to_the_prediction_of_a_fresh_process(tmp_path, monkeypatch, capsys):
    # The whole way, with fewer clips and smaller networks: those in full size take minutes.
    monkeypatch.setattr(_demo, "N_SCENES", 2)
    monkeypatch.setattr(_demo, "N_LOCATIONS", 4)
    monkeypatch.setattr(_demo, "CLIPS_PER_LOCATION", 2)
    monkeypatch.setattr(_demo, "DURATION", 1.0)
    monkeypatch.setattr(_demo, "N_FOLDS", 2)
    monkeypatch.setattr(_demo, "small_set_framework", small_framework)
    assert main(["demo", "--directory", str(tmp_path), "--quiet"]) == 0
    shown = capsys.readouterr().out
    for step in (
        "1. Rendering 2 scenes",
        "12 clips",
        "4 are kept unseen",
        "macro log loss",
        "<- true",
    ):
        assert step in shown
    assert "equal to what this process predicts" in shown
    assert "| gammatone | early |" in (tmp_path / "report.md").read_text(encoding="utf-8")
    assert len((tmp_path / "results.csv").read_text(encoding="utf-8").splitlines()) == 9
    model = joblib.load(tmp_path / "model.joblib")
    unseen = [Path(path).stem for path in (tmp_path / "scenes" / "video").iterdir()]
    assert len(unseen) == 16
    assert list(model.classes_) == ["park", "public_square"]

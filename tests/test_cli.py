"""The command as a user types it, on real files."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import joblib
import pandas as pd
import pytest

import skavsc
from skavsc import _full_demo, make_scenes
from skavsc.cli import main


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
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"skavsc {skavsc.__version__}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["dance"], "No such command 'dance'"),
        (["train", "gone", "-o", "m"], "'gone' does not exist"),
        (["train", "."], "Missing option '-o'"),
        (["demo", "--weights", "file.h5"], "add --full"),
        (["predict", "gone.joblib", "a.mp4"], "'gone.joblib' does not exist"),
    ],
)
def test_wrong_usage_ends_with_2(words, message, capsys):
    assert main(words) == 2
    assert message in capsys.readouterr().err


def test_failures_end_with_1_and_name_the_cause(tmp_path, capsys):
    (tmp_path / "park").mkdir()
    (tmp_path / "park" / "notes.txt").write_text("no clips here")
    assert main(["train", str(tmp_path), "-o", str(tmp_path / "model.joblib")]) == 1
    assert "Error:" in capsys.readouterr().err
    assert not (tmp_path / "model.joblib").exists()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two labels, four places each, two clips a place; and two broken files."""
    root = tmp_path_factory.mktemp("cli")
    scenes = make_scenes(
        root / "scenes", 2, n_locations=4, clips_per_location=2, duration=1.0, size=(64, 48)
    )
    own = root / "own"
    for row, label in zip(scenes.X.itertuples(), scenes.y, strict=True):
        (own / label).mkdir(parents=True, exist_ok=True)
        for path in (row.audio, row.video):
            name = f"place{row.location}_{row.Index}{Path(path).suffix}"
            shutil.copy(path, own / label / name)
    for name in ("broken_1.mp4", "broken_2.mp4"):
        (own / "park" / name).write_bytes(b"no video")
    return root


@pytest.fixture(scope="module")
def trained(folder):
    """The model that the command wrote, and what it printed, in a process of its own."""
    words = ["train", "own", "-o", "model.joblib", "--report", "report.html", "--duration", "1"]
    words += ["--groups", "^(.*)_", "--folds", "2", "--json"]
    code = "import sys; from skavsc.cli import main; sys.exit(main(sys.argv[1:]))"
    run = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run


def test_train_says_what_it_chose_and_what_is_broken(folder, trained):
    rows = {row["index"]: row for row in json.loads(trained.stdout)}
    assert rows["clips"]["n"] == 16
    assert rows["clips"]["accuracy"] > rows["guessing"]["accuracy"] == 0.5
    assert {"without audio", "without visual"} <= set(rows)
    assert "18 clips of 2 classes" in trained.stderr
    assert "Recipe: statistics (no frozen network was given for audio and visual)" in trained.stderr
    assert "2 file(s) could not be read in full" in trained.stderr
    for name in ("broken_1.mp4", "broken_2.mp4"):
        assert f"{Path('own') / 'park' / name}: read" in trained.stderr
    assert "<html" in (folder / "report.html").read_text(encoding="utf-8")
    assert joblib.load(folder / "model.joblib").classes_.tolist() == ["park", "public_square"]


def test_predict_prints_csv_and_names_what_it_cannot_read(folder, trained, capsys):
    good = next((folder / "own" / "park").glob("place*.mp4"))
    bad = folder / "own" / "park" / "broken_1.mp4"
    assert main(["predict", str(folder / "model.joblib"), str(good), str(bad)]) == 1
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == "file,rank,scene,probability"
    assert [line.split(",")[0] for line in lines[1:]] == [str(good)] * 2
    assert "2 file(s) could not be read in full" in err


def test_evaluate_writes_report_and_submission(folder, trained, tmp_path, capsys):
    submission = tmp_path / "submission.csv"
    words = ["evaluate", str(folder / "model.joblib"), str(folder / "own"), "--json"]
    assert main([*words, "--submission", str(submission)]) == 0
    rows = {row["index"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["clips"]["accuracy"] > 0.9
    table = pd.read_csv(submission, sep="\t")
    assert table.columns.tolist() == ["filename", "scene_label", "park", "public_square"]
    assert len(table) == 16


def test_a_file_that_is_no_model(folder, tmp_path, capsys):
    joblib.dump({"a": 1}, tmp_path / "x.joblib")
    clip = next((folder / "own" / "park").glob("place*.mp4"))
    assert main(["predict", str(tmp_path / "x.joblib"), str(clip)]) == 2
    assert "holds a dict" in capsys.readouterr().err


def test_models_and_check(capsys):
    assert main(["models", "--json"]) == 0
    assert "yamnet" in [row["name"] for row in json.loads(capsys.readouterr().out)]
    assert main(["check", "--json"]) == 0
    found = {row["what"]: row["found"] for row in json.loads(capsys.readouterr().out)}
    assert found["skavsc"] == skavsc.__version__
    assert found["self-test"] == "sound (64, 50, 3), picture (5, 224, 224, 3)"


@pytest.mark.slow
def test_demo_ends_with_a_report_and_a_model(tmp_path, capsys):
    assert main(["demo", "--directory", str(tmp_path), "--quiet"]) == 0
    shown = capsys.readouterr().out
    for part in (
        "1. Rendering 4 scenes",
        "sound and picture",
        "report.html",
        "<- true",
        "Next, with your own",
    ):
        assert part in shown
    assert joblib.load(tmp_path / "model.joblib").predict_proba is not None
    assert (tmp_path / "report.html").stat().st_size > 10_000


def small_framework():
    return skavsc.SECRNNClassifier(
        skavsc.AudioSceneClassifier(filters=(4, 4, 4), epochs=2),
        skavsc.VisualSceneClassifier(units=4, epochs=2, scale_frames=True),
        units=4,
        epochs=1,
        random_state=0,
    )


@pytest.mark.slow
def test_full_demo_from_rendering_to_the_prediction_of_a_fresh_process(
    tmp_path, monkeypatch, capsys
):
    # The whole way, with fewer clips and smaller networks: those in full size take minutes.
    monkeypatch.setattr(_full_demo, "N_SCENES", 2)
    monkeypatch.setattr(_full_demo, "N_LOCATIONS", 4)
    monkeypatch.setattr(_full_demo, "CLIPS_PER_LOCATION", 2)
    monkeypatch.setattr(_full_demo, "DURATION", 1.0)
    monkeypatch.setattr(_full_demo, "N_FOLDS", 2)
    monkeypatch.setattr(_full_demo, "small_set_framework", small_framework)
    assert main(["demo", "--full", "--directory", str(tmp_path), "--quiet"]) == 0
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
    assert list(joblib.load(tmp_path / "model.joblib").classes_) == ["park", "public_square"]

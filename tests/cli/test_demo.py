"""The demonstrations, whole."""

import json
from pathlib import Path

import pytest

import skavsc
from skavsc import _demo
from skavsc.cli import main

MODELS = Path(__file__).resolve().parents[3] / "shared" / "models"


@pytest.mark.slow
def test_demo_ends_with_a_report_and_a_model(tmp_path, capsys):
    assert main(["demo", "--directory", str(tmp_path), "--quiet", "--json"]) == 0
    out, shown = capsys.readouterr()
    rows = {row["features"]: row for row in json.loads(out)}
    assert list(rows) == ["sound", "picture", "sound and picture"]
    assert rows["sound and picture"]["accuracy"] > 0.8
    for part in (
        "1. Rendering 4 scenes",
        "sound and picture",
        "report.html",
        " s to go",
        "<- true",
        "Next, with your own",
    ):
        assert part in shown
    assert skavsc.load(tmp_path / "model.skops").predict_proba is not None
    assert (tmp_path / "report.html").stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.skipif(not MODELS.is_dir(), reason="the pretrained networks are not here")
def test_demo_with_frozen_networks(tmp_path, capsys):
    models = [
        "--audio-model",
        MODELS / "yamnet.onnx",
        "--image-model",
        MODELS / "mobilenet_v2.onnx",
    ]
    assert main(["demo", "--directory", str(tmp_path), "--quiet", *map(str, models)]) == 0
    shown = capsys.readouterr().out
    assert "2. Recipe embeddings" in shown
    assert "<- true" in shown


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
    monkeypatch.setattr(_demo, "N_SCENES", 2)
    monkeypatch.setattr(_demo, "N_LOCATIONS", 4)
    monkeypatch.setattr(_demo, "CLIPS_PER_LOCATION", 2)
    monkeypatch.setattr(_demo, "DURATION", 1.0)
    monkeypatch.setattr(_demo, "N_FOLDS", 2)
    monkeypatch.setattr(_demo, "small_set_framework", small_framework)
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
    assert list(skavsc.load(tmp_path / "model.skops").classes_) == ["park", "public_square"]

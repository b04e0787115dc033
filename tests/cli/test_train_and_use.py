"""Training and using a model as a user does, on real files."""

import io
import json
import shutil
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import StandardScaler

import skavsc
from skavsc.cli import main
from skavsc.cli._common import file_digests
from skavsc.media import read_frames, read_sound, write_clip


def test_train_says_what_it_chose_and_what_is_broken(folder, trained):
    rows = {row["index"]: row for row in json.loads(trained.stdout)}
    assert rows["clips"]["n"] == 16
    assert rows["clips"]["accuracy"] > rows["guessing"]["accuracy"] == 0.5
    assert {"without audio", "without visual"} <= set(rows)
    assert "21 clips of 2 classes" in trained.stderr
    assert "Recipe: statistics (no frozen network was given for audio and visual)" in trained.stderr
    assert "5 clips have nothing that can be read and are left out" in trained.stderr
    assert "5 file(s) could not be read in full" in trained.stderr
    causes = {
        "broken_1.mp4": "not a sound or video file, or a damaged one",
        "broken_2.mp4": "the file is empty (0 bytes)",
        "broken_3.mp4": "not a sound or video file, or a damaged one",
        "broken_4.wav": "not a sound or video file, or a damaged one",
        "broken_5.wav": "it holds NaN or infinite samples",
    }
    for name, cause in causes.items():
        lines = [line for line in trained.stderr.splitlines() if f"{name}: " in line]
        assert any(line.startswith(f"  {Path('own') / 'park' / name}: ") for line in lines)
        assert any(cause in line for line in lines)
    assert "<html" in (folder / "report.html").read_text(encoding="utf-8")


def test_the_model_file_holds_no_code_and_says_how_it_was_trained(model):
    card = skavsc.model_card(model)
    assert card.description["training"]["clips"] == 16
    assert card.description["training"]["locations"] == 8
    assert card.description["labels"] == ["park", "public_square"]
    assert 0.5 < card.description["training"]["metrics"]["accuracy"] <= 1


def test_predict_prints_csv_and_names_what_it_cannot_read(folder, model, capsys):
    good = next((folder / "own" / "park").glob("place*.mp4"))
    bad = folder / "own" / "park" / "broken_1.mp4"
    assert main(["predict", model, str(good), str(bad)]) == 1
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == "file,rank,scene,probability"
    assert [line.split(",")[0] for line in lines[1:]] == [str(good)] * 2
    # The good one is a video without sound, which is no failure.
    assert "1 file(s) have sound or picture only" in err
    assert "1 file(s) could not be read in full" in err
    assert f"Error: no prediction for {bad}" in err
    assert "no sound track" not in err


def test_predict_equals_the_model(folder, model, capsys):
    good = sorted((folder / "own" / "park").glob("place*.wav"))
    assert main(["predict", model, *map(str, good), "--json", "--top", "1"]) == 0
    rows = json.loads(capsys.readouterr().out)
    table = pd.DataFrame({"audio": list(map(str, good)), "video": None}, dtype=object)
    loaded = skavsc.load(model)
    expected = loaded.predict_proba(table).max(axis=1)
    assert [row["scene"] for row in rows] == loaded.predict(table).tolist()
    assert [row["probability"] for row in rows] == pytest.approx(expected.tolist(), abs=1e-9)


def test_train_on_silent_videos(folder, tmp_path, capsys):
    for path in (folder / "own").glob("*/place*.mp4"):
        (tmp_path / "silent" / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tmp_path / "silent" / path.parent.name / path.name)
    model = str(tmp_path / "model.skops")
    words = ["train", str(tmp_path / "silent"), "-o", model, "--duration", "1", "--folds", "2"]
    assert main([*words, "--groups", "^(.*)_"]) == 0
    err = capsys.readouterr().err
    assert "No clip has sound that can be read" in err
    assert "16 file(s) have sound or picture only" in err
    assert "could not be read in full" not in err
    assert main(["predict", model, str(path), "--top", "1"]) == 0
    assert path.parent.name in capsys.readouterr().out


def test_evaluate_writes_report_and_submission(folder, model, tmp_path, capsys):
    submission, report = tmp_path / "submission.csv", tmp_path / "report.html"
    words = ["evaluate", model, str(folder / "own"), "--json", "--report", str(report)]
    assert main([*words, "--submission", str(submission)]) == 0
    rows = {row["index"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["clips"]["accuracy"] > 0.9
    table = pd.read_csv(submission, sep="\t")
    assert table.columns.tolist() == ["filename", "scene_label", "park", "public_square"]
    assert len(table) == 16
    assert "model.skops" in report.read_text(encoding="utf-8")


def test_evaluate_on_labels_that_the_model_does_not_know(folder, model, tmp_path, capsys):
    clip = next((folder / "own" / "park").glob("place*.mp4"))
    table = tmp_path / "clips.csv"
    table.write_text(f"audio,video,label\n,{clip},beach\n", encoding="utf-8")
    assert main(["evaluate", model, str(table)]) == 1
    assert "beach" in capsys.readouterr().err


def test_a_model_of_sound_says_which_video_is_silent(folder, tmp_path, make_frames, capsys):
    clips = pd.DataFrame({"audio": sorted(map(str, (folder / "own").glob("*/place*.wav")))})
    labels = [Path(path).parent.name for path in clips["audio"]]
    recipe = skavsc.make_scene_classifier(
        "statistics", modalities=["audio"], duration=1.0, C=1.0, on_error="missing"
    )
    skavsc.save(recipe.fit(clips, labels), tmp_path / "sound.skops")
    silent = write_clip(tmp_path / "silent.mp4", make_frames(), 25)
    assert main(["predict", str(tmp_path / "sound.skops"), str(silent)]) == 1
    err = capsys.readouterr().err
    assert "1 file(s) have sound or picture only" in err
    assert f"Error: no prediction for {silent}" in err


def test_files_that_are_no_models(folder, trained, tmp_path, capsys):
    clip = str(next((folder / "own" / "park").glob("place*.mp4")))
    joblib.dump({"a": 1}, tmp_path / "x.joblib")
    assert main(["predict", str(tmp_path / "x.joblib"), clip]) == 1
    err = capsys.readouterr().err
    assert "x.joblib" in err
    assert "A joblib file runs code when it is loaded" in err
    skavsc.save(StandardScaler().fit([[0.0], [1.0]]), tmp_path / "scaler.skops")
    assert main(["predict", str(tmp_path / "scaler.skops"), clip]) == 2
    assert "holds a StandardScaler, which predicts no probabilities" in capsys.readouterr().err


def test_timeline_of_a_video_of_two_scenes(folder, model, tmp_path, capsys):
    pictures, sounds = [], []
    for label in ("park", "public_square"):
        clips = sorted((folder / "own" / label).glob("place*.mp4"))[:4]
        pictures += [read_frames(clip, fps=5) for clip in clips]
        sounds += [read_sound(clip.with_suffix(".wav"))[0][:, :48_000] for clip in clips]
    video = str(tmp_path / "two.mp4")
    write_clip(video, np.concatenate(pictures), 5, sound=np.concatenate(sounds, axis=1))
    words = ["predict", model, video, "--timeline", "--shortest", "2", "--hop", "0.5"]
    table, edl = tmp_path / "rows.csv", tmp_path / "two.edl"
    assert main([*words, "--probabilities", str(table), "--edl", str(edl)]) == 0
    segments = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert segments.columns.tolist() == ["file", "start", "end", "scene", "probability"]
    assert segments["scene"].tolist() == ["park", "public_square"]
    assert segments["end"].tolist() == pytest.approx([4, 8], abs=1)
    rows = pd.read_csv(table)
    assert rows.columns.tolist() == ["file", "start", "end", "park", "public_square"]
    assert len(rows) == 16
    assert edl.read_text(encoding="utf-8").startswith("TITLE: two\nFCM: NON-DROP FRAME\n\n001 ")
    # One file that cannot be read does not keep the others from it.
    assert main([*words, str(folder / "own" / "park" / "broken_2.mp4"), "--json"]) == 1
    out, err = capsys.readouterr()
    assert len(json.loads(out)) == 2
    assert "the file is empty (0 bytes)" in err
    assert "Error: no prediction for" in err


def test_files_are_told_apart_by_all_of_their_content(tmp_path):
    content = bytes(400_000)
    for name, middle in [("a", b"1"), ("b", b"2"), ("copy of a", b"1")]:
        changed = content[:200_000] + middle + content[200_001:]
        (tmp_path / name).write_bytes(changed)
    first, other, same = (
        file_digests(pd.DataFrame({"audio": [str(tmp_path / name)], "video": [None]}))
        for name in ("a", "b", "copy of a")
    )
    assert first == same
    assert first != other


def test_files_without_content_have_no_digest(tmp_path):
    (tmp_path / "empty").touch()
    paths = [str(tmp_path / "empty"), str(tmp_path / "gone"), None]
    clips = pd.DataFrame({"audio": paths, "video": [None] * 3}, dtype=object)
    assert file_digests(clips) == ""

"""Sets in TAU's layout: which clips a model is trained on, and which it is judged by."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import soundfile
from click.testing import CliRunner

import skavsc
from skavsc.cli import main
from skavsc.cli._common import load_clips
from skavsc.cli._main import skavsc_command
from skavsc.exceptions import MissingClipWarning


@pytest.fixture
def scenes(folder):
    """A set of 16 clips, 4 of which are for evaluation."""
    return folder / "scenes"


@pytest.fixture
def unlabelled(scenes, tmp_path):
    """The same clips as the challenge's evaluation set has them."""
    root = shutil.copytree(scenes, tmp_path / "unlabelled")
    shutil.rmtree(root / "evaluation_setup")
    files = pd.read_csv(root / "meta.csv", sep="\t")[["filename_audio", "filename_video"]]
    files.to_csv(root / "meta.csv", sep="\t", index=False)
    return root


def predicted(submission):
    return set(pd.read_csv(submission, sep="\t")["filename"])


def names(X):
    return {path.rpartition("/")[2] for path in X["audio"]}


@pytest.mark.parametrize("subset", [None, "evaluate", "train", "all"])
def test_evaluate_judges_by_a_subset_and_says_which(scenes, model, subset, tmp_path, capsys):
    submission = tmp_path / "submission.csv"
    words = ["evaluate", model, str(scenes), "--json", "--submission", str(submission)]
    assert main(words + ([] if subset is None else ["--subset", subset])) == 0
    expected = skavsc.load_tau_urban_av(scenes, subset=subset or "evaluate")
    out, err = capsys.readouterr()
    rows = {row["index"]: row for row in json.loads(out)}
    assert rows["clips"]["n"] == len(expected.y)
    assert predicted(submission) == names(expected.X)
    assert f"Subset {subset or 'evaluate'!r}" in err
    assert f": {len(expected.y)} clips" in err
    assert ("training clips included" in err) == (subset in ("train", "all"))


def test_the_model_is_trained_on_the_official_training_clips(scenes, tmp_path, capsys):
    model = str(tmp_path / "model.skops")
    words = ["train", str(scenes), "-o", model, "--duration", "1", "--json"]
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert "Official folds: 1" in err
    assert "trained on the 12 training clips of the official fold; 4 are left" in err
    assert skavsc.model_card(model).description["training"]["clips"] == 12
    measured = {row["index"]: row for row in json.loads(out)}["clips"]
    # The clips that it is judged by are those that it was cross-validated on: it is the same model.
    assert main(["evaluate", model, str(scenes), "--json"]) == 0
    out, err = capsys.readouterr()
    again = {row["index"]: row for row in json.loads(out)}["clips"]
    assert again["n"] == measured["n"] == 4
    assert "was trained on" not in err
    assert again["macro_log_loss"] == pytest.approx(measured["macro_log_loss"], abs=1e-4)
    assert main([*words, "--all-clips"]) == 0
    assert "trained on all 16 clips" in capsys.readouterr().err
    card = skavsc.model_card(model)
    assert card.description["training"]["clips"] == 16
    assert "digest" not in str(card)


def other_clips(folder, data, *, n_known):
    """Copies of clips that the model was trained on, under other names, and clips like them."""
    for label in ("park", "public_square"):
        (data / label).mkdir(parents=True)
        for number, path in enumerate(sorted((folder / "own" / label).glob("place*.wav"))[:4]):
            copy = data / label / f"copy {number}.wav"
            if number < n_known:
                shutil.copy(path, copy)
            else:
                sound, rate = soundfile.read(path)
                soundfile.write(copy, -sound, rate, subtype="PCM_24")


@pytest.mark.parametrize("n_known", [0, 3])
def test_clips_that_the_model_was_trained_on_are_told_of(folder, model, n_known, tmp_path, capsys):
    data, report = tmp_path / "data", tmp_path / "report.html"
    other_clips(folder, data, n_known=n_known)
    assert main(["evaluate", model, str(data), "--report", str(report)]) == 0
    err, page = capsys.readouterr().err, report.read_text(encoding="utf-8")
    assert ("was trained on 6 of these 8 clips" in err) == (n_known == 3)
    assert ("was trained on 6 of these 8 clips" in page) == (n_known == 3)
    assert ("had not been trained on" in page) == (n_known == 0)
    assert "does not tell" not in err


def test_a_model_that_does_not_tell_its_clips(folder, model, tmp_path, capsys):
    other, data = str(tmp_path / "other.skops"), tmp_path / "data"
    other_clips(folder, data, n_known=1)
    skavsc.save(skavsc.load(model), other)
    assert main(["evaluate", other, str(data)]) == 0
    assert "other.skops does not tell which clips it was trained on" in capsys.readouterr().err


def test_several_official_folds_need_a_subset(scenes, model, tmp_path, capsys):
    root = shutil.copytree(scenes, tmp_path / "two")
    setup = root / "evaluation_setup"
    shutil.copy(setup / "fold1_evaluate.csv", setup / "fold2_evaluate.csv")
    assert main(["evaluate", model, str(root)]) == 2
    assert "has 2 official folds; say by --subset" in capsys.readouterr().err
    assert main(["evaluate", model, str(root), "--subset", "evaluate"]) == 0
    assert "Subset 'evaluate' of the first official fold: 4 clips" in capsys.readouterr().err


def test_a_subset_is_of_sets_in_the_layout(folder, model, capsys):
    assert main(["evaluate", model, str(folder / "own"), "--subset", "all"]) == 2
    assert "has no meta.csv" in capsys.readouterr().err


def test_the_locations_of_a_table_are_in_its_column_group(folder, tmp_path):
    table = tmp_path / "clips.csv"
    clips = skavsc.load_clip_folder(folder / "own", groups="^([a-z]+[0-9]*)_")
    clips.X.assign(label=clips.y).to_csv(table, index=False)
    assert len(set(load_clips(str(table), None).groups)) == len(clips.y)
    clips.X.assign(label=clips.y, group=clips.groups).to_csv(table, index=False)
    assert load_clips(str(table), None).groups.tolist() == clips.groups.tolist()
    rows = clips.X.assign(label=clips.y, group=clips.groups)
    rows.loc[0, ["audio", "video"]] = str(tmp_path / "gone.mp4")
    rows.to_csv(table, index=False)
    with pytest.warns(MissingClipWarning, match=r"gone\.mp4") as caught:
        assert load_clips(str(table), None).groups.tolist() == clips.groups.tolist()
    assert len(caught) == 1


def test_a_regular_expression_for_locations_is_of_folders(scenes, tmp_path, capsys):
    table = tmp_path / "clips.csv"
    table.write_text("audio,video,label\n", encoding="utf-8")
    for data, remedy in ((table, "a column group"), (scenes, "in meta.csv")):
        words = ["train", str(data), "-o", str(tmp_path / "m"), "--groups", "^(.*)_"]
        assert main(words) == 2
        assert "--groups is of folders" in (err := capsys.readouterr().err)
        assert remedy in err


def test_clips_without_labels_are_predicted_for_the_submission(unlabelled, model, tmp_path):
    submission = tmp_path / "submission.csv"
    words = ["evaluate", model, str(unlabelled), "--submission", str(submission)]
    result = CliRunner().invoke(skavsc_command, words)
    assert result.exit_code == 0
    assert "The clips have no labels: there are no scores" in result.output
    assert "accuracy" not in result.output
    table = pd.read_csv(submission, sep="\t")
    clips = skavsc.load_tau_urban_av(unlabelled, subset="all")
    assert table["scene_label"].tolist() == skavsc.load(model).predict(clips.X).tolist()
    assert set(table["filename"]) == names(clips.X)
    assert np.allclose(table.iloc[:, 2:].sum(axis=1), 1)


@pytest.mark.parametrize("further", [[], ["--report", "r.html"], ["--submission", "s.csv"]])
def test_the_fold_without_labels(scenes, model, further, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["evaluate", model, str(scenes), "--subset", "test", *further]
    result = CliRunner().invoke(skavsc_command, words)
    if "--submission" in further:
        assert result.exit_code == 0
        assert len(predicted("s.csv")) == 4
    else:
        assert result.exit_code == 2
        assert "the clips have no labels to judge the model by" in result.output
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["train", "report", "features"])
def test_nothing_is_learnt_without_labels(unlabelled, command, tmp_path):
    output = str(tmp_path / "output.npz")
    result = CliRunner().invoke(skavsc_command, [command, str(unlabelled), "-o", output])
    assert result.exit_code == 2
    assert "have no labels (scene_label in meta.csv)" in result.output

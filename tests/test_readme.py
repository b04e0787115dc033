"""The code of the README runs as it stands there, on fewer clips and for an epoch."""

import re
import shlex
import shutil
from pathlib import Path

import numpy as np

from skavsc import make_scenes
from skavsc.cli import main
from skavsc.media import read_frames, read_sound, write_clip

README = Path(__file__).parents[1] / "README.md"
SMALLER = {
    "n_scenes=3": "n_scenes=2, n_locations=4, clips_per_location=1, size=(64, 48), duration=1.0",
    "cv=3": "cv=2",
    "duration=4.0": "duration=1.0",
    "classifier__epochs=40": "classifier__epochs=1, classifier__filters=(4, 4, 4)",
}


def blocks(kind):
    return re.findall(rf"```{kind}\n(.*?)```", README.read_text(), flags=re.DOTALL)


def test_code_runs(tmp_path, monkeypatch, capsys):
    code = "\n".join(blocks("python"))
    for given, smaller in SMALLER.items():
        assert given in code
        code = code.replace(given, smaller)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(code, names)
    *_, dark, sound = capsys.readouterr().out.splitlines()
    assert 0 <= float(dark) <= 1
    assert 0 <= float(sound) <= 1
    assert names["report"].summary().loc["clips", "accuracy"] > 0.5
    assert (tmp_path / "report.html").exists()
    # The picture is gone from the table that is predicted, and not from the other.
    assert names["dark"]["video"].isna().all()
    assert not names["scenes"].X["video"].isna().any()
    assert np.array_equal(names["model"].classes_, np.unique(names["scenes"].y))


def test_shell_session_runs_word_for_word(tmp_path, monkeypatch, capsys):
    scenes = make_scenes(
        tmp_path / "scenes", 2, n_locations=3, clips_per_location=1, duration=1.0, size=(64, 48)
    )
    for row, label in zip(scenes.X.itertuples(), scenes.y, strict=True):
        target = tmp_path / "clips" / label / f"place{row.location}_1.mp4"
        target.parent.mkdir(parents=True, exist_ok=True)
        sound, rate = read_sound(row.audio)
        write_clip(target, read_frames(row.video, fps=10), 10, sound=sound, rate=rate)
    shutil.copy(target, tmp_path / "new.mp4")
    monkeypatch.chdir(tmp_path)
    session = "".join(block for block in blocks("console") if block.startswith("skavsc "))
    commands = session.replace("\\\n", " ").splitlines()
    assert [shlex.split(line)[1] for line in commands] == ["train", "predict"]
    for line in commands:
        assert main(shlex.split(line, comments=True)[1:]) == 0
    answer = capsys.readouterr().out.splitlines()[-2:]
    assert answer[0].startswith(f"new.mp4,1,{label},")
    assert (tmp_path / "report.html").exists()

"""The code of the README runs as it stands there, on short clips and small networks."""

import re
import runpy
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from skavsc import load, make_scenes, model_card
from skavsc.cli import main
from skavsc.media import read_frames, read_sound, write_clip

README = Path(__file__).parents[1] / "README.md"
PUBLISHED = '"published", memory="cache", random_state=0)'
SMALLER = {
    "duration=4.0": "duration=1.0",
    PUBLISHED: PUBLISHED.replace("memory", 'modalities=["audio"], duration=1.0, memory')
    + ".set_params(classifier__epochs=1, classifier__filters=(4, 4, 4))",
}


def blocks(kind):
    return re.findall(rf"```{kind}\n(.*?)```", README.read_text(), flags=re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder ``clips`` with one folder per label, a new clip, and a set in TAU's layout."""
    folder = tmp_path_factory.mktemp("readme")
    scenes = make_scenes(
        folder / "TAU-2021", 2, n_locations=4, clips_per_location=1, duration=1.0, size=(64, 48)
    )
    for row, label in zip(scenes.X.itertuples(), scenes.y, strict=True):
        target = folder / "clips" / label / f"place{row.location}_1.mp4"
        target.parent.mkdir(parents=True, exist_ok=True)
        sound, rate = read_sound(row.audio)
        write_clip(target, read_frames(row.video, fps=10), 10, sound=sound, rate=rate)
    shutil.copy(target, folder / "new.mp4")
    return folder


@pytest.mark.usefixtures("eagerly")
def test_code_runs(folder, monkeypatch, capsys):
    code = "\n".join(blocks("python"))
    for given, smaller in SMALLER.items():
        assert given in code
        code = code.replace(given, smaller)
    monkeypatch.chdir(folder)
    names = {}
    exec(code, names)
    assert names["report"].summary().loc["clips", "accuracy"] > 0.5
    assert "Surest errors" in (folder / "report.html").read_text()
    assert np.array_equal(load("model.skops").classes_, np.unique(names["clips"].y))
    assert names["published"].summary().loc["clips", "n"] == 2
    assert "accuracy %" in capsys.readouterr().out


def test_shell_session_runs_word_for_word(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    session = "".join(block for block in blocks("console") if block.startswith("skavsc "))
    commands = session.replace("\\\n", " ").splitlines()
    assert [shlex.split(line)[1] for line in commands] == ["train", "predict"]
    for line in commands:
        assert main(shlex.split(line, comments=True)[1:]) == 0
    answer = capsys.readouterr().out.splitlines()[-2:]
    label = sorted(path.name for path in (folder / "clips").iterdir())[-1]
    assert answer[0].startswith(f"new.mp4,1,{label},")
    assert (folder / "report.html").exists()


def test_example_of_own_clips(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    example = README.parent / "examples" / "own_clips.py"
    arguments = "clips --duration 1 --predict new.mp4 --model example.skops --report example.html"
    monkeypatch.setattr(sys, "argv", [str(example), *arguments.split()])
    runpy.run_path(str(example), run_name="__main__")
    shown = capsys.readouterr().out
    label = sorted(path.name for path in (folder / "clips").iterdir())[-1]
    assert shown.endswith(f"new.mp4: {label}\n")
    accuracy = float(re.search(r"^sound and picture +([\d.]+)", shown, re.MULTILINE)[1])
    assert accuracy > 0.5
    assert model_card("example.skops").description["training"]["metrics"]["accuracy"] == accuracy
    assert (folder / "example.html").exists()


def test_links_and_pictures_exist():
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", README.read_text()):
        assert (README.parent / link).is_file(), link

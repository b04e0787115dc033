"""A folder of clips as users have it, and a model that the command has trained on it."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from skavsc import make_scenes


@pytest.fixture(scope="package")
def folder(tmp_path_factory):
    """Two labels, four places each, two clips a place; and five broken files."""
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
    park = own / "park"
    whole = next(park.glob("place*.mp4")).read_bytes()
    (park / "broken_1.mp4").write_bytes(b"no video")
    (park / "broken_2.mp4").write_bytes(b"")
    (park / "broken_3.mp4").write_bytes(whole[: len(whole) // 2])
    (park / "broken_4.wav").write_bytes(b"RIFF\x24\x00\x00\x00WAVEfmt ")
    soundfile.write(park / "broken_5.wav", np.full((4410, 1), np.nan), 44_100, subtype="FLOAT")
    return root


@pytest.fixture(scope="package")
def trained(folder):
    """What the command printed as it trained a model, in a process of its own."""
    words = ["train", "own", "-o", "model.skops", "--report", "report.html", "--duration", "1"]
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


@pytest.fixture
def model(folder, trained):
    """The path of the model."""
    return str(folder / "model.skops")

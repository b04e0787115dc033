"""The code of the README runs as it stands there, on fewer clips and for an epoch."""

import re
from pathlib import Path

import numpy as np

README = Path(__file__).parents[1] / "README.md"
SMALLER = {
    "n_scenes=3": "n_scenes=2, n_locations=4, clips_per_location=1, size=(64, 48), duration=1.0",
    "cv=3": "cv=2",
    "duration=4.0": "duration=1.0",
    "classifier__epochs=40": "classifier__epochs=1, classifier__filters=(4, 4, 4)",
}


def test_code_runs(tmp_path, monkeypatch, capsys):
    code = "\n".join(re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL))
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

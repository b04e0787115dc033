"""The code of the README runs as it stands there, on fewer clips and for an epoch."""

import re
from pathlib import Path

import numpy as np
import pytest

README = Path(__file__).parents[1] / "README.md"
SMALLER = {
    "n_scenes=3": "n_scenes=2, n_locations=4, clips_per_location=1, size=(64, 48), duration=1.0",
    "StratifiedGroupKFold(3)": "StratifiedGroupKFold(2)",
    "epochs=40": "epochs=1",
    "duration=4.0": "duration=1.0",
    "cv=3": "cv=2",
    # What its comment offers to those who have no weights.
    "VGGPlacesEmbedder()": "VGGPlacesEmbedder(weights=None)",
}


@pytest.mark.filterwarnings("ignore::skavsc.exceptions.UntrainedWeightsWarning")
def test_code_runs(tmp_path, monkeypatch, capsys):
    code = "\n".join(re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL))
    for given, smaller in SMALLER.items():
        assert given in code
        code = code.replace(given, smaller)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(code, names)
    accuracies, prediction, accuracy = capsys.readouterr().out.splitlines()
    assert len(accuracies.strip("[]").split()) == 2
    assert prediction.strip("[]'") in names["scenes"].target_names
    assert 0 <= float(accuracy) <= 1
    assert names["framework"][-1].fusion == "late"
    # The picture is gone from the table that is predicted, and not from the other.
    assert names["dark"]["video"].isna().all()
    assert not names["scenes"].X["video"].isna().any()
    assert np.array_equal(names["stack"].classes_, np.unique(names["scenes"].y))

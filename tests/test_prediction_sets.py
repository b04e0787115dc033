"""The example of prediction sets, as a user runs it."""

import re
import runpy
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[1] / "examples" / "prediction_sets.py"


@pytest.mark.slow
def test_sets_hold_the_right_scene_and_strange_sound_is_rejected(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [str(EXAMPLE), str(tmp_path), "--confidence", "0.9"])
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    shown = capsys.readouterr().out
    figures = {
        name: float(value)
        for name, value in re.findall(r"^(.+?):\s+([\d.]+)$", shown, re.MULTILINE)
    }
    assert figures["sets hold the right scene"] >= 0.8
    assert 1 <= figures["scenes in a set"] < 5
    assert figures["new clips of known scenes rejected"] < 0.3
    assert "noise: rejected" in shown
    assert "silence: rejected" in shown

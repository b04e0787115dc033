"""What the command tells of networks and of the machine."""

import json

import skavsc
from skavsc.cli import main


def test_models_and_check(capsys):
    assert main(["models", "--json"]) == 0
    assert "yamnet" in [row["name"] for row in json.loads(capsys.readouterr().out)]
    assert main(["check", "--json"]) == 0
    found = {row["what"]: row["found"] for row in json.loads(capsys.readouterr().out)}
    assert found["skavsc"] == skavsc.__version__
    assert found["self-test"] == "sound (64, 50, 3), picture (5, 224, 224, 3)"

"""The example with the challenge's baseline, on rendered clips and networks of a few numbers."""

import importlib.util
import json
from pathlib import Path

from skavsc import make_scenes

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "challenge_baseline.py"


def test_the_baseline_learns_scenes(tiny_networks, tmp_path, capsys):
    spec = importlib.util.spec_from_file_location("challenge_baseline", EXAMPLE)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    make_scenes(
        tmp_path / "scenes",
        n_scenes=2,
        n_locations=4,
        clips_per_location=2,
        duration=1.0,
        size=(64, 64),
    )
    sound, image = tiny_networks
    report = example.main(
        [
            str(tmp_path / "scenes"),
            f"--audio-model={sound}",
            f"--audio={json.dumps({'sample_rate': 8000, 'hop': 0.1})}",
            f"--image-model={image}",
            f"--image={json.dumps({'preprocessing': 'none'})}",
            "--duration=1",
            "--folds=2",
            f"--cache={tmp_path / 'cache'}",
        ]
    )
    assert report.summary().loc["clips", "accuracy"] >= 0.75
    assert set(report.without) == {"audio", "video"}
    assert "accuracy" in capsys.readouterr().out

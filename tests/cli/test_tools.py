"""Features, sizes, frozen networks and the state of the machine, as the command tells them."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import skavsc
from skavsc.cli import main


def test_features_of_two_modalities(folder, tmp_path, capsys):
    words = ["features", str(folder / "own"), "--duration", "1", "--groups", "^(.*)_"]
    assert main([*words, "-o", str(tmp_path / "f.npz"), "--json"]) == 0
    out, err = capsys.readouterr()
    rows = {row["features"]: row for row in json.loads(out)}
    assert rows["audio"]["shape"] == "21 x 64 x 50 x 3"
    assert rows["audio"]["missing"] == rows["visual"]["missing"] == 5
    assert "5 file(s) could not be read in full" in err
    with np.load(tmp_path / "f.npz", allow_pickle=False) as found:
        assert sorted(found.files) == ["audio", "clip", "group", "label", "visual"]
        audio, labels, files = found["audio"], found["label"], found["clip"]
    assert main([*words, "-o", str(tmp_path / "f.npy")]) == 0
    table = pd.read_csv(tmp_path / "f.csv")
    assert table.columns.tolist() == ["audio", "video", "label", "group"]
    assert table["label"].tolist() == labels.tolist()
    assert table["audio"].fillna(table["video"]).tolist() == files.tolist()
    both = np.load(tmp_path / "f.npy", allow_pickle=False)
    assert np.array_equal(both["audio"], audio, equal_nan=True)
    # They are what the recipe computes.
    clips = table[["audio", "video"]].iloc[-1:]
    recipe = skavsc.make_scene_classifier("statistics", duration=1.0)
    assert np.array_equal(recipe[:-1].fit_transform(clips)["audio"][0], audio[-1])


def test_features_of_one_modality(folder, tmp_path, capsys):
    table = tmp_path / "clips.csv"
    sounds = sorted((folder / "own").glob("*/place*.wav"))
    rows = [f"{path},,{path.parent.name},{path.stem}" for path in sounds]
    table.write_text("\n".join(["audio,video,label,group", *rows]), encoding="utf-8")
    words = ["features", str(table), "--duration", "1", "-o"]
    assert main([*words, str(tmp_path / "f.npy")]) == 0
    assert np.load(tmp_path / "f.npy", allow_pickle=False).shape == (16, 64, 50, 3)
    assert "Most clips have" not in capsys.readouterr().err
    words[3] = "2.5"
    assert main([*words, str(tmp_path / "f.npy")]) == 0
    assert "Most clips have about 1.0 s, and --duration is 2.5" in capsys.readouterr().err
    assert main([*words, str(tmp_path / "f.csv")]) == 2
    assert "must end in .npz or .npy" in capsys.readouterr().err


@pytest.mark.slow
def test_complexity_of_a_model(folder, model, capsys):
    clip = str(next((folder / "own").glob("*/place*.wav")))
    assert main(["complexity", model, clip, "--json"]) == 0
    rows = {row["module"]: row for row in json.loads(capsys.readouterr().out)}
    linear = skavsc.load(model)[-1].estimators_[0][-1]
    found = rows["classifier__audio__logisticregression"]
    assert found["parameters"] == linear.coef_.size + linear.intercept_.size
    assert rows["whole"]["ms_per_clip"] > 0


@pytest.mark.slow
def test_published_complexity_without_greetings_of_tensorflow(monkeypatch):
    # JAX sets it where it is imported, as it is by other tests of the same process.
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    code = "import sys; from skavsc.cli import main; sys.exit(main(sys.argv[1:]))"
    words = ["complexity", "--recipe", "published"]
    run = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=True
    )
    assert run.stderr == ""
    rows = [line.split(",")[:3] for line in run.stdout.splitlines()[1:]]
    assert rows == [
        ["audio", "323274", "321930"],
        ["visual", "14820170", "105482"],
        ["fusion", "15416148", "272704"],
    ]


def test_known_networks(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SKAVSC_CACHE_DIR", str(tmp_path))
    assert main(["models", "list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["yamnet"]["file"] == "can be fetched"
    assert rows["openl3-audio"]["file"] == "no address"
    file = tmp_path / "weights" / "efficientnet_lite0.tflite"
    file.parent.mkdir()
    file.write_bytes(b"\0\0\0\0TFL3")
    assert main(["models", "fetch", "efficientnet-lite0"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == ["name,file", f"efficientnet-lite0,{file}"]
    assert "Apache-2.0" in err
    assert main(["models", "list"]) == 0
    assert "efficientnet-lite0,visual,Apache-2.0,here," in capsys.readouterr().out
    assert main(["models", "fetch", "openl3-audio"]) == 1
    assert "no address of a file of openl3-audio" in capsys.readouterr().err
    assert main(["models", "fetch", "resnet"]) == 2
    assert "'resnet' is not one of 'yamnet'" in capsys.readouterr().err
    # A file of the right name and beginning, but of no known checksum.
    assert main(["models", "verify", str(file)]) == 1
    out, err = capsys.readouterr()
    assert out.startswith("file,network,licence,sha256\n")
    assert f"no known network has the sha256 of {file}" in err
    assert main(["models", "verify", str(tmp_path / "gone")]) == 2


def test_known_network_of_a_real_file(avsc_mini, capsys):
    file = avsc_mini.parents[1] / "models" / "yamnet.onnx"
    assert main(["models", "verify", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["network"] == "yamnet"
    assert main(["models", "show", str(file)]) == 0
    assert "'waveform' (float32, shape (15600))" in capsys.readouterr().out


def test_card_of_a_model_file(model, capsys):
    assert main(["models", "show", model]) == 0
    assert "labels: park, public_square" in capsys.readouterr().out
    assert main(["models", "show", model, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["training"]["clips"] == 16


def test_check(capsys, monkeypatch):
    assert main(["check", "--json"]) == 0
    found = {row["what"]: row["found"] for row in json.loads(capsys.readouterr().out)}
    assert found["skavsc"] == skavsc.__version__
    assert found["codecs"].startswith("all usual ones (libavcodec")
    assert found["self-test"].startswith("written, decoded, trained on and predicted in")
    assert "keras" in found["runtimes"]
    # What fails is named, and the rest is shown.
    monkeypatch.setattr("tempfile.tempdir", "/gone")
    assert main(["check"]) == 1
    out, err = capsys.readouterr()
    assert "failed: FileNotFoundError" in out
    assert "Error: failed: self-test" in err

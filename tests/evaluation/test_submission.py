"""Submission files: the format of the challenge, there and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import softmax

from skavsc import read_submission, write_submission

SCENES = [
    "airport",
    "bus",
    "metro",
    "metro_station",
    "park",
    "public_square",
    "shopping_mall",
    "street_pedestrian",
    "street_traffic",
    "tram",
]


@given(logits=arrays(np.float64, (4, 10), elements=st.floats(-30, 30)))
def test_there_and_back(tmp_path_factory, logits):
    path = tmp_path_factory.mktemp("submission") / "task1b.csv"
    probabilities = softmax(logits, axis=1)
    names = [f"{number}.wav" for number in range(4)]
    write_submission(path, names, probabilities, SCENES)
    table = read_submission(path)
    assert table["filename"].tolist() == names
    assert table["scene_label"].tolist() == [SCENES[k] for k in probabilities.argmax(axis=1)]
    np.testing.assert_allclose(table[SCENES], probabilities, rtol=1e-7)


def test_the_file_is_as_the_challenge_wants_it(tmp_path):
    path = tmp_path / "task1b.csv"
    write_submission(path, ["1.wav", "Zürich tram.wav"], np.eye(10)[[1, 9]], np.array(SCENES))
    header, first, second = path.read_bytes().decode().split("\n")[:3]
    assert header.split("\t") == ["filename", "scene_label", *SCENES]
    assert first.split("\t")[:4] == ["1.wav", "bus", "0", "1"]
    assert second.split("\t")[:2] == ["Zürich tram.wav", "tram"]
    assert b"\r" not in path.read_bytes()


@pytest.mark.parametrize(
    ("names", "probabilities", "classes", "message"),
    [
        (["a", "b"], [[1.0, 0.0]], ["bus", "tram"], r"shape \(1, 2\), expected \(2, 2\)"),
        (["a", "a"], np.eye(2), ["bus", "tram"], r"occur twice: \['a'\]"),
        (["a"], [[1.0, 0.0]], ["bus", "bus"], "class occurs twice"),
        (["a"], [[1.5, 0.0]], ["bus", "tram"], r"in \[0, 1\]"),
        (["a"], [[np.nan, 0.0]], ["bus", "tram"], r"in \[0, 1\]"),
        (["a"], np.empty((1, 0)), [], "classes is empty"),
    ],
)
def test_what_cannot_be_submitted_is_not_written(tmp_path, names, probabilities, classes, message):
    path = tmp_path / "task1b.csv"
    with pytest.raises(ValueError, match=message):
        write_submission(path, names, probabilities, classes)
    assert not path.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("filename,scene_label,bus\na,bus,1\n", "expected .*tab separated"),
        ("filename\tscene_label\tbus\na\tquay\t1\n", r"\['quay'\], which are not among \['bus'\]"),
        ("filename\tscene_label\tbus\na\tbus\tsure\n", r"in \[0, 1\]"),
        ("filename\tscene_label\tbus\tbus\na\tbus\t1\t1\n", "class occurs twice"),
        ("filename\tscene_label\tbus\na\tbus\t1\na\tbus\t1\n", r"occur twice: \['a'\]"),
        ("filename\tscene_label\na\tbus\n", "no class"),
    ],
)
def test_unusable_files_are_explained_by_name(tmp_path, text, message):
    path = tmp_path / "broken.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match="broken.csv: .*" + message):
        read_submission(path)


def test_windows_lines_and_names_like_na_are_read(tmp_path):
    path = tmp_path / "windows.csv"
    path.write_bytes(b"filename\tscene_label\tNA\tbus\r\nnan\tNA\t0.75\t0.25\r\n")
    table = read_submission(path)
    assert table["filename"].tolist() == ["nan"]
    assert table["NA"].tolist() == [0.75]

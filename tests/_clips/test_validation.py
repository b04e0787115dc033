"""What X, y and groups may be."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from skavsc._clips import check_groups, check_labels, clip_sources
from skavsc.exceptions import ClipTableError


def test_missing_cells_are_none():
    missing = [None, float("nan"), np.nan, np.float32("nan"), pd.NA]
    assert clip_sources(["a.wav", *missing], "audio") == ["a.wav", *[None] * len(missing)]


@pytest.mark.parametrize("dtype", [object, "str", "string", "category"])
def test_tables_and_series(dtype):
    paths = pd.Series(["b.wav", None, "a.wav"], index=[9, 3, 5], dtype=dtype)
    table = pd.DataFrame({"audio": paths})
    assert clip_sources(table, "audio") == ["b.wav", None, "a.wav"]
    assert clip_sources(table["audio"], "audio") == ["b.wav", None, "a.wav"]


def test_a_series_of_paths_may_be_named_by_its_clips():
    assert clip_sources(pd.Series({"tram-1": "a.wav", "park-2": None}), "audio") == ["a.wav", None]


def test_rows_of_arrays():
    array = np.arange(6.0).reshape(2, 3)
    for row, source in enumerate(clip_sources(array, "audio")):
        np.testing.assert_array_equal(source, array[row])


def test_paths_may_be_bytes():
    assert clip_sources([b"a.wav", None, b"\xff.wav"], "audio") == ["a.wav", None, "\udcff.wav"]
    assert clip_sources(np.array([b"a.wav"]), "audio") == ["a.wav"]


@pytest.mark.parametrize("dtype", [object, str])
def test_one_column_of_paths(dtype):
    """BaggingClassifier and others make X an array of shape (n_clips, 1)."""
    assert clip_sources(np.array([["a.wav"], ["b.wav"]], dtype=dtype), "audio") == [
        "a.wav",
        "b.wav",
    ]


def test_one_column_of_arrays():
    X = np.empty((2, 1), dtype=object)
    X[0, 0], X[1, 0] = np.zeros(3), (np.ones(2), 16_000)
    first, second = clip_sources(X, "audio")
    np.testing.assert_array_equal(first, np.zeros(3))
    assert second[1] == 16_000


def test_structured_arrays_are_tables():
    X = np.array([("a.wav", "a.mp4"), (None, "b.mp4")], dtype=[("audio", "O"), ("video", "O")])
    assert clip_sources(X, "audio") == ["a.wav", None]
    assert clip_sources(X.view(np.recarray), "video") == ["a.mp4", "b.mp4"]
    with pytest.raises(ClipTableError, match=r"no column 'sound', only \['audio', 'video'\]"):
        clip_sources(X, "sound")


@pytest.mark.parametrize("package", ["polars", "pyarrow"])
def test_tables_of_other_packages(package):
    module = pytest.importorskip(package)
    make = module.DataFrame if package == "polars" else module.table
    table = make({"audio": ["a.wav", None], "city": ["Lyon", "Wien"]})
    assert clip_sources(table, "audio") == ["a.wav", None]
    assert clip_sources(table["audio"], "audio") == ["a.wav", None]
    with pytest.raises(ClipTableError, match=r"no column 'video', only \['audio', 'city'\]"):
        clip_sources(table, "video")


def test_a_column_of_pyarrow_that_is_there_twice():
    pyarrow = pytest.importorskip("pyarrow")
    table = pyarrow.table([["a.wav"], ["b.wav"]], names=["audio", "audio"])
    with pytest.raises(ClipTableError, match="2 columns 'audio'"):
        clip_sources(table, "audio")


def test_lazy_tables_of_polars_are_no_sequences():
    polars = pytest.importorskip("polars")
    with pytest.raises(ClipTableError, match="X is a LazyFrame"):
        clip_sources(polars.LazyFrame({"audio": ["a.wav"]}), "audio")


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (pd.DataFrame({"sound": ["a.wav"]}), "no column 'audio', only \\['sound'\\]"),
        ("a.wav", "the single path 'a.wav'; pass a list"),
        (b"a.wav", "single path"),
        ({"X": ["a.wav"]}, "X is a dict; pass a clip table"),
        ({"a.wav", "b.wav"}, "X is a set"),
        (None, "X is a NoneType"),
        (pd.Series({"audio": "a.wav", "video": None}), r"one row of a clip table.*iloc\[\[row\]\]"),
        (["a.wav", ""], "the audio of clip 1 is the empty path ''; .* put None"),
        (pd.DataFrame({"audio": ["a.wav", None, " "]}), "audio of clip 2 is the empty path ' '"),
        (3, "X is a int"),
        (
            pd.DataFrame([["a.wav", "b.wav"]], columns=["audio", "audio"]),
            "2 columns 'audio'; keep one",
        ),
        (np.array([["a.wav", "a.mp4"]]), "array with 2 columns"),
        (np.array([["a.wav", "a.mp4"]], dtype=object), "array with 2 columns"),
        ([["a.wav", "a.mp4"]], r"audio of clip 0 is \['a.wav', 'a.mp4'\]; pass one path"),
        ([np.array(["a.wav"])], "audio of clip 0 is array"),
        ([None, (b"a.wav", b"a.mp4")], "audio of clip 1 is"),
        ([(Path("a.wav"), 16_000)], "audio of clip 0 is"),
        ([{"path": "a.wav"}], "audio of clip 0 is {'path'"),
        ([True], "audio of clip 0 is True"),
    ],
)
def test_what_is_no_sequence_of_clips(X, message):
    with pytest.raises(ClipTableError, match=message):
        clip_sources(X, "audio")


@pytest.mark.parametrize(
    ("check", "name"), [(check_groups, "groups"), (check_labels, "y")], ids=["groups", "y"]
)
@pytest.mark.parametrize("kind", [list, lambda v: np.array(v, dtype=object), pd.Series])
def test_values_of_different_types(check, name, kind):
    with pytest.raises(ValueError, match=rf"{name} holds values of different types \(int, str\)"):
        check(kind([1, "a", "1"]), 3)


@pytest.mark.parametrize("values", [[1, 2, 1.5], ["a", "b", "a"], [True, False, True]])
def test_values_of_one_type_stay_as_they_are(values):
    np.testing.assert_array_equal(check_groups(values, 3), np.array(values))
    assert check_groups(values, 3).dtype == np.array(values).dtype


def test_no_groups():
    assert check_groups(None, 3) is None
    with pytest.raises(ValueError, match="groups has 2 values for 3 clips"):
        check_groups([1, 2], 3)
    with pytest.raises(ValueError, match=r"groups has no value .* in rows \[1\]"):
        check_groups(["a", float("nan"), "b"], 3)

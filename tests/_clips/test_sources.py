"""What a transformer may be given."""

import numpy as np
import pandas as pd
import pytest

from skavsc._clips import clip_sources
from skavsc.exceptions import ClipTableError


def test_missing_cells_are_none():
    missing = [None, float("nan"), np.nan, np.float32("nan"), pd.NA]
    assert clip_sources(["a.wav", *missing], "audio") == ["a.wav", *[None] * len(missing)]


@pytest.mark.parametrize("dtype", [object, "str", "string", "category"])
def test_tables_and_series(dtype):
    table = pd.DataFrame({"audio": ["b.wav", None, "a.wav"]}, index=[9, 3, 5]).astype(dtype)
    assert clip_sources(table, "audio") == ["b.wav", None, "a.wav"]
    assert clip_sources(table["audio"], "audio") == ["b.wav", None, "a.wav"]


def test_a_series_of_paths_may_be_named_by_its_clips():
    assert clip_sources(pd.Series({"tram-1": "a.wav", "park-2": None}), "audio") == ["a.wav", None]


def test_rows_of_arrays():
    array = np.arange(6.0).reshape(2, 3)
    for row, source in enumerate(clip_sources(array, "audio")):
        np.testing.assert_array_equal(source, array[row])


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
    ],
)
def test_what_is_no_sequence_of_clips(X, message):
    with pytest.raises(ClipTableError, match=message):
        clip_sources(X, "audio")

import os
import unicodedata

import numpy as np
import pytest

from skavsc.datasets import load_clip_table
from skavsc.exceptions import ClipTableError, MediaNotFoundError, MissingClipWarning


@pytest.fixture
def folder(tmp_path):
    for name in ("ä 1.wav", "ä 1.mp4", "2.wav", "3.mp4"):
        (tmp_path / name).touch()
    return tmp_path


def write(folder, text):
    path = folder / "clips.csv"
    path.write_bytes(text.encode("utf-8"))
    return path


def test_columns_and_empty_cells(folder):
    path = write(
        folder,
        "\ufeffaudio, label ,video,place,light\r\n"
        '"ä 1.wav",park,ä 1.mp4,"lake, north",0.5\r\n'
        "2.wav, tram,,line 5,\r\n"
        ",tram,3.mp4,NA,2\r\n",
    )
    clips = load_clip_table(path, groups="place")
    assert clips.X["audio"].tolist() == [str(folder / "ä 1.wav"), str(folder / "2.wav"), None]
    assert clips.X["video"].tolist() == [str(folder / "ä 1.mp4"), None, str(folder / "3.mp4")]
    assert list(clips.X.columns) == ["audio", "video", "place", "light"]
    np.testing.assert_array_equal(clips.X["light"], [0.5, np.nan, 2])
    assert clips.y.tolist() == ["park", "tram", "tram"]
    assert clips.groups.tolist() == ["lake, north", "line 5", "NA"]
    assert clips.target_names == ["park", "tram"]


def test_one_column_for_both_streams_and_no_labels(folder):
    path = write(folder, "file\n3.mp4\nä 1.mp4\n")
    clips = load_clip_table(path, audio="file", video="file", label=None)
    assert clips.y is None
    assert clips.target_names == []
    assert clips.X["audio"].equals(clips.X["video"].rename("audio"))
    assert list(clips.X.columns) == ["audio", "video"]
    assert clips.groups.tolist() == [0, 1]


def test_sound_alone_by_a_column_of_another_name(folder):
    path = write(folder, "video\tsound\tscene\nunused\t2.wav\t7\n")
    clips = load_clip_table(path, audio="sound", video=None, label="scene")
    assert clips.X["audio"].tolist() == [str(folder / "2.wav")]
    assert clips.X["video"].tolist() == [None]
    assert list(clips.X.columns) == ["audio", "video"]
    assert clips.y.tolist() == [7]


def test_paths_start_at_root_or_are_absolute(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    path = write(elsewhere, f"audio,video,label\n2.wav,{folder / '3.mp4'},a\n")
    clips = load_clip_table(path, root=folder)
    assert clips.X.loc[0, "audio"] == str(folder / "2.wav")
    assert clips.X.loc[0, "video"] == str(folder / "3.mp4")


def test_groups_by_a_function_of_the_name(folder):
    path = write(folder, "audio,video,label\nä 1.wav,ä 1.mp4,a\n,3.mp4,b\n")
    clips = load_clip_table(path, groups=lambda name: name[0])
    assert clips.groups.tolist() == ["ä", "3"]
    with pytest.raises(ClipTableError, match="None for 1 of 2 clips: 3;"):
        load_clip_table(path, groups=lambda name: None if name == "3" else 0)


def test_missing_files(folder):
    path = write(folder, "audio,video,label\n2.wav,nix.mp4,a\nnix.wav,3.mp4,b\n")
    with pytest.raises(
        MediaNotFoundError, match=r"2 of 4 files do not exist: .*nix.wav, .*nix.mp4"
    ):
        load_clip_table(path)
    with pytest.warns(MissingClipWarning, match="2 of 4 files"):
        clips = load_clip_table(path, on_error="missing")
    assert clips.X.isna().to_numpy().tolist() == [[False, True], [True, False]]


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        ("audio,label\n2.wav,a\n", {}, r"no column video, only \['audio', 'label'\]; name the"),
        ("audio,video\n2.wav,3.mp4\n", {}, "no column label"),
        ("audio,video,label\n2.wav,,a\n", {"groups": "place"}, "no column place"),
        ("audio,video,label\n2.wav,,a\n,3.mp4,\n", {}, "no label in line 3"),
        ("audio,video,label,g\n2.wav,,a, \n", {"groups": "g"}, "no group in line 2"),
        ("audio,video,label\n2.wav,,a\n,,b\n", {}, "neither a sound nor a video file in line 3"),
        ("audio,video,label\n2.wav,,a\n2.wav,,b\n", {}, "1 clips more than once: .*2.wav"),
        ("audio,video,label\n", {}, "lists no clip"),
        ("", {}, "cannot be read as a table: it is empty"),
        (
            "audio,video,label\n2.wav,,a\nrain, heavy.wav,3.mp4,park\n",
            {},
            "line 3 has 4 cells, and the header 3; put cells that hold a ',' in double quotes",
        ),
        ("audio\tvideo\tlabel\n2.wav\t\ta\tb\n", {}, r"line 2 has 4 cells.* hold a '\\t'"),
        ('audio,video,label\n\n"2.wav,,a\n,3.mp4,b\n', {}, "a quote that opens in line 3 is never"),
        ("audio,video,label,label\n2.wav,,a,b\n", {}, "2 columns 'label'; rename or remove"),
        ("audio,audio,video,label\n2.wav,,,b\n", {}, "2 columns 'audio'"),
        # Lines are those of the file, whatever stands before.
        ("audio,video,label\n\n\n2.wav,,\n", {}, "no label in line 4"),
        ('\n"audio",video,label,g\n2.wav,,a,"1\n2"\n \n,3.mp4,\n', {}, "no label in line 6"),
    ],
)
def test_tables_that_cannot_be_used(folder, text, arguments, message):
    path = write(folder, text)
    with pytest.raises(ClipTableError, match=message) as error:
        load_clip_table(path, **arguments)
    assert str(path) in str(error.value)


def test_no_table(folder):
    with pytest.raises(ClipTableError, match=r"nowhere\.csv: No such file"):
        load_clip_table(folder / "nowhere.csv")
    with pytest.raises(ClipTableError, match="Is a directory"):
        load_clip_table(folder)
    with pytest.raises(ValueError, match="audio and video are both None"):
        load_clip_table(folder / "clips.csv", audio=None, video=None)


def test_rows_may_be_short_or_end_in_separators(folder):
    path = write(folder, "audio,label,video,place\n\n2.wav,a\n,b,3.mp4,lake,,\n   \n")
    clips = load_clip_table(path)
    assert clips.y.tolist() == ["a", "b"]
    assert clips.X["place"].tolist() == [None, "lake"]
    assert list(clips.X.index) == [0, 1]


@pytest.mark.parametrize("file_form", ["NFC", "NFD"])
@pytest.mark.parametrize("table_form", ["NFC", "NFD"])
def test_unicode_normal_forms(tmp_path, table_form, file_form):
    (tmp_path / unicodedata.normalize(file_form, "Café.wav")).touch()
    (tmp_path / "2.wav").touch()
    text = "audio,étiquette,lieu\nCafé.wav,Café,Zoë\n"
    text = unicodedata.normalize(table_form, text) + "2.wav,Caf\u00e9,Zo\u00eb\n"
    clips = load_clip_table(
        write(tmp_path, text), video=None, label="e\u0301tiquette", groups="lieu"
    )
    assert clips.target_names == ["Caf\u00e9"]
    assert set(clips.groups) == {"Zo\u00eb"}
    assert all(os.path.isfile(name) for name in clips.X["audio"])


def test_one_clip_in_two_normal_forms_is_there_twice(tmp_path):
    (tmp_path / "é.wav").touch()
    path = write(tmp_path, "audio,label\n\u00e9.wav,a\ne\u0301.wav,b\n")
    with pytest.raises(ClipTableError, match="1 clips more than once"):
        load_clip_table(path, video=None)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("C:\\sound\\2.wav", "is a path of Windows: list paths of this machine"),
        ("c:/sound/2.wav", "is a path of Windows"),
        ("\\\\server\\2.wav", "is a path of Windows"),
        ("sound\\2.wav", "holds backslashes: write / between folders"),
        ("https://example.org/2.wav", "is a URL: download the files"),
        ("file:///home/2.wav", "is a URL"),
    ],
)
def test_paths_of_windows_and_urls(folder, cell, message):
    path = write(folder, f"audio,label\n{cell},a\n2.wav,b\n")
    with pytest.raises(MediaNotFoundError, match=message) as error:
        load_clip_table(path, video=None)
    # Not a path that nobody has written.
    assert error.value.path == (cell if "is a" in message else str(folder / cell))
    with pytest.warns(MissingClipWarning, match=message):
        clips = load_clip_table(path, video=None, on_error="missing")
    assert clips.X["audio"].tolist() == [None, str(folder / "2.wav")]


def test_odd_names_that_exist_are_files(folder):
    for name in ("a\\b.wav", "c:\\d.wav"):
        (folder / name).touch()
    clips = load_clip_table(write(folder, "audio,label\na\\b.wav,a\nc:\\d.wav,b\n"), video=None)
    assert [os.path.basename(name) for name in clips.X["audio"]] == ["a\\b.wav", "c:\\d.wav"]


def test_paths_as_bytes(folder):
    path = write(folder, "audio,video,label\n2.wav,,a\n")
    clips = load_clip_table(os.fsencode(path), root=os.fsencode(folder))
    assert clips.X["audio"].tolist() == [str(folder / "2.wav")]


def test_groups_of_different_types(folder):
    path = write(folder, "audio,video,label\n2.wav,,a\n,3.mp4,b\n")
    with pytest.raises(ClipTableError, match="groups returns values of different types"):
        load_clip_table(path, groups=lambda name: 2 if name == "2" else "3")


def test_thousands_of_columns(folder):
    # How the time grows with them is measured in benchmarks/bench_tables.py.
    names = [f"c{number}" for number in range(5_000)]
    path = write(folder, f"audio,label,{','.join(names)}\n2.wav,a{',x' * len(names)}\n")
    clips = load_clip_table(path, video=None)
    assert clips.X.shape == (1, 5_002)
    assert clips.X.columns[-1] == names[-1]
    assert clips.y.tolist() == ["a"]

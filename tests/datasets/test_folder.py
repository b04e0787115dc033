import os
import re
import unicodedata

import pytest

from skavsc.datasets import load_clip_folder
from skavsc.datasets._folder import kind_of_file
from skavsc.exceptions import ClipTableError, MissingClipWarning


def make(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def streams(clips, root):
    """The table as {label/name: (audio, video)} with paths beneath the root."""
    beneath = {
        column: [p and os.path.relpath(p, root) for p in clips.X[column]]
        for column in ("audio", "video")
    }
    keys = [f"{label}/{name}" for label, name in zip(clips.y, clips.X["name"], strict=True)]
    return dict(zip(keys, zip(beneath["audio"], beneath["video"], strict=True), strict=True))


def test_single_files_and_pairs_side_by_side(tmp_path):
    make(tmp_path, "park/lake.mp4", "park/wood.wav", "park/wood.mp4", "tram/line 5.MOV")
    assert streams(load_clip_folder(tmp_path), tmp_path) == {
        "park/lake": ("park/lake.mp4", "park/lake.mp4"),
        "park/wood": ("park/wood.wav", "park/wood.mp4"),
        "tram/line 5": ("tram/line 5.MOV", "tram/line 5.MOV"),
    }


@pytest.mark.parametrize("layout", ["{label}/{stream}/{name}", "{stream}/{label}/{name}"])
def test_streams_in_folders(tmp_path, layout):
    def path(label, stream, name):
        return layout.format(label=label, stream=stream, name=name)

    names = [
        path("park", "audio", "a.wav"),
        path("park", "video", "a.mp4"),
        path("park", "audio", "sound only.flac"),
        path("tram", "video", "picture only.mkv"),
        path("tram", "audio", "in mp4.mp4"),
        path("tram", "video", "in mp4.mp4"),
    ]
    assert streams(load_clip_folder(make(tmp_path, *names)), tmp_path) == {
        "park/a": (names[0], names[1]),
        "park/sound only": (names[2], None),
        "tram/picture only": (None, names[3]),
        "tram/in mp4": (names[4], names[5]),
    }


def test_sound_alone(tmp_path):
    clips = load_clip_folder(make(tmp_path, "b/2.ogg", "b/1.ogg", "a/3.mp3"))
    assert clips.y.tolist() == ["a", "b", "b"]
    assert clips.X["name"].tolist() == ["3", "1", "2"]
    assert clips.X["video"].tolist() == [None] * 3
    assert clips.target_names == ["a", "b"]


def test_names_beyond_ascii_blanks_and_dots(tmp_path):
    make(tmp_path, "Grüner Park/Tag 1.5 früh.wav", "Grüner Park/Tag 1.5 früh.mp4", "電車/音.wav")
    assert streams(load_clip_folder(tmp_path), tmp_path) == {
        "Grüner Park/Tag 1.5 früh": (
            "Grüner Park/Tag 1.5 früh.wav",
            "Grüner Park/Tag 1.5 früh.mp4",
        ),
        "電車/音": ("電車/音.wav", None),
    }


def test_groups(tmp_path):
    make(tmp_path, "park/day1/a_1.wav", "park/day1/a_2.wav", "tram/day2/b_1.wav")
    alone = load_clip_folder(tmp_path).groups
    assert len(set(alone)) == 3
    by_regex = load_clip_folder(tmp_path, groups=r"/(.)_").groups
    assert by_regex.tolist() == ["a", "a", "b"]
    whole_match = load_clip_folder(tmp_path, groups=re.compile(r"day\d")).groups
    assert whole_match.tolist() == ["day1", "day1", "day2"]
    by_function = load_clip_folder(tmp_path, groups=lambda name: name.split("/")[0]).groups
    assert by_function.tolist() == ["day1", "day1", "day2"]
    with pytest.raises(ClipTableError, match="None for 1 of 3 clips: day2/b_1"):
        load_clip_folder(tmp_path, groups="a_")


def test_a_bad_regular_expression_is_named(tmp_path):
    make(tmp_path, "park/a_1.wav")
    with pytest.raises(ValueError, match=r"groups='\^\(\.\*' is no regular expression.*correct it"):
        load_clip_folder(tmp_path, groups="^(.*")


def test_equal_names_under_two_labels_are_two_clips_and_groups(tmp_path):
    clips = load_clip_folder(make(tmp_path, "park/1.wav", "tram/1.wav"))
    assert len(set(clips.groups)) == 2


def test_loops_of_links_are_not_followed(tmp_path):
    root = make(tmp_path / "root", "park/a.wav", "tram/b.wav")
    (root / "park/around").symlink_to(root)
    (root / "park/self").symlink_to(root / "park")
    (root / "tram/out").symlink_to(tmp_path)
    clips = load_clip_folder(root)
    assert clips.X["name"].tolist() == ["a", "b"]
    assert clips.y.tolist() == ["park", "tram"]


def test_two_folders_that_link_to_each_other(tmp_path):
    root = make(tmp_path / "root", "park/a.wav", "tram/b.wav")
    (root / "park/other").symlink_to(root / "tram")
    (root / "tram/other").symlink_to(root / "park")
    assert load_clip_folder(root).X["name"].tolist() == ["a", "other/b", "b", "other/a"]


def test_links_to_folders_elsewhere_are_followed(tmp_path):
    make(tmp_path / "disk", "lake.wav", "lake.mp4")
    root = make(tmp_path / "root", "tram/b.wav")
    (root / "park").mkdir()
    for stream in ("audio", "video"):
        make(tmp_path / stream, "lake.mp4")
        (root / "park" / stream).symlink_to(tmp_path / stream)
    (root / "bus").symlink_to(tmp_path / "disk")
    assert streams(load_clip_folder(root), root) == {
        "bus/lake": ("bus/lake.wav", "bus/lake.mp4"),
        "park/lake": ("park/audio/lake.mp4", "park/video/lake.mp4"),
        "tram/b": ("tram/b.wav", None),
    }


def test_names_in_both_unicode_normal_forms(tmp_path):
    composed, decomposed = (unicodedata.normalize(f, "Café/é") for f in ("NFC", "NFD"))
    make(tmp_path, f"{composed}.wav", f"{decomposed}.mp4", f"{decomposed}2.wav")
    clips = load_clip_folder(os.fsencode(tmp_path), groups="(.)")
    assert streams(clips, tmp_path) == {
        composed: (f"{composed}.wav", f"{decomposed}.mp4"),
        f"{composed}2": (f"{decomposed}2.wav", None),
    }
    assert clips.target_names == ["Caf\u00e9"]
    assert set(clips.groups) == {"\u00e9"}
    make(tmp_path, f"{decomposed}.wav")
    with pytest.raises(ClipTableError, match="are both the audio of one clip"):
        load_clip_folder(tmp_path)


def test_what_is_not_media_is_left_out(tmp_path, recwarn):
    make(
        tmp_path,
        "readme.txt",
        "park/a.wav",
        "park/notes.csv",
        "park/cover.JPG",
        "park/.a.wav",
        "park/.cache/b.wav",
        ".git/c.wav",
        "park/LICENSE",
    )
    clips = load_clip_folder(tmp_path)
    assert clips.X["name"].tolist() == ["a"]
    assert not recwarn.list


def test_unknown_suffixes_are_told(tmp_path):
    make(tmp_path, "park/a.wav", "park/b.quux", "park/c.wave2")
    with pytest.warns(MissingClipWarning, match=r"2 files .* park/b.quux, park/c.wave2"):
        clips = load_clip_folder(tmp_path)
    assert len(clips.X) == 1


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "holds no media file in folders"),
        (["park/notes.txt"], "holds no media file in folders"),
        (["park/a.wav", "tram/notes.txt"], "tram holds no media file; fill it"),
        (["audio/park/a.wav", "video/tram/notes.txt"], "video/tram holds no media file"),
        (["park/a.wav", "b.mp4"], "b.mp4 lies in no label's folder"),
        (
            ["audio/a.wav", "video/a.mp4"],
            "a.(wav|mp4) lies in no label's folder; move it .* folder above",
        ),
        (["audio/a.wav", "evaluation_setup/x.csv"], "no label's folder; .* load_tau_urban_av"),
        (["park/a.wav", "park/a.flac"], "a.flac and .*a.wav are both the audio of one clip"),
        (["park/a.mp4", "park/video/a.mp4"], "are both the video of one clip; keep one"),
    ],
)
def test_folders_that_cannot_be_used(tmp_path, names, message):
    with pytest.raises(ClipTableError, match=message):
        load_clip_folder(make(tmp_path, *names))


def test_a_file_as_root(tmp_path):
    make(tmp_path, "clips.csv")
    with pytest.raises(ClipTableError, match="no folder; a CSV file is read by load_clip_table"):
        load_clip_folder(tmp_path / "clips.csv")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.WAV", "sound"),
        ("a.b.webm", "video"),
        ("a.snd", "sound"),  # by the table of media types
        ("a.png", "other"),
        ("README", "other"),
        ("a.quux", "unknown"),
    ],
)
def test_kinds(name, kind):
    assert kind_of_file(name) == kind

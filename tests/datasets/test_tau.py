import os
import re
import unicodedata

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_score

from skavsc.datasets import load_tau_urban_av
from skavsc.exceptions import ClipTableError, MediaNotFoundError, MissingClipWarning

CLIPS = [  # stem, scene, identifier
    ("park-lisbon-3-10", "park", "lisbon-3"),
    ("park-lisbon-3-11", "park", "lisbon-3"),
    ("tram-lyon-4-12", "tram", "lyon-4"),
    ("park-paris-5-13", "park", "paris-5"),
    ("tram-paris-6-14", "tram", "paris-6"),
]
TRAIN, TEST = CLIPS[:3], CLIPS[3:]
HEADER = ("filename_audio", "filename_video", "scene_label", "identifier")


def rows(clips, columns=HEADER):
    for stem, scene, identifier in clips:
        cells = dict(
            zip(HEADER, (f"audio/{stem}.wav", f"video/{stem}.mp4", scene, identifier), strict=True)
        )
        yield [cells[name] for name in columns]


def write(path, header, lines, separator="\t", end="\n", mark=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = mark + end.join(separator.join(cells) for cells in [header, *lines]) + end
    path.write_bytes(text.encode("utf-8"))


def make_root(root, **style):
    for stem, _, _ in CLIPS:
        for name in (f"audio/{stem}.wav", f"video/{stem}.mp4"):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).touch()
    write(root / "meta.csv", HEADER, rows(CLIPS), **style)
    setup = root / "evaluation_setup"
    for part, clips, width in (("train", TRAIN, 3), ("evaluate", TEST, 3), ("test", TEST, 2)):
        columns = HEADER[:width]
        write(setup / f"fold1_{part}.csv", columns, rows(clips, columns), **style)
    return root


@pytest.fixture
def root(tmp_path):
    return make_root(tmp_path / "Stätten der Aufnahme, 1")


@pytest.mark.parametrize("separator", ["\t", ",", ";"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_separators_line_ends_and_byte_order_mark(tmp_path, separator, end, mark):
    root = make_root(tmp_path, separator=separator, end=end, mark=mark)
    clips = load_tau_urban_av(root, subset="train")
    assert clips.y.tolist() == ["park", "park", "tram"]
    assert clips.groups.tolist() == ["lisbon-3", "lisbon-3", "lyon-4"]
    assert clips.X["audio"].tolist() == [str(root / f"audio/{c[0]}.wav") for c in TRAIN]
    assert clips.X["video"].tolist() == [str(root / f"video/{c[0]}.mp4") for c in TRAIN]
    assert clips.X["city"].tolist() == ["lisbon", "lisbon", "lyon"]
    assert clips.X["location"].tolist() == ["3", "3", "4"]
    assert clips.X["segment"].tolist() == ["10", "11", "12"]


def test_columns_are_found_by_name(root):
    order = ("identifier", "scene_label", "filename_video", "filename_audio")
    expected = load_tau_urban_av(root, subset="all")
    write(root / "meta.csv", order, rows(CLIPS, order))
    clips = load_tau_urban_av(root, subset="all")
    assert clips.X.equals(expected.X)
    assert clips.groups.tolist() == expected.groups.tolist()


def test_evaluate_has_labels_and_test_has_none(root):
    evaluate = load_tau_urban_av(root, subset="evaluate")
    test = load_tau_urban_av(root, subset="test")
    assert evaluate.y.tolist() == ["park", "tram"]
    assert test.y is None
    assert test.X.equals(evaluate.X)
    assert test.groups.tolist() == evaluate.groups.tolist() == ["paris-5", "paris-6"]
    assert test.target_names == evaluate.target_names == ["park", "tram"]


def test_all_gives_the_official_folds_as_cv(root):
    clips = load_tau_urban_av(root, subset="all")
    ((train, test),) = clips.cv
    assert clips.X.iloc[train].reset_index(drop=True).equals(load_tau_urban_av(root).X)
    assert test.tolist() == [3, 4]
    scores = cross_val_score(LogisticRegression(), np.eye(5), clips.y, cv=clips.cv)
    assert scores.shape == (1,)


def test_locations_without_meta_come_from_the_names(root):
    (root / "meta.csv").unlink()
    clips = load_tau_urban_av(root, subset="train")
    assert clips.groups.tolist() == ["park-lisbon-3", "park-lisbon-3", "tram-lyon-4"]
    with pytest.raises(ClipTableError, match=r"meta\.csv does not exist"):
        load_tau_urban_av(root, subset="all")


def test_names_without_fields_are_groups_of_their_own(tmp_path):
    write(
        tmp_path / "evaluation_setup/fold1_test.csv",
        HEADER[:2],
        [["audio/0.wav", "video/0.mp4"], ["audio/1.wav", "video/1.mp4"]],
    )
    with pytest.warns(MissingClipWarning), pytest.raises(ClipTableError, match="nothing is left"):
        load_tau_urban_av(tmp_path, subset="test", on_error="missing")
    for name in ("audio/0.wav", "audio/1.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.warns(MissingClipWarning, match="2 of 4 files"):
        clips = load_tau_urban_av(tmp_path, subset="test", on_error="missing")
    assert clips.groups.tolist() == ["0", "1"]
    assert clips.X["video"].tolist() == [None, None]
    assert clips.X[["city", "location", "segment"]].isna().all(axis=None)


def test_a_place_may_be_called_na(tmp_path):
    root = make_root(tmp_path)
    lines = [[*cells[:3], "NA"] for cells in rows(CLIPS)]
    write(root / "meta.csv", HEADER, lines)
    assert set(load_tau_urban_av(root, subset="all").groups) == {"NA"}


def test_missing_files_are_counted_and_the_first_are_named(root):
    for stem, _, _ in CLIPS[:5]:
        (root / f"video/{stem}.mp4").unlink()
    first = re.escape(str(root / "video" / "park-lisbon-3-10.mp4"))
    with pytest.raises(
        MediaNotFoundError, match=f"5 of 10 files .*: {first}, .* and 2 more; "
    ) as e:
        load_tau_urban_av(root, subset="all")
    assert e.value.path == str(root / "video" / "park-lisbon-3-10.mp4")
    with pytest.warns(MissingClipWarning, match="5 of 10 files"):
        clips = load_tau_urban_av(root, subset="all", on_error="missing")
    assert clips.X["video"].tolist() == [None] * 5
    assert clips.X["audio"].notna().all()


@pytest.mark.parametrize(
    ("header", "lines", "message"),
    [
        (HEADER[:1], [["audio/a.wav"]], r"no column filename_video, only \['filename_audio'\]"),
        (HEADER[:3], [["audio/a.wav", "video/a.mp4", ""]], "no label in line 2; fill column"),
        (HEADER[:2], [["", "video/a.mp4"]], "no file in line 2"),
        (HEADER[:3], [["a.wav", "a.mp4", "park"]] * 2, "1 clips more than once: .*a.wav"),
        (HEADER[:3], [], "lists no clip"),
        (HEADER[:2], [["a.wav", "a.mp4"], ["a", "b", "c", "d"]], "line 3 has 4 cells"),
        (HEADER[:2], [["a.wav", "../a.mp4"]], r"names '\.\./a.mp4' in line 2, outside"),
        (HEADER[:2], [["audio/../../a.wav", "a.mp4"]], "outside of the data set"),
        (HEADER[:2], [["/etc/passwd", "a.mp4"]], "names '/etc/passwd' in line 2, outside"),
    ],
)
def test_unusable_lists_are_named(root, header, lines, message):
    path = root / "evaluation_setup" / "fold1_train.csv"
    write(path, header, lines)
    with pytest.raises(ClipTableError, match=message) as error:
        load_tau_urban_av(root)
    assert str(path) in str(error.value)


def test_empty_and_binary_lists(root):
    path = root / "evaluation_setup" / "fold1_train.csv"
    path.write_bytes(b"")
    with pytest.raises(ClipTableError, match=r"fold1_train\.csv cannot be read as a table"):
        load_tau_urban_av(root)
    path.write_bytes("filename_audio\tfilename_video\nä\tö\n".encode("latin-1"))
    with pytest.raises(ClipTableError, match=r"fold1_train\.csv is not UTF-8 text"):
        load_tau_urban_av(root)


def test_a_fold_with_unknown_clips(root):
    write(root / "meta.csv", HEADER, rows(CLIPS[:4]))
    with pytest.raises(ClipTableError, match=r"fold1_evaluate.csv .*: audio/tram-paris-6-14.wav"):
        load_tau_urban_av(root, subset="all")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"subset": "validation"}, "subset must be .* got 'validation'"),
        ({"fold": 0}, "fold must be an integer of at least 1, got 0"),
        ({"fold": "1"}, "fold must be .* got '1'"),
        ({"fold": 2}, r"fold2_train.csv does not exist \(there: \['fold1_evaluate.csv', "),
        ({"on_error": "ignore"}, "on_error must be 'raise' or 'missing', got 'ignore'"),
    ],
)
def test_bad_arguments(root, arguments, message):
    with pytest.raises(ValueError, match=message):
        load_tau_urban_av(root, **arguments)


def test_a_fold_of_numpy_and_a_root_of_bytes(root):
    clips = load_tau_urban_av(os.fsencode(root), fold=np.int64(1))
    assert clips.X.equals(load_tau_urban_av(root).X)


def test_lists_and_files_in_different_normal_forms(tmp_path):
    names = [unicodedata.normalize(form, "park-Zürich-1-2") for form in ("NFC", "NFD")]
    for folder, suffix in (("audio", "wav"), ("video", "mp4")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{names[1]}.{suffix}").touch()
    meta, fold = ([(name, "park", "Zürich-1")] for name in names)
    write(tmp_path / "meta.csv", HEADER, rows(meta))
    for part in ("train", "evaluate"):
        columns = HEADER[:3]
        write(tmp_path / f"evaluation_setup/fold1_{part}.csv", columns, rows(fold, columns))
    clips = load_tau_urban_av(tmp_path, subset="all")
    assert [(train.tolist(), test.tolist()) for train, test in clips.cv] == [([0], [0])]
    train = load_tau_urban_av(tmp_path)
    assert train.groups.tolist() == clips.groups.tolist() == ["Zürich-1"]
    assert train.X["city"].tolist() == ["Zürich"]


def test_names_with_two_dots_inside_are_no_way_out(root):
    (root / "audio/..a.wav").touch()
    (root / "video/a..mp4").touch()
    path = root / "evaluation_setup/fold1_train.csv"
    write(path, HEADER[:2], [["audio/..a.wav", "audio/../video/a..mp4"]])
    assert len(load_tau_urban_av(root).X) == 1


def test_roots_that_are_none(tmp_path):
    with pytest.raises(ClipTableError, match="nowhere' is no folder"):
        load_tau_urban_av(tmp_path / "nowhere")
    with pytest.raises(ClipTableError, match="give as root the folder that holds"):
        load_tau_urban_av(tmp_path)


def test_development_set(avsc_mini):
    clips = load_tau_urban_av(avsc_mini, subset="all")
    assert clips.X.shape == (240, 5)
    assert len(clips.target_names) == 10
    assert [(len(train), len(test)) for train, test in clips.cv] == [(160, 80)] * 3
    for train, test in clips.cv:
        assert not set(clips.groups[train]) & set(clips.groups[test])
    for fold in (1, 2, 3):
        train, test = clips.cv[fold - 1]
        part = load_tau_urban_av(avsc_mini, fold, "evaluate")
        assert part.X["audio"].tolist() == clips.X["audio"].iloc[test].tolist()
        assert part.y.tolist() == clips.y[test].tolist()
    splits = StratifiedGroupKFold(3).split(clips.X, clips.y, clips.groups)
    assert all(set(clips.y[test]) == set(clips.target_names) for _, test in splits)

"""Digests of the files that a model was trained on."""

import pandas as pd

from skavsc.cli._training_clips import file_digests


def test_files_are_told_apart_by_all_of_their_content(tmp_path):
    content = bytes(400_000)
    for name, middle in [("a", b"1"), ("b", b"2"), ("copy of a", b"1")]:
        changed = content[:200_000] + middle + content[200_001:]
        (tmp_path / name).write_bytes(changed)
    first, other, same = (
        file_digests(pd.DataFrame({"audio": [str(tmp_path / name)], "video": [None]}))
        for name in ("a", "b", "copy of a")
    )
    assert first == same
    assert first != other


def test_files_without_content_have_no_digest(tmp_path):
    (tmp_path / "empty").touch()
    paths = [str(tmp_path / "empty"), str(tmp_path / "gone"), None]
    clips = pd.DataFrame({"audio": paths, "video": [None] * 3}, dtype=object)
    assert file_digests(clips) == ""

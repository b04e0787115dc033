"""Keys follow the content of clips, whatever their names and times say."""

import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from skavsc._clips._contents import _SETTLED_NS, Contents
from skavsc.exceptions import MediaError, MediaNotFoundError


@pytest.fixture
def contents(tmp_path):
    return Contents(tmp_path / "digests", tmp_path / "unfinished")


def memos(tmp_path):
    return [path for path in (tmp_path / "digests").rglob("*") if path.is_file()]


def test_names_and_times_do_not_matter(contents, files, tmp_path):
    copy = shutil.copy(files[0], tmp_path / "copy")
    os.utime(copy, (1, 1))
    assert contents.digest(copy) == contents.digest(files[0]) == contents.digest(Path(files[0]))
    assert contents.digest(files[0]) != contents.digest(files[1])


def test_a_digest_is_remembered(contents, files, tmp_path, settled, monkeypatch):
    assert contents.known(files[0]) is None
    digest = contents.digest(files[0])
    assert len(memos(tmp_path)) == 1
    assert contents.known(files[0]) == digest
    # A relative name stands for the same file, and for another one in another folder.
    monkeypatch.chdir(Path(files[0]).parent)
    assert contents.known(Path(files[0]).name) == digest
    monkeypatch.chdir(tmp_path)
    assert contents.known(Path(files[0]).name) is None


def test_a_changed_file_has_another_digest(contents, files, settled):
    before = contents.digest(files[0])
    Path(files[0]).write_bytes(b"something longer" * 100)
    assert contents.known(files[0]) is None
    assert contents.digest(files[0]) != before


def test_a_change_with_equal_size_and_mtime_is_seen(contents, files, settled):
    old = os.stat(files[0])
    before = contents.digest(files[0])
    time.sleep(0.02)  # longer than the tick of the clock that stamps files
    with open(files[0], "r+b") as file:
        file.write(b"other")
    os.utime(files[0], ns=(old.st_atime_ns, old.st_mtime_ns))
    assert os.stat(files[0]).st_mtime_ns == old.st_mtime_ns
    assert os.stat(files[0]).st_size == old.st_size
    assert contents.digest(files[0]) != before


def test_a_file_in_place_of_another_is_seen(contents, files, settled, tmp_path):
    before = contents.digest(files[0])
    os.replace(files[1], files[0])
    assert contents.digest(files[0]) != before


def test_a_link_that_is_turned_is_seen(contents, files, settled, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(files[0])
    assert contents.digest(link) == contents.digest(files[0])
    link.unlink()
    link.symlink_to(files[1])
    assert contents.digest(link) == contents.digest(files[1])


def test_changes_within_a_tick_are_seen(contents, files, tmp_path):
    """Without the rule for young files some of these changes share one time stamp."""
    path = files[0]
    for number in range(200):
        # Through an open file, so that size and inode stay.
        with open(path, "r+b") as file:
            file.write(number.to_bytes(4, "little"))
        first = contents.digest(path)
        with open(path, "r+b") as file:
            file.write((number + 1000).to_bytes(4, "little"))
        assert contents.digest(path) != first
    assert not memos(tmp_path)


def test_only_files_left_alone_are_remembered(contents, files, tmp_path, monkeypatch):
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now + _SETTLED_NS // 2)
    contents.digest(files[0])
    assert not memos(tmp_path)
    monkeypatch.setattr(time, "time_ns", lambda: now + 2 * _SETTLED_NS)
    contents.digest(files[0])
    assert len(memos(tmp_path)) == 1
    # One from the future may still be changed without another time stamp.
    os.utime(files[1], ns=(now, now + 10**12))
    contents.digest(files[1])
    assert len(memos(tmp_path)) == 1


@pytest.mark.parametrize("damage", [b"", b"1 2 3", b"\xff" * 100, b"1 2 3 4 5 6 7"])
def test_damaged_memos_are_made_again(contents, files, tmp_path, settled, damage):
    digest = contents.digest(files[0])
    [memo] = memos(tmp_path)
    memo.write_bytes(damage)
    assert contents.known(files[0]) is None
    assert contents.digest(files[0]) == digest
    assert contents.known(files[0]) == digest


def test_a_file_that_changes_while_it_is_read(contents, files, monkeypatch):
    import hashlib

    real = hashlib.file_digest

    def with_another_writer(file, hasher):
        with open(files[0], "ab") as other:
            other.write(b"more")
        return real(file, hasher)

    monkeypatch.setattr(hashlib, "file_digest", with_another_writer)
    with pytest.raises(MediaError, match="changed while it was read"):
        contents.digest(files[0])


def test_files_that_cannot_be_read(contents, tmp_path):
    (tmp_path / "empty.wav").touch()
    with pytest.raises(MediaNotFoundError, match=r"none\.wav: open: there is no such file"):
        contents.digest(tmp_path / "none.wav")
    with pytest.raises(MediaError, match="directory"):
        contents.digest(tmp_path)
    with pytest.raises(MediaError, match="empty"):
        contents.digest(tmp_path / "empty.wav")
    with pytest.raises(MediaError, match="null"):
        contents.digest("a\0b.wav")


class _Reading:
    """As lazily decoded frames present themselves."""

    def __init__(self, path, **reading):
        self.path = path
        self.reading = reading

    def cache_source(self):
        return self.path, self.reading


def test_frames_of_a_file_depend_on_how_they_are_read(contents, files, settled):
    at_5, at_10 = _Reading(files[0], fps=5, size=32), _Reading(files[0], fps=10, size=32)
    digests = {contents.digest(at_5), contents.digest(at_10), contents.digest(files[0])}
    assert len(digests) == 3
    assert contents.digest(_Reading(files[0], size=32, fps=5)) in digests
    assert contents.known(at_10) == contents.digest(at_10)


def test_arrays_in_memory(contents):
    array = np.arange(6, dtype=np.float32)
    different = [
        array,
        array + 1,
        array.reshape(2, 3),
        array.reshape(3, 2),
        array.astype(np.float64),
        (array, 16_000),
        (array, 44_100),
        (array, array),
        array.astype(object),
    ]
    digests = [contents.digest(source) for source in different]
    assert len(set(digests)) == len(digests)
    assert contents.digest(np.arange(12, dtype=np.float32)[::2] / 2) == digests[0]
    assert contents.known((array.copy(), 44_100)) == contents.digest((array, 44_100))


def test_arrays_of_objects_are_known_by_their_values(contents):
    def numbers(offset):
        return np.array([offset + number / 7 for number in range(50)], dtype=object)

    assert contents.digest(numbers(0)) == contents.digest(numbers(0))
    assert contents.digest(numbers(0)) != contents.digest(numbers(1))

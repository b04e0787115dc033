"""Keys follow the content of clips, whatever their names and times say."""

import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from skavsc._clips._cache import ContentDigests
from skavsc.exceptions import MediaError, MediaNotFoundError


@pytest.fixture
def digests(tmp_path):
    return ContentDigests(tmp_path / "digests", tmp_path / "unfinished")


def memos(tmp_path):
    return [path for path in (tmp_path / "digests").rglob("*") if path.is_file()]


def test_names_and_times_do_not_matter(digests, files, tmp_path):
    copy = shutil.copy(files[0], tmp_path / "copy")
    os.utime(copy, (1, 1))
    assert digests.compute(copy) == digests.compute(files[0]) == digests.compute(Path(files[0]))
    assert digests.compute(files[0]) != digests.compute(files[1])


def test_a_digest_is_remembered(digests, files, tmp_path, settled, monkeypatch):
    assert digests.remembered(files[0]) is None
    digest = digests.compute(files[0])
    assert len(memos(tmp_path)) == 1
    assert digests.remembered(files[0]) == digest
    # A relative name stands for the same file, and for another one in another folder.
    monkeypatch.chdir(Path(files[0]).parent)
    assert digests.remembered(Path(files[0]).name) == digest
    monkeypatch.chdir(tmp_path)
    assert digests.remembered(Path(files[0]).name) is None


def test_a_changed_file_has_another_digest(digests, files, settled):
    before = digests.compute(files[0])
    Path(files[0]).write_bytes(b"something longer" * 100)
    assert digests.remembered(files[0]) is None
    assert digests.compute(files[0]) != before


def test_a_change_with_equal_size_and_mtime_is_seen(digests, files, settled):
    old = os.stat(files[0])
    before = digests.compute(files[0])
    time.sleep(0.02)  # longer than the tick of the clock that stamps files
    with open(files[0], "r+b") as file:
        file.write(b"other")
    os.utime(files[0], ns=(old.st_atime_ns, old.st_mtime_ns))
    assert os.stat(files[0]).st_mtime_ns == old.st_mtime_ns
    assert os.stat(files[0]).st_size == old.st_size
    assert digests.compute(files[0]) != before


def test_a_file_in_place_of_another_is_seen(digests, files, settled, tmp_path):
    before = digests.compute(files[0])
    os.replace(files[1], files[0])
    assert digests.compute(files[0]) != before


def test_a_link_that_is_turned_is_seen(digests, files, settled, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(files[0])
    assert digests.compute(link) == digests.compute(files[0])
    link.unlink()
    link.symlink_to(files[1])
    assert digests.compute(link) == digests.compute(files[1])


def test_changes_within_a_tick_are_seen(digests, files, tmp_path):
    """Without the rule for young files some of these changes share one time stamp."""
    path = files[0]
    for number in range(200):
        # Through an open file, so that size and inode stay.
        with open(path, "r+b") as file:
            file.write(number.to_bytes(4, "little"))
        first = digests.compute(path)
        with open(path, "r+b") as file:
            file.write((number + 1000).to_bytes(4, "little"))
        assert digests.compute(path) != first
    assert not memos(tmp_path)


def test_only_files_left_alone_are_remembered(digests, files, tmp_path, monkeypatch):
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now + 1_000_000_000)
    digests.compute(files[0])
    assert not memos(tmp_path)
    monkeypatch.setattr(time, "time_ns", lambda: now + 4_000_000_000)
    digests.compute(files[0])
    assert len(memos(tmp_path)) == 1
    # One from the future may still be changed without another time stamp.
    os.utime(files[1], ns=(now, now + 10**12))
    digests.compute(files[1])
    assert len(memos(tmp_path)) == 1


@pytest.mark.parametrize("damage", [b"", b"1 2 3", b"\xff" * 100, b"1 2 3 4 5 6 7"])
def test_damaged_memos_are_made_again(digests, files, tmp_path, settled, damage):
    digest = digests.compute(files[0])
    [memo] = memos(tmp_path)
    memo.write_bytes(damage)
    assert digests.remembered(files[0]) is None
    assert digests.compute(files[0]) == digest
    assert digests.remembered(files[0]) == digest


def test_a_file_that_changes_while_it_is_read(digests, files, monkeypatch):
    import hashlib

    real = hashlib.file_digest

    def with_another_writer(file, hasher):
        with open(files[0], "ab") as other:
            other.write(b"more")
        return real(file, hasher)

    monkeypatch.setattr(hashlib, "file_digest", with_another_writer)
    with pytest.raises(MediaError, match="changed while it was read"):
        digests.compute(files[0])


def test_files_that_cannot_be_read(digests, tmp_path):
    (tmp_path / "empty.wav").touch()
    with pytest.raises(MediaNotFoundError, match=r"none\.wav: open: there is no such file"):
        digests.compute(tmp_path / "none.wav")
    with pytest.raises(MediaError, match="directory"):
        digests.compute(tmp_path)
    with pytest.raises(MediaError, match="empty"):
        digests.compute(tmp_path / "empty.wav")
    with pytest.raises(MediaError, match="null"):
        digests.compute("a\0b.wav")


class _Reading:
    """As lazily decoded frames present themselves."""

    def __init__(self, path, **reading):
        self.path = path
        self.reading = reading

    def cache_source(self):
        return self.path, self.reading


def test_frames_of_a_file_depend_on_how_they_are_read(digests, files, settled):
    at_5, at_10 = _Reading(files[0], fps=5, size=32), _Reading(files[0], fps=10, size=32)
    found = {digests.compute(source) for source in (at_5, at_10, files[0])}
    assert len(found) == 3
    assert digests.compute(_Reading(files[0], size=32, fps=5)) in found
    assert digests.remembered(at_10) == digests.compute(at_10)


def test_arrays_in_memory(digests):
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
    found = [digests.compute(source) for source in different]
    assert len(set(found)) == len(found)
    assert digests.compute(np.arange(12, dtype=np.float32)[::2] / 2) == found[0]
    assert digests.remembered((array.copy(), 44_100)) == digests.compute((array, 44_100))


def test_arrays_of_objects_are_known_by_their_values(digests):
    def numbers(offset):
        return np.array([offset + number / 7 for number in range(50)], dtype=object)

    assert digests.compute(numbers(0)) == digests.compute(numbers(0))
    assert digests.compute(numbers(0)) != digests.compute(numbers(1))

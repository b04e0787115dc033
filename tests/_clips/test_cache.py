"""Files of features: whole, checked, shared, and never those of something else."""

import errno
import fcntl
import multiprocessing
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from skavsc._clips import ClipCache, map_clips
from skavsc._clips._atomic_files import remove_abandoned, unfinished_file
from skavsc.exceptions import CacheWarning, MediaError

from .conftest import SHAPE, sums


def only_file(cache):
    [path] = cache.folder.rglob("*.npy")
    return path


@pytest.fixture
def stored(cache, files):
    """The key of the first file, whose features are in the cache."""
    key = cache.key(files[0])
    cache.store(files[0], key, sums(files[0]))
    return key


def test_round_trip(cache, files, stored):
    features = cache.load(stored, SHAPE)
    np.testing.assert_array_equal(features, sums(files[0]))
    assert features.dtype == np.float32
    assert cache.load(cache.key(files[1]), SHAPE) is None
    np.testing.assert_array_equal(np.load(only_file(cache)), features)


def test_keys_depend_on_content_parameters_kind_and_version(make_cache, tmp_path, files, stored):
    cache = make_cache(bands=64)
    assert len({stored, cache.key(files[0]), make_cache(bands=65).key(files[0])}) == 3
    assert make_cache(a=1, b=2.5).key(files[0]) == make_cache(b=2.5, a=1).key(files[0])
    for name, version in (("sums", 2), ("other", 1)):
        assert ClipCache(tmp_path / "cache", name, version, {}).load(stored, SHAPE) is None


def test_a_moved_cache_keeps_its_features(make_cache, files, stored, tmp_path):
    shutil.move(tmp_path / "cache", tmp_path / "elsewhere")
    moved = make_cache(tmp_path / "elsewhere")
    np.testing.assert_array_equal(moved.load(moved.key(files[0]), SHAPE), sums(files[0]))


def test_a_relative_location_stays_where_it_was(files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cache = ClipCache("relative", "sums", 1, {})
    monkeypatch.chdir("/")
    cache.store(files[0], cache.key(files[0]), sums(files[0]))
    assert (tmp_path / "relative").is_dir()


def damages(content):
    """Contents that are not what was written: cut, longer, emptied, each byte flipped."""
    yield from (b"", content[:50], content[:-1], content + b"\0", bytes(len(content)))
    for position in range(len(content)):
        flipped = bytearray(content)
        flipped[position] ^= 16
        yield bytes(flipped)


def test_damage_is_noticed(cache, stored):
    path = only_file(cache)
    content = path.read_bytes()
    for damaged in damages(content):
        path.write_bytes(damaged)
        assert cache.load(stored, SHAPE) is None
    path.write_bytes(content)
    assert cache.load(stored, SHAPE) is not None
    assert cache.load(stored, (3, 5)) is None


def test_files_of_other_clips_are_noticed(cache, files, stored):
    other = cache.key(files[1])
    cache.store(files[1], other, sums(files[1]))
    first, second = sorted(cache.folder.rglob("*.npy"))
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)
    assert cache.load(stored, SHAPE) is None
    assert cache.load(other, SHAPE) is None


def test_a_file_that_changed_since_its_key_was_made(cache, files):
    key = cache.key(files[0])
    features = sums(files[0])
    with open(files[0], "r+b") as file:
        file.write(b"x")
    with pytest.raises(MediaError, match="changed while it was read") as caught:
        cache.store(files[0], key, features)
    assert caught.value.path == files[0]
    assert cache.load(key, SHAPE) is None


def test_others_may_read_what_is_written(cache, files, stored):
    mask = os.umask(0)
    os.umask(mask)
    assert only_file(cache).stat().st_mode & 0o777 == 0o666 & ~mask


# Folders that cannot be written to.


def test_a_file_in_place_of_the_folder(tmp_path, files):
    (tmp_path / "file").touch()
    cache = ClipCache(tmp_path / "file", "sums", 1, {})
    with pytest.warns(
        CacheWarning, match="file/skavsc' cannot be written .Not a directory"
    ) as caught:
        result = map_clips(sums, files, shape=SHAPE, cache=cache)
    assert len(caught) == 1
    np.testing.assert_array_equal(result, [sums(path) for path in files])
    with pytest.raises(
        NotADirectoryError, match=r"memory= cannot be .*another folder.*/file/skavsc"
    ):
        map_clips(sums, files, shape=SHAPE, cache=cache, mmap_mode="r")


def test_a_read_only_folder_serves_what_it_holds(open_folder, as_nobody, settled):
    clips = [str(open_folder / name) for name in "abc"]
    for clip in clips:
        Path(clip).write_bytes(clip.encode() * 100)
        Path(clip).chmod(0o644)
    cache = ClipCache(open_folder / "cache", "sums", 1, {})
    for mmap_mode in (None, "r"):
        map_clips(sums, clips[:1], shape=SHAPE, cache=cache, mmap_mode=mmap_mode)
    folders = [path for path in open_folder.rglob("*") if path.is_dir()]
    for folder in folders:
        folder.chmod(0o555)
    computed = []

    def extract(path):
        computed.append(path)
        return sums(path)

    try:
        with as_nobody():
            for options in ({}, {"prepare": str}):
                with pytest.warns(
                    CacheWarning, match="2 of 3 clips .*Permission denied.*memory="
                ) as w:
                    result = map_clips(extract, clips, shape=SHAPE, cache=cache, **options)
                assert len(w) == 1
                np.testing.assert_array_equal(result, [sums(path) for path in clips])
            assert computed == clips[1:] * 2
            # Nothing has to be written for these.
            for mmap_mode in (None, "r"):
                map_clips(extract, clips[:1], shape=SHAPE, cache=cache, mmap_mode=mmap_mode)
            assert computed == clips[1:] * 2
            with pytest.raises(PermissionError, match=str(cache.root)):
                map_clips(extract, clips, shape=SHAPE, cache=cache, mmap_mode="r")
    finally:
        for folder in folders:
            folder.chmod(0o755)


FULL = """
    import resource, sys, warnings
    import numpy as np
    from skavsc._clips import ClipCache, map_clips
    folder, path = sys.argv[1:]
    # Writing on fails as it does on a full disk, which a test cannot make.
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
    warnings.simplefilter("always")
    for mode, shape, n_clips in ((None, (50_000,), 2), ("r", (5000,), 10)):
        with warnings.catch_warnings(record=True) as caught:
            try:
                result = map_clips(
                    lambda path: np.ones(shape, dtype=np.float32),
                    [path] * n_clips,
                    shape=shape,
                    cache=ClipCache(f"{folder}-{mode}", "ones", 1, {}),
                    mmap_mode=mode,
                )
            except OSError as error:
                print(error, end=" ")
            else:
                print(result.mean(), end=" ")
        print(*(w.message for w in caught))
"""


def test_a_full_disk(start, tmp_path, files):
    process = start(FULL, tmp_path / "full", files[0])
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    for mode, told in zip((None, "r"), output.splitlines(), strict=True):
        folder = tmp_path / f"full-{mode}"
        assert os.strerror(errno.EFBIG) in told, errors
        assert "memory=" in told
        assert str(folder) in told
        # What is only kept can be done without; the file of mmap_mode is the result.
        assert told.startswith("1.0 ") == (mode is None)
        assert not list((folder / "skavsc/unfinished").iterdir())
        assert not list((folder / "skavsc").glob("*/arrays/*"))
    assert not [path for path in tmp_path.rglob("*.npy") if path.stat().st_size > 100_000]


# Unfinished files.


def test_an_unfinished_file_has_no_name(tmp_path):
    target = tmp_path / "deep" / "target"
    with unfinished_file(tmp_path / "unfinished") as new:
        new.file.write(b"half")
        assert not target.exists()
        new.file.write(b" and half")
        new.finish(target)
    assert target.read_bytes() == b"half and half"
    assert not list((tmp_path / "unfinished").iterdir())


def test_an_error_leaves_neither_file(tmp_path):
    def interrupted():
        with unfinished_file(tmp_path / "unfinished") as new:
            new.file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not list((tmp_path / "unfinished").iterdir())


def test_the_later_of_two_writers_wins(tmp_path):
    with unfinished_file(tmp_path) as first, unfinished_file(tmp_path) as second:
        first.file.write(b"first")
        second.file.write(b"second")
        second.finish(tmp_path / "target")
        first.finish(tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == b"first"


def write_half(folder, written):
    with unfinished_file(folder) as new:
        new.file.write(b"half")
        new.file.flush()
        written.set()
        time.sleep(100)


def test_only_remains_of_the_dead_are_removed(tmp_path):
    context = multiprocessing.get_context("fork")
    written = context.Event()
    process = context.Process(target=write_half, args=(tmp_path, written))
    process.start()
    assert written.wait(60)
    remove_abandoned(tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    process.kill()
    process.join()
    assert len(list(tmp_path.iterdir())) == 1
    with unfinished_file(tmp_path) as new:
        remove_abandoned(tmp_path)
        assert list(tmp_path.iterdir()) == [Path(new.file.name)]


def test_a_file_taken_for_remains_is_made_again(tmp_path, monkeypatch):
    """Between its creation and its lock a new file looks like remains."""
    lock = fcntl.flock
    calls = []

    def late(file, how):
        calls.append(how)
        if len(calls) == 1:
            remove_abandoned(tmp_path)
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with unfinished_file(tmp_path) as new:
        new.finish(tmp_path / "target")
    assert (tmp_path / "target").exists()
    assert len(calls) == 3

"""Rows: one a source, in order, whatever computes them, and wherever they are written."""

import functools
import itertools
import threading
import time
import warnings
from pathlib import Path

import joblib
import numpy as np
import pytest
import sklearn
from sklearn.exceptions import DataConversionWarning

from skavsc._clips import map_clips
from skavsc.exceptions import MediaError, MissingClipWarning

from ..conftest import run_in_workers
from .conftest import SHAPE, sums

run_in_workers(__name__)


def prepare(path):
    return Path(path).read_bytes(), path


def extract(prepared):
    return sums(prepared[1])


def refuse_odd(path):
    if int(Path(path).stem) % 2:
        raise MediaError(path, "read sound", "odd")
    return sums(path)


def forbidden(path):
    raise AssertionError(f"{path} is computed though its features are in the cache")


WAYS = {
    "serial": {"extract": sums},
    "processes": {"extract": sums, "n_jobs": 2},
    "ahead": {"extract": extract, "prepare": prepare},
    "ahead, two threads": {"extract": extract, "prepare": prepare, "n_jobs": 2},
}


@pytest.fixture(params=list(WAYS))
def run(request):
    """``map_clips`` on each of the ways to compute ``sums``."""
    return functools.partial(map_clips, shape=SHAPE, **WAYS[request.param])


@pytest.fixture
def expected(files):
    return np.stack([sums(path) for path in files])


@pytest.mark.parametrize("mmap_mode", [None, "r", "r+", "c"])
@pytest.mark.parametrize("cached", [False, True])
def test_rows(run, files, expected, cache, cached, mmap_mode):
    if cached:
        map_clips(sums, files[::3], shape=SHAPE, cache=cache)
    sources = [None, *files, None, files[0]]
    result = run(sources=sources, cache=cache, mmap_mode=mmap_mode)
    assert isinstance(result, np.memmap) == (mmap_mode is not None)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result[1:9], expected)
    np.testing.assert_array_equal(result[10], expected[0])
    assert np.isnan(result[[0, 9]]).all()


def test_without_a_cache(run, files, expected):
    np.testing.assert_array_equal(run(sources=files), expected)


@pytest.mark.parametrize("mmap_mode", [None, "r", "r+", "c"])
def test_no_clips_and_none_with_a_source(run, cache, mmap_mode):
    assert run(sources=[], cache=cache, mmap_mode=mmap_mode).shape == (0, *SHAPE)
    assert np.isnan(run(sources=[None, None], cache=cache, mmap_mode=mmap_mode)).all()


def test_what_is_kept_is_not_computed_again(run, files, expected, cache, settled):
    run(sources=files[:5], cache=cache)
    run(sources=files[3:], cache=cache)
    for extractor in (forbidden, extract):
        result = map_clips(extractor, files, shape=SHAPE, cache=cache, prepare=forbidden)
        np.testing.assert_array_equal(result, expected)


def test_young_files_are_read_but_not_computed_again(files, expected, cache):
    map_clips(sums, files, shape=SHAPE, cache=cache)
    result = map_clips(forbidden, files, shape=SHAPE, cache=cache)
    np.testing.assert_array_equal(result, expected)


def test_a_damaged_file_of_the_cache_is_made_again(run, files, expected, cache):
    run(sources=files, cache=cache)
    kept = sorted(cache.folder.rglob("*.npy"))
    assert len(kept) == len(files)
    for number, path in enumerate(kept[:4]):
        content = bytearray(path.read_bytes())
        content[-10] ^= 1 << number
        path.write_bytes(content[: None if number % 2 else -7])
    np.testing.assert_array_equal(run(sources=files, cache=cache), expected)
    keys = [cache.key(path) for path in files]
    assert all(cache.load(key, SHAPE) is not None for key in keys)


def test_relative_paths_after_a_change_of_folder(files, expected, monkeypatch):
    names = [Path(path).name for path in files]
    monkeypatch.chdir("/")
    map_clips(sums, files, shape=SHAPE, n_jobs=2)  # starts the workers in this folder
    monkeypatch.chdir(Path(files[0]).parent)
    np.testing.assert_array_equal(map_clips(sums, names, shape=SHAPE, n_jobs=2), expected)


# Clips that cannot be used.


def test_an_error_is_raised(files, cache):
    for options in ({}, {"prepare": str}):
        with pytest.raises(MediaError, match=r"\d\.bin: read sound: odd") as caught:
            map_clips(refuse_odd, files, shape=SHAPE, cache=cache, **options)
        assert caught.value.path in files
        assert caught.value.stage == "read sound"


@pytest.mark.parametrize("mmap_mode", [None, "r"])
@pytest.mark.parametrize("n_jobs", [None, 2])
def test_unusable_clips_are_missing(files, expected, cache, n_jobs, mmap_mode):
    for _ in range(2):
        with pytest.warns(MissingClipWarning, match=r"4 of 9 clips .* first is .*1\.bin") as caught:
            result = map_clips(
                refuse_odd,
                [None, *files],
                shape=SHAPE,
                cache=cache,
                on_error="missing",
                n_jobs=n_jobs,
                mmap_mode=mmap_mode,
            )
        assert len(caught) == 1
        np.testing.assert_array_equal(result[1::2], expected[::2])
        assert np.isnan(result[::2]).all()
    assert len(list(cache.folder.glob("??/*.npy"))) == 4


def test_other_errors_pass(files):
    with pytest.raises(AssertionError, match="is computed"):
        map_clips(forbidden, files, shape=SHAPE, on_error="missing")


@pytest.mark.parametrize("wrong", [np.zeros(3, np.float32), np.zeros(SHAPE)])
def test_features_of_another_form_are_not_spread_over_a_row(files, wrong):
    with pytest.raises(ValueError, match=r"instead of float32 of shape \(5, 3\)"):
        map_clips(lambda path: wrong, files, shape=SHAPE)


# Memory-mapped results.


def arrays(cache):
    return sorted((cache.folder / "arrays").glob("*"))


def test_a_place_for_the_file_is_needed(files):
    with pytest.raises(ValueError, match="set memory= to a folder"):
        map_clips(sums, files, shape=SHAPE, mmap_mode="r")


def test_the_file_of_the_same_rows_is_used_again(files, expected, cache, settled):
    sources = [None, *files]
    first = map_clips(sums, sources, shape=SHAPE, cache=cache, mmap_mode="r")
    [path] = arrays(cache)
    inode = path.stat().st_ino
    for mode in ("r", "c"):
        again = map_clips(forbidden, sources, shape=SHAPE, cache=cache, mmap_mode=mode)
        np.testing.assert_array_equal(again[1:], expected)
        assert Path(again.filename) == path == Path(first.filename)
        assert path.stat().st_ino == inode
        if mode == "c":
            again[1] = 7
    np.testing.assert_array_equal(first[1:], expected)
    with pytest.raises(ValueError, match="read-only"):
        first[1] = 7


def test_other_rows_have_another_file(files, expected, cache, settled):
    orders = [files, files[::-1], files[1:], [None, *files[1:]], [*files[1:], None]]
    for order in orders:
        result = map_clips(sums, order, shape=SHAPE, cache=cache, mmap_mode="r")
        rows = [files.index(path) for path in order if path is not None]
        np.testing.assert_array_equal(result[[p is not None for p in order]], expected[rows])
    assert len(arrays(cache)) == len(orders)
    time.sleep(0.02)
    Path(files[2]).write_bytes(b"something else")
    result = map_clips(sums, files, shape=SHAPE, cache=cache, mmap_mode="r")
    np.testing.assert_array_equal(result[2], sums(files[2]))
    np.testing.assert_array_equal(result[3], expected[3])


def test_what_is_to_be_written_to_is_not_shared(files, expected, cache, settled):
    first, second = (
        map_clips(sums, files, shape=SHAPE, cache=cache, mmap_mode="r+") for _ in range(2)
    )
    first[:] = 7
    first.flush()
    np.testing.assert_array_equal(second, expected)
    third = map_clips(sums, files, shape=SHAPE, cache=cache, mmap_mode="r")
    np.testing.assert_array_equal(third, expected)


def test_a_file_with_missing_clips_is_not_used_again(files, expected, cache, settled):
    """What could not be read once may be readable the next time."""
    options = {"shape": SHAPE, "cache": cache, "mmap_mode": "r", "on_error": "missing"}
    with pytest.warns(MissingClipWarning):
        map_clips(refuse_odd, files, **options)
    np.testing.assert_array_equal(map_clips(sums, files, **options), expected)
    with pytest.warns(MissingClipWarning, match="1 of 9"):
        map_clips(sums, ["none.bin", *files], **options)


def array_damages(content):
    """Contents that are not what was written: cut, longer, emptied, bits flipped everywhere."""
    yield from (b"", b"\x93NUMPY", content[:-100], content[:-1], content + b"\0")
    for position in [*range(0, len(content), 37), len(content) - 1]:
        flipped = bytearray(content)
        flipped[position] ^= 1 << position % 8
        yield bytes(flipped)


def test_a_damaged_array_is_made_again(files, expected, cache, settled):
    map_clips(sums, files, shape=SHAPE, cache=cache, mmap_mode="r")
    [path] = arrays(cache)
    content = path.read_bytes()
    np.testing.assert_array_equal(np.load(path), expected)
    for damaged in array_damages(content):
        path.chmod(0o644)
        path.write_bytes(damaged)
        result = map_clips(forbidden, files, shape=SHAPE, cache=cache, mmap_mode="r")
        np.testing.assert_array_equal(result, expected)
        assert path.read_bytes() == content


def test_an_array_in_place_of_another_is_made_again(files, expected, cache, settled):
    map_clips(sums, files, shape=SHAPE, cache=cache, mmap_mode="r")
    map_clips(sums, files[::-1], shape=SHAPE, cache=cache, mmap_mode="r")
    first, second = arrays(cache)
    first.rename(cache.root / "aside")
    second.rename(first)
    (cache.root / "aside").rename(second)
    for order in (1, -1):
        result = map_clips(forbidden, files[::order], shape=SHAPE, cache=cache, mmap_mode="r")
        np.testing.assert_array_equal(result, expected[::order])


def test_an_unfinished_array_has_no_name(files, cache):
    seen = []

    def look(path):
        [unfinished] = (cache.root / "unfinished").iterdir()
        seen.append(unfinished.stat().st_size)
        assert not arrays(cache)
        if path == files[5]:
            raise RuntimeError("stop")
        return np.zeros((50, 100), np.float32)

    with pytest.raises(RuntimeError, match="stop"):
        map_clips(look, files, shape=(50, 100), cache=cache, mmap_mode="r")
    # Rows are written as they come: 20,000 bytes a row.
    assert seen[0] < 20_000
    assert [b - a for a, b in itertools.pairwise(seen[1:])] == [20_000] * 4
    assert not arrays(cache)
    assert not list((cache.root / "unfinished").iterdir())


# Reading ahead.


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_reading_ahead_is_bounded(files, n_jobs):
    """However slow the network is, few prepared clips wait in memory."""
    counts = {"prepared": 0, "done": 0}
    ahead = []

    def count(path):
        counts["prepared"] += 1
        return path

    def slow(path):
        time.sleep(0.01)
        ahead.append(counts["prepared"] - counts["done"])
        counts["done"] += 1
        return sums(path)

    map_clips(slow, files * 3, shape=SHAPE, prepare=count, n_jobs=n_jobs)
    assert 2 <= max(ahead) <= 2 * n_jobs + 1


def test_reading_and_extracting_overlap(files):
    threads = {"prepare": set(), "extract": set()}
    met = threading.Barrier(2, timeout=20)

    def meet(path):
        threads["prepare"].add(threading.get_ident())
        if path == files[1]:
            met.wait()
        return path

    def wait(path):
        threads["extract"].add(threading.get_ident())
        if path == files[0]:
            met.wait()
        return sums(path)

    map_clips(wait, files, shape=SHAPE, prepare=meet)
    assert threads["extract"] == {threading.get_ident()}
    assert not threads["prepare"] & threads["extract"]


# Progress.


def test_progress_has_rate_and_remaining_time(files, capsys, cache):
    map_clips(sums, files[:2], shape=SHAPE, cache=cache)
    capsys.readouterr()
    map_clips(sums, files, shape=SHAPE, cache=cache, verbose=1, description="sums")
    output, errors = capsys.readouterr()
    assert not output
    assert "sums: 100%" in errors
    assert "8/8 [" in errors
    assert "clip/s]" in errors


def test_silent_by_default(run, files, capfd, cache):
    run(sources=files, cache=cache)
    assert capfd.readouterr() == ("", "")


# Backends of joblib, and what reaches their workers.


@pytest.mark.parametrize("backend", ["threading", "multiprocessing", "loky"])
def test_backends_of_joblib(files, expected, cache, backend):
    with joblib.parallel_config(backend, n_jobs=2):
        np.testing.assert_array_equal(map_clips(sums, files * 5, shape=SHAPE), [*expected] * 5)
        with pytest.raises(MediaError, match=r"\d\.bin: read sound: odd") as caught:
            map_clips(refuse_odd, files, shape=SHAPE, cache=cache)
    assert caught.value.path in files
    assert caught.value.stage == "read sound"


def configured(path):
    """Features that tell the configuration of scikit-learn and what becomes of a warning."""
    try:
        warnings.warn("seen", DataConversionWarning, stacklevel=1)
        raised = False
    except DataConversionWarning:
        raised = True
    routed = sklearn.get_config()["enable_metadata_routing"]
    return np.full(SHAPE, 10 * routed + raised, np.float32)


@pytest.mark.parametrize("backend", ["sequential", "threading", "multiprocessing", "loky"])
def test_configuration_and_warning_filters_reach_workers(files, backend):
    with (
        sklearn.config_context(enable_metadata_routing=True),
        warnings.catch_warnings(),
        joblib.parallel_config(backend, n_jobs=2),
    ):
        warnings.simplefilter("error", DataConversionWarning)
        assert (map_clips(configured, files, shape=SHAPE) == 11).all()


def test_configuration_reaches_threads_that_read_ahead(files):
    def prepare(path):
        return sklearn.get_config()["enable_metadata_routing"]

    def extract(routed):
        return np.full(SHAPE, routed, np.float32)

    with sklearn.config_context(enable_metadata_routing=True):
        assert (map_clips(extract, files, shape=SHAPE, prepare=prepare, n_jobs=2) == 1).all()

"""One function applied to every clip, gathered into one array."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from skavsc._clips._cache import ClipCache, Features
from skavsc._clips._rows import MmapMode, Rows, finished_rows, open_rows
from skavsc._clips._work import Clip, Done, Work, computed
from skavsc.exceptions import MediaError, MissingClipWarning


def map_clips(
    extract: Callable[[Any], Features],
    sources: Sequence[Any],
    *,
    shape: tuple[int, ...],
    prepare: Callable[[Any], Any] | None = None,
    cache: ClipCache | None = None,
    on_error: str = "raise",
    n_jobs: int | None = None,
    verbose: int | bool = 0,
    mmap_mode: MmapMode | None = None,
    description: str = "clips",
) -> Features:
    """Compute the features of every clip: one row a source, NaN where there is none.

    Parameters
    ----------
    extract : callable
        From a source (or from what ``prepare`` made of it) to a float32 array of shape
        ``shape``. Without ``prepare`` it is sent to joblib's workers and must be picklable.
        It raises MediaError for a source that cannot be used.
    sources : sequence of n_clips sources
        As from ``clip_sources``: None gives a row of NaN.
    shape : tuple of int
        The shape of one clip's features.
    prepare : callable, optional
        Run in threads of this process, ahead of ``extract``, which then runs in this thread:
        for decoders that feed a network.
    cache : ClipCache, optional
        Where features are kept between runs, each as soon as it is computed.
    on_error : {"raise", "missing"}, default="raise"
        What a MediaError leads to: the error, or a row of NaN and one warning for all. Such
        rows are not kept: the clip is tried again next time.
    n_jobs : int, optional
        The number of joblib workers, or of threads that prepare (at most one a core).
    verbose : int or bool, default=0
        Whether to show a progress bar with rate and remaining time on stderr. Clips found in
        the cache count as done at its beginning.
    mmap_mode : {"r", "r+", "c"}, optional
        If given, the rows are written to a file beneath the cache's folder, as they come, and
        the result is that file, memory-mapped in this mode. A second call for the same rows
        maps the same file again, but with "r+", which gives a new file each time.
    description : str, default="clips"
        The label of the progress bar.

    Returns
    -------
    ndarray of shape (n_clips, *shape), float32
        The features.

    Raises
    ------
    MediaError
        If a source cannot be used and ``on_error="raise"``.
    OSError
        If the cache cannot be written; it names the folder.
    ValueError
        If ``mmap_mode`` is given without a cache to hold the file.
    """
    if mmap_mode is not None and cache is None:
        raise ValueError(
            f"mmap_mode={mmap_mode!r} needs a place for the file; set memory= to a folder"
        )
    keys: list[str | None] = [None] * len(sources)
    if cache is not None:
        keys = [None if source is None else cache.known_key(source) for source in sources]
        if mmap_mode is not None:
            finished = finished_rows(sources, keys, shape, cache, mmap_mode)
            if finished is not None:
                return finished
        cache.remove_remains()
    with open_rows(len(sources), shape, cache, mmap_mode) as rows:
        clips = _write_known(rows, sources, keys, shape, cache)
        results = computed(Work(extract, cache, shape, on_error), prepare, clips, n_jobs)
        progress = _progress(verbose, description, len(sources), len(clips))
        with progress as bar, contextlib.closing(results):
            failures = _write_computed(rows, results, keys, shape, bar)
        result = rows.finish(keys)
    if failures:
        warnings.warn(
            f"{len(failures)} of {len(sources)} clips could not be read and are missing (NaN); "
            f"the first is {failures[min(failures)]}",
            MissingClipWarning,
            stacklevel=3,
        )
    return result


def _progress(
    verbose: int | bool, description: str, n_clips: int, n_computed: int
) -> contextlib.AbstractContextManager[tqdm | None]:
    """Give a progress bar, or None."""
    # Not a disabled one: all of them take a lock that forked processes share, so that the others
    # would wait for ever if one were killed while it held the lock.
    if not verbose:
        return contextlib.nullcontext()
    return tqdm(total=n_clips, initial=n_clips - n_computed, desc=description, unit="clip")


def _missing(shape: tuple[int, ...]) -> Features:
    return np.full(shape, np.nan, dtype=np.float32)


def _write_known(
    rows: Rows,
    sources: Sequence[Any],
    keys: Sequence[str | None],
    shape: tuple[int, ...],
    cache: ClipCache | None,
) -> list[Clip]:
    """Write the rows that are missing or in the cache, and give the clips of the others."""
    clips = []
    for row, (source, key) in enumerate(zip(sources, keys, strict=True)):
        if source is None:
            features: Features | None = _missing(shape)
        else:
            features = None if cache is None or key is None else cache.load(key, shape)
        if features is None:
            clips.append(Clip(row, source, key))
        else:
            rows.write(row, features)
    return clips


def _write_computed(
    rows: Rows,
    results: Iterable[Done],
    keys: list[str | None],
    shape: tuple[int, ...],
    bar: tqdm | None,
) -> dict[int, MediaError]:
    """Write the rows of clips as they come, note their keys, and give the errors."""
    failures = {}
    for row, key, outcome in results:
        if isinstance(outcome, MediaError):
            failures[row] = outcome
            outcome = _missing(shape)
        rows.write(row, outcome)
        keys[row] = key
        if bar is not None:
            bar.update()
    return failures

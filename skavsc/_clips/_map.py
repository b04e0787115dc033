"""One function applied to every clip, here or in workers, gathered into one array."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import joblib
import numpy as np
import sklearn
from tqdm import tqdm

from skavsc._clips._array_file import ArrayFile, MmapMode, new_array_file, open_array_file
from skavsc._clips._cache import ClipCache, Features
from skavsc._parallel import Parallel, delayed
from skavsc.exceptions import CacheWarning, MediaError, MissingClipWarning


class Task(NamedTuple):
    """A clip whose features are to be computed."""

    row: int
    source: Any
    #: None if it is not known yet, or without a cache.
    key: str | None
    #: The result of ``prepare`` for the source.
    prepared: Any = None


class Outcome(NamedTuple):
    """The result for a clip."""

    row: int
    #: None if the clip failed, or without a cache.
    key: str | None
    features: Features | MediaError
    #: Why the features are not in the cache.
    cache_error: OSError | None = None


@dataclass(frozen=True)
class Extraction:
    """The computation of one clip; the attributes are the parameters of ``map_clips``."""

    extract: Callable[[Any], Features]
    cache: ClipCache | None
    shape: tuple[int, ...]
    on_error: str

    def prepare(self, prepare: Callable[[Any], Any], task: Task) -> Task | Outcome:
        """Prepare a clip, unless its key, once it is known, turns out to be in the cache."""
        key = task.key
        try:
            if self.cache is not None and key is None:
                key = self.cache.key(task.source)
                features = self.cache.load(key, self.shape)
                if features is not None:
                    return Outcome(task.row, key, features)
            return task._replace(key=key, prepared=prepare(task.source))
        except MediaError as error:
            return self._failed(task, error)

    def finish(self, task: Task | Outcome) -> Outcome:
        """Compute the features of a prepared clip, and store them."""
        if isinstance(task, Outcome):
            return task
        try:
            features = self.extract(task.prepared)
            if features.shape != self.shape or features.dtype != np.float32:
                raise ValueError(
                    f"the features are {features.dtype} of shape {features.shape} instead of "
                    f"float32 of shape {self.shape}"
                )
            cache_error = self._store(task, features)
        except MediaError as error:
            return self._failed(task, error)
        return Outcome(task.row, task.key, features, cache_error)

    def _store(self, task: Task, features: Features) -> OSError | None:
        if self.cache is not None and task.key is not None:
            try:
                self.cache.store(task.source, task.key, features)
            except MediaError:
                raise
            except OSError as error:
                return error
        return None

    def _failed(self, task: Task, error: MediaError) -> Outcome:
        if self.on_error == "raise":
            error.add_note("Set on_error='missing' to go on without the files that cannot be read.")
            raise error
        return Outcome(task.row, None, error)


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
        From a source (or from what ``prepare`` returns for it) to a float32 array of shape
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
        Where features are kept between runs, each as soon as it is computed. If it cannot be
        written, features are computed and not kept.
    on_error : {"raise", "missing"}, default="raise"
        What to do with a MediaError: raise it, or return a row of NaN and warn once. Such rows
        are not cached, so that the clip is tried again next time.
    n_jobs : int, optional
        The number of joblib workers, or of threads that prepare (at most one a core).
    verbose : int or bool, default=0
        Whether to show a progress bar with rate and remaining time on stderr. Clips found in
        the cache count as done at its beginning.
    mmap_mode : {"r", "r+", "c"}, optional
        If given, the rows are written to a file in the cache's folder as they are computed,
        and the result is that file, memory-mapped in this mode. A second call for the same rows
        maps the same file again, except with "r+", which creates a new file each time.
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
        If the file of ``mmap_mode`` cannot be written; it names the folder.
    ValueError
        If ``mmap_mode`` is given without a cache to hold the file.

    Warns
    -----
    MissingClipWarning
        If sources cannot be used and ``on_error="missing"``.
    CacheWarning
        If the cache cannot be written.
    """
    if mmap_mode is not None and cache is None:
        raise ValueError(
            f"mmap_mode={mmap_mode!r} needs a place for the file; set memory= to a folder"
        )
    keys: list[str | None] = [None] * len(sources)
    if cache is not None:
        keys = [None if source is None else cache.remembered_key(source) for source in sources]
        if mmap_mode is not None:
            finished = open_array_file(sources, keys, shape, cache, mmap_mode)
            if finished is not None:
                return finished
        cache.remove_abandoned()
    failed: dict[int, MediaError] = {}
    not_kept: list[OSError] = []
    with contextlib.ExitStack() as stack:
        file: ArrayFile | None = None
        if mmap_mode is None or cache is None:
            array = np.empty((len(sources), *shape), dtype=np.float32)
            write: Callable[[int, Features], None] = array.__setitem__
        else:
            file = stack.enter_context(new_array_file(cache, len(sources), shape, mmap_mode))
            write = file.write
        tasks = _write_known(write, sources, keys, shape, cache)
        outcomes = _outcomes(Extraction(extract, cache, shape, on_error), prepare, tasks, n_jobs)
        stack.enter_context(contextlib.closing(outcomes))
        bar = stack.enter_context(_progress(verbose, description, len(sources), len(tasks)))
        for row, key, features, cache_error in outcomes:
            if isinstance(features, MediaError):
                failed[row] = features
                features = _missing(shape)
            if cache_error is not None:
                not_kept.append(cache_error)
            write(row, features)
            keys[row] = key
            if bar is not None:
                bar.update()
        if file is not None:
            array = file.finish(keys)
    _warn_of_failed(failed, len(sources))
    if cache is not None:
        _warn_of_not_kept(not_kept, len(sources), cache)
    return array


def _warn_of_failed(failed: dict[int, MediaError], n_clips: int) -> None:
    if not failed:
        return
    message = (
        f"{len(failed)} of {n_clips} clips could not be read and are missing (NaN); "
        f"the first is {failed[min(failed)]}"
    )
    errors = [failed[row] for row in sorted(failed)]
    warnings.warn(MissingClipWarning(message, errors), stacklevel=4)


def _warn_of_not_kept(not_kept: list[OSError], n_clips: int, cache: ClipCache) -> None:
    if not not_kept:
        return
    cause = not_kept[0].strerror or not_kept[0]
    warnings.warn(
        f"the features of {len(not_kept)} of {n_clips} clips are not kept, because "
        f"{str(cache.root)!r} cannot be written ({cause}), and will be computed again; make "
        f"room, get the permission, or set memory= to another folder",
        CacheWarning,
        stacklevel=4,
    )


def _progress(
    verbose: int | bool, description: str, n_clips: int, n_tasks: int
) -> contextlib.AbstractContextManager[tqdm | None]:
    # Not a disabled bar: every bar takes a lock that forked processes share. If one of them were
    # killed while it holds the lock, the others would wait for ever.
    if not verbose:
        return contextlib.nullcontext()
    return tqdm(total=n_clips, initial=n_clips - n_tasks, desc=description, unit="clip")


def _missing(shape: tuple[int, ...]) -> Features:
    return np.full(shape, np.nan, dtype=np.float32)


def _write_known(
    write: Callable[[int, Features], None],
    sources: Sequence[Any],
    keys: Sequence[str | None],
    shape: tuple[int, ...],
    cache: ClipCache | None,
) -> list[Task]:
    """Write the rows that are missing or in the cache, and return the tasks of the others."""
    tasks = []
    for row, (source, key) in enumerate(zip(sources, keys, strict=True)):
        if source is None:
            features: Features | None = _missing(shape)
        else:
            features = None if cache is None or key is None else cache.load(key, shape)
        if features is None:
            tasks.append(Task(row, source, key))
        else:
            write(row, features)
    return tasks


def _outcomes(
    extraction: Extraction,
    prepare: Callable[[Any], Any] | None,
    tasks: Iterable[Task],
    n_jobs: int | None,
) -> Generator[Outcome]:
    """Compute clips, in any order; the parameters are those of ``map_clips``."""
    if prepare is None:
        yield from _in_workers(extraction, map(_with_absolute_path, tasks), n_jobs)
        return
    n_threads = min(joblib.effective_n_jobs(n_jobs), joblib.cpu_count())
    prepared = run_ahead(functools.partial(extraction.prepare, prepare), tasks, n_threads)
    with contextlib.closing(prepared):
        for task in prepared:
            yield extraction.finish(task)


def _with_absolute_path(task: Task) -> Task:
    # Workers may have been started in another folder.
    if isinstance(task.source, str | os.PathLike):
        return task._replace(source=os.path.abspath(task.source))
    return task


def _in_workers(
    extraction: Extraction, tasks: Iterable[Task], n_jobs: int | None
) -> Generator[Outcome]:
    run = delayed(_compute)
    calls = (run(extraction, task) for task in tasks)
    try:
        # As they are completed, and one by one: results that wait for others, or for the rest
        # of a batch, would pile up in memory.
        parallel = Parallel(n_jobs, return_as="generator_unordered", batch_size=1)
    except ValueError:
        # A backend without generators, as multiprocessing and ray: some clips at a time.
        n_calls = 16 * joblib.effective_n_jobs(n_jobs)
        with Parallel(n_jobs) as parallel:
            while chunk := list(itertools.islice(calls, n_calls)):
                yield from parallel(chunk)
        return
    with contextlib.closing(parallel(calls)) as outcomes:
        yield from outcomes


def _compute(extraction: Extraction, task: Task) -> Outcome:
    return extraction.finish(extraction.prepare(lambda source: source, task))


def run_ahead(
    function: Callable[[Any], Any], items: Iterable[Any], n_threads: int
) -> Generator[Any]:
    """Map in threads, in order, holding at most ``2 * n_threads`` results in memory.

    Parameters
    ----------
    function : callable
        Called with each item in a thread, under the caller's scikit-learn configuration.
    items : iterable
        The items.
    n_threads : int
        Number of threads.

    Yields
    ------
    object
        The result of each item.
    """
    config = sklearn.get_config()

    def run(item: Any) -> Any:
        # The configuration of scikit-learn is a thread's own.
        with sklearn.config_context(**config):
            return function(item)

    waiting: deque[Future[Any]] = deque()
    pool = ThreadPoolExecutor(n_threads)
    try:
        for item in items:
            waiting.append(pool.submit(run, item))
            if len(waiting) >= 2 * n_threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        # An interruption does not wait for the clips that are being read.
        pool.shutdown(wait=False, cancel_futures=True)

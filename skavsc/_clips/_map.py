"""One function applied to every clip, gathered into one array."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import joblib
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from skavsc._clips._cache import ClipCache
from skavsc.exceptions import MediaError, MissingClipWarning

Features = NDArray[np.float32]
Outcome = Features | MediaError | None


class _Prepared:
    """A decoded clip that waits for the network, and the key to keep its features under."""

    def __init__(self, key: str | None, content: Any) -> None:
        self.key = key
        self.content = content


def _prepare(
    prepare: Callable[[Any], Any], cache: ClipCache | None, source: Any
) -> Outcome | _Prepared:
    """Take a clip's features from the cache or make the clip ready for the computation."""
    if source is None:
        return None
    try:
        key = None if cache is None else cache.key(source)
        features = None if cache is None or key is None else cache.load(key)
        return _Prepared(key, prepare(source)) if features is None else features
    except MediaError as error:
        return error


def _finish(
    extract: Callable[[Any], Features], cache: ClipCache | None, ready: Outcome | _Prepared
) -> Outcome:
    """Compute the features of a prepared clip, and keep them."""
    if not isinstance(ready, _Prepared):
        return ready
    try:
        features = extract(ready.content)
    except MediaError as error:
        return error
    if cache is not None and ready.key is not None:
        cache.store(ready.key, features)
    return features


def _whole_clip(
    extract: Callable[[Any], Features], cache: ClipCache | None, source: Any
) -> Outcome:
    return _finish(extract, cache, _prepare(lambda content: content, cache, source))


def _run_ahead(
    function: Callable[[Any], Any], items: Iterable[Any], n_threads: int
) -> Iterator[Any]:
    """Map in threads, in order, holding at most ``2 * n_threads`` results in memory."""
    waiting: deque[Future[Any]] = deque()
    with ThreadPoolExecutor(n_threads) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) >= 2 * n_threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _outcomes(
    extract: Callable[[Any], Features],
    prepare: Callable[[Any], Any] | None,
    sources: Sequence[Any],
    cache: ClipCache | None,
    n_jobs: int | None,
) -> Iterator[Outcome]:
    if prepare is None:
        run = joblib.Parallel(n_jobs=n_jobs, return_as="generator", pre_dispatch="2*n_jobs")
        return iter(run(joblib.delayed(_whole_clip)(extract, cache, source) for source in sources))
    ahead = _run_ahead(
        lambda source: _prepare(prepare, cache, source),
        sources,
        joblib.effective_n_jobs(n_jobs),
    )
    return (_finish(extract, cache, ready) for ready in ahead)


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
    mmap_mode: Literal["r", "r+", "c"] | None = None,
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
        Where features are kept between runs.
    on_error : {"raise", "missing"}, default="raise"
        What a MediaError leads to: the error, or a row of NaN and one warning for all.
    n_jobs : int, optional
        The number of joblib workers, or of threads that prepare.
    verbose : int or bool, default=0
        Whether to show a progress bar with rate and remaining time.
    mmap_mode : {"r", "r+", "c"}, optional
        If given, the rows are written to a file beneath the cache's folder and the result is
        that file, memory-mapped in this mode.
    description : str, default="clips"
        The label of the progress bar.

    Returns
    -------
    ndarray of shape (n_clips, *shape), float32

    Raises
    ------
    MediaError
        If a source cannot be used and ``on_error="raise"``.
    ValueError
        If ``mmap_mode`` is given without a cache to hold the file.
    """
    target: Path | None = None
    whole = (len(sources), *shape)
    if mmap_mode is None:
        result: Features = np.empty(whole, dtype=np.float32)
    else:
        if cache is None:
            raise ValueError(
                f"mmap_mode={mmap_mode!r} needs a place for the file; set memory= to a folder"
            )
        target = cache.new_array_file()
        result = np.lib.format.open_memmap(target, mode="w+", dtype=np.float32, shape=whole)
    failures: list[MediaError] = []
    outcomes = _outcomes(extract, prepare, sources, cache, n_jobs)
    bar = tqdm(outcomes, total=len(sources), desc=description, unit="clip", disable=not verbose)
    for row, outcome in enumerate(bar):
        if isinstance(outcome, MediaError):
            if on_error == "raise":
                raise outcome
            failures.append(outcome)
            outcome = None
        result[row] = np.nan if outcome is None else outcome
    if failures:
        warnings.warn(
            f"{len(failures)} of {len(sources)} clips could not be read and are missing (NaN); "
            f"the first is {failures[0]}",
            MissingClipWarning,
            stacklevel=3,
        )
    if target is not None:
        result.flush()  # type: ignore[attr-defined]
        result = np.load(target, mmap_mode=mmap_mode)
    return result

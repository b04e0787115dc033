"""The work on single clips, here, in threads, in processes or on a cluster."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import joblib
import numpy as np

from skavsc._clips._cache import ClipCache, Features
from skavsc.exceptions import MediaError


class Clip(NamedTuple):
    """A clip to be computed."""

    row: int
    source: Any
    #: Its key; None if it is not known or if there is no cache.
    key: str | None
    #: What ``prepare`` made of the source.
    content: Any = None


class Done(NamedTuple):
    """A clip that needs nothing more."""

    row: int
    #: None if it failed or if there is no cache.
    key: str | None
    outcome: Features | MediaError


@dataclass(frozen=True)
class Work:
    """What is done with each clip; the attributes are the parameters of ``map_clips``."""

    extract: Callable[[Any], Features]
    cache: ClipCache | None
    shape: tuple[int, ...]
    on_error: str

    def whole(self, clip: Clip) -> Done:
        """Take a clip from its source to its features."""
        return self.finish(self.begin(lambda source: source, clip))

    def begin(self, prepare: Callable[[Any], Any], clip: Clip) -> Clip | Done:
        """Prepare a clip, unless its key, once it is known, turns out to be in the cache."""
        key = clip.key
        try:
            if self.cache is not None and key is None:
                key = self.cache.key(clip.source)
                features = self.cache.load(key, self.shape)
                if features is not None:
                    return Done(clip.row, key, features)
            return clip._replace(key=key, content=prepare(clip.source))
        except MediaError as error:
            return self._failed(clip, error)

    def finish(self, clip: Clip | Done) -> Done:
        """Compute the features of a prepared clip, and keep them."""
        if isinstance(clip, Done):
            return clip
        try:
            features = self.extract(clip.content)
            if features.shape != self.shape or features.dtype != np.float32:
                raise ValueError(
                    f"the features are {features.dtype} of shape {features.shape} instead of "
                    f"float32 of shape {self.shape}"
                )
            if self.cache is not None and clip.key is not None:
                self.cache.store(clip.source, clip.key, features)
            return Done(clip.row, clip.key, features)
        except MediaError as error:
            return self._failed(clip, error)

    def _failed(self, clip: Clip, error: MediaError) -> Done:
        if self.on_error == "raise":
            raise error
        return Done(clip.row, None, error)


def _run_ahead(
    function: Callable[[Any], Any], items: Iterable[Any], n_threads: int
) -> Generator[Any]:
    """Map in threads, in order, holding at most ``2 * n_threads`` results in memory."""
    waiting: deque[Future[Any]] = deque()
    pool = ThreadPoolExecutor(n_threads)
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= 2 * n_threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        # Who interrupts does not want to wait for the clips that are being read.
        pool.shutdown(wait=False, cancel_futures=True)


def _absolute(clip: Clip) -> Clip:
    # Workers may have been started in another folder.
    if isinstance(clip.source, str | os.PathLike):
        return clip._replace(source=os.path.abspath(clip.source))
    return clip


def computed(
    work: Work,
    prepare: Callable[[Any], Any] | None,
    clips: Iterable[Clip],
    n_jobs: int | None,
) -> Generator[Done]:
    """Compute clips, in any order; the parameters are those of ``map_clips``."""
    if prepare is None:
        # As they are completed, and one by one: results that wait for others, or for the rest
        # of a batch, would pile up in memory.
        parallel = joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered", batch_size=1)
        results = parallel(joblib.delayed(work.whole)(_absolute(clip)) for clip in clips)
        with contextlib.closing(results):
            yield from results
    else:
        n_threads = min(joblib.effective_n_jobs(n_jobs), joblib.cpu_count())
        prepared = _run_ahead(lambda clip: work.begin(prepare, clip), clips, n_threads)
        with contextlib.closing(prepared):
            for clip in prepared:
                yield work.finish(clip)

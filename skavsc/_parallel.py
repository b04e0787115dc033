"""joblib's workers: they end with their parent, which gets their warnings."""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import multiprocessing.pool
import os
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterable
from typing import Any

import sklearn.utils.parallel

from skavsc.exceptions import SkavscWarning

# Pickled, it becomes the error itself, caused by the traceback of the worker.
with_traceback: Any = multiprocessing.pool.ExceptionWithTraceback  # type: ignore[attr-defined]


def delayed(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function whose calls ``Parallel`` runs.

    Parameters
    ----------
    function : callable
        Picklable for workers that are processes.

    Returns
    -------
    callable
        What to give the arguments to.
    """
    caller = os.getpid()

    def call(*args: Any, **kwargs: Any) -> Any:
        return sklearn.utils.parallel.delayed(_run)(caller, function, args, kwargs)

    return call


class Parallel(sklearn.utils.parallel.Parallel):
    """scikit-learn's ``Parallel`` for calls by ``delayed`` of this module.

    Worker processes have scikit-learn's configuration and the warning filters. They end when
    this process is killed, and the warnings of this package that they give are given here, each
    once, after the last result. An error in a worker of the backend ``multiprocessing`` is raised
    once the calls that were dispatched have ended; other backends stop them.
    """

    def __call__(self, iterable: Iterable[Any]) -> Any:
        results = self._results(super().__call__(iterable))
        return results if self.return_generator else list(results)

    def _results(self, outcomes: Any) -> Generator[Any]:
        caught: dict[tuple[type, str], SkavscWarning] = {}
        with contextlib.ExitStack() as stack:
            if self.return_generator:
                stack.enter_context(contextlib.closing(outcomes))
            for result, error, given in outcomes:
                if error is not None:
                    raise error
                caught |= {(type(warning), str(warning)): warning for warning in given}
                yield result
        for warning in caught.values():
            warnings.warn(warning, stacklevel=4)


def _run(
    caller: int, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Any, Exception | None, list[SkavscWarning]]:
    """Return the result of a call, and what the parent process is to raise and to warn of."""
    if os.getpid() == caller:
        return function(*args, **kwargs), None, []
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid == caller and not _is_of_fork_server():
        _exit_with_parent(caller)
    with warnings.catch_warnings(record=True) as caught:
        try:
            result = function(*args, **kwargs)
        except Exception as error:
            # joblib would end the pool amid its work, which then may wait for ever for a worker
            # that is gone. Only workers of such pools are daemons.
            if not multiprocessing.current_process().daemon:
                raise
            return None, with_traceback(error, error.__traceback__), []
    given = []
    for found in caught:
        if isinstance(found.message, SkavscWarning):
            given.append(found.message)
        else:
            warnings.showwarning(found.message, found.category, found.filename, found.lineno)
    return result, None, given


def _is_of_fork_server() -> bool:
    """Return whether a server has forked this process, which is not the child of who asked."""
    kind = getattr(multiprocessing.context, "ForkServerProcess", ())  # not there on Windows
    return isinstance(multiprocessing.current_process(), kind)


@functools.cache
def _exit_with_parent(parent: int) -> None:
    """End this worker process when its parent was killed, maybe before this call.

    Otherwise joblib's workers wait for minutes for more to do.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()

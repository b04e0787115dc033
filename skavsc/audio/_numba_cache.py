"""numba where it finds no folder for its cache, as in a read-only installation without a home."""

from __future__ import annotations

import atexit
import shutil
import tempfile
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numba

from skavsc.exceptions import CacheWarning


def compiled(*fastmath: str) -> Callable[[Callable[..., Any]], Any]:
    """Compile by numba, with the cache on disk where there can be one.

    Parameters
    ----------
    *fastmath : str
        What the compiler may do to floating-point operations, as in ``numba.jit``.

    Returns
    -------
    callable
        A decorator.
    """
    options = {"nogil": True, "error_model": "numpy", "fastmath": set(fastmath)}

    def decorate(function: Callable[..., Any]) -> Any:
        try:
            return numba.njit(cache=True, **options)(function)
        except RuntimeError:
            warnings.warn(
                "numba finds no folder for its cache, so the audio kernels are compiled again in "
                "every process, which takes some seconds; set the environment variable "
                "NUMBA_CACHE_DIR to a folder that can be written",
                CacheWarning,
                # One place for all kernels, so that Python shows it once.
                stacklevel=1,
            )
            return numba.njit(**options)(function)

    return decorate


def import_librosa() -> ModuleType:
    """Import librosa, also where numba finds no folder for its cache.

    Its functions insist on the cache, so that its import would be a RuntimeError there (librosa
    issue 1156). They get a temporary folder, for this process.
    """
    # Imported by those who need it, because it takes about a second.
    import librosa

    try:
        librosa.filters  # noqa: B018 (librosa imports its modules when they are looked up)
    except RuntimeError:
        folder = tempfile.mkdtemp(prefix="numba-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        numba.config.CACHE_DIR = folder
    return librosa

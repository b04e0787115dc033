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


def cached_njit(*fastmath: str) -> Callable[[Callable[..., Any]], Any]:
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

    librosa's compiled functions insist on a cache: importing them raises RuntimeError there. They
    get a temporary folder, for this process.
    """
    # Imported where it is needed, because it takes about a second.
    try:
        import librosa.filters
    except RuntimeError:
        folder = tempfile.mkdtemp(prefix="numba-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        numba.config.CACHE_DIR = folder
        import librosa.filters
    return librosa

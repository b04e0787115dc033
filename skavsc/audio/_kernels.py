"""Compiled inner loops: the gammatone recursion and the sliding median; numba's cache on disk.

Each kernel runs in one thread and releases the global interpreter lock. It is compiled at its
first call on a machine and kept on disk, beside this file or in numba's cache folder; a read-only
installation without a home has neither. ``contract`` lets the compiler fuse a product and a sum,
which rounds once instead of twice; no other reordering is allowed unless stated.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from skavsc.exceptions import CacheWarning

# Bands filtered side by side: one AVX-512 register of float64, or two of AVX2.
LANES = 8
# Rows of the work space of one group of bands: coefficients, energies, filter memory.
_ENERGY = 6
_MEMORY = 9
N_ROWS = 25

# Bytes of a cache line.
_LINE = 64

# Far below anything audible, far above the subnormal numbers that slow a processor down.
_NOTHING = 1e-150

# Rows of the median filters of the harmonic-percussive separation, as in librosa.
MEDIAN_SIZE = 31
# Columns that are sorted side by side.
_COLUMNS = 64


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


def _aligned_zeros(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return zeros that begin on a cache line's boundary.

    Rows that straddle two lines cannot be handed from a store to the next load: 14x slower.
    """
    n_bytes = int(np.prod(shape)) * dtype.itemsize
    buffer = np.zeros(n_bytes + _LINE, dtype=np.uint8)
    start = -buffer.ctypes.data % _LINE
    return buffer[start : start + n_bytes].view(dtype).reshape(shape)


@cached_njit("contract")
def _one_sample(work, memory, lane, before, x):  # type: ignore[no-untyped-def]
    """Pass one sample through the four sections of one band and one channel."""
    b1 = work[4, lane]
    b2 = work[5, lane]
    for section in range(4):
        older = work[memory + 2 * section, lane]
        old = work[memory + 2 * section + 1, lane]
        x = (x + work[section, lane] * before - b2 * older) - b1 * old
        work[memory + 2 * section, lane] = old
        work[memory + 2 * section + 1, lane] = x
        before = old
    return x


@cached_njit("contract")
def _two_samples(work, memory, lane, before, x0, x1):  # type: ignore[no-untyped-def]
    """Pass two samples, so that the filter memory is loaded and stored half as often."""
    b1 = work[4, lane]
    b2 = work[5, lane]
    for section in range(4):
        older = work[memory + 2 * section, lane]
        old = work[memory + 2 * section + 1, lane]
        zero = work[section, lane]
        y0 = (x0 + zero * before - b2 * older) - b1 * old
        y1 = (x1 + zero * x0 - b2 * old) - b1 * y0
        before, x0, x1 = old, y0, y1
        work[memory + 2 * section, lane] = x0
        work[memory + 2 * section + 1, lane] = x1
    return x0, x1


@cached_njit("contract")
def gammatone_energies(signals, groups, block, n_blocks):  # type: ignore[no-untyped-def]
    """Sum the squared band signals of two channels and of their difference over blocks.

    Parameters
    ----------
    signals : ndarray of shape (2, 1 + n_samples), float64
        The channels, after one zero: the sample before the first.
    groups : ndarray of shape (n_groups, N_ROWS, LANES), float64
        The work space. Rows 0 to 3 hold the zeros of the four sections, rows 4 and 5 the poles
        that they share, the others are 0.
    block, n_blocks : int
        The samples of a block and the number of blocks.

    Returns
    -------
    ndarray of shape (3, n_blocks, n_groups * LANES), float64
    """
    energies = np.empty((3, n_blocks, groups.shape[0] * LANES))
    # Known sizes let the compiler see that rows do not overlap, and so vectorise over lanes.
    if groups.shape[1] != N_ROWS or groups.shape[2] != LANES:
        raise ValueError("groups has the wrong shape")
    for group in range(groups.shape[0]):
        work = groups[group]
        for number in range(n_blocks):
            work[_ENERGY:_MEMORY] = 0.0
            start = number * block
            for t in range(start, start + block - 1, 2):
                a, a0, a1 = signals[0, t], signals[0, t + 1], signals[0, t + 2]
                b, b0, b1 = signals[1, t], signals[1, t + 1], signals[1, t + 2]
                for lane in range(LANES):
                    y0, y1 = _two_samples(work, _MEMORY, lane, a, a0, a1)
                    z0, z1 = _two_samples(work, _MEMORY + 8, lane, b, b0, b1)
                    work[_ENERGY, lane] += y0 * y0 + y1 * y1
                    work[_ENERGY + 1, lane] += z0 * z0 + z1 * z1
                    # The filters are linear: this is the filtered difference.
                    work[_ENERGY + 2, lane] += (y0 - z0) ** 2 + (y1 - z1) ** 2
            if block % 2:
                t = start + block - 1
                for lane in range(LANES):
                    y0 = _one_sample(work, _MEMORY, lane, signals[0, t], signals[0, t + 1])
                    z0 = _one_sample(work, _MEMORY + 8, lane, signals[1, t], signals[1, t + 1])
                    work[_ENERGY, lane] += y0 * y0
                    work[_ENERGY + 1, lane] += z0 * z0
                    work[_ENERGY + 2, lane] += (y0 - z0) ** 2
            for lane in range(LANES):
                for row in range(3):
                    energies[row, number, group * LANES + lane] = work[_ENERGY + row, lane]
                # Filters that ring out in digital silence.
                for row in range(_MEMORY, N_ROWS):
                    if abs(work[row, lane]) < _NOTHING:
                        work[row, lane] = 0.0
    return energies


@cached_njit("contract")
def _mirrored(row, n_rows):  # type: ignore[no-untyped-def]
    """Reflect a row number at the edges: ... 1 0 | 0 1 ... n-1 | n-1 n-2 ..."""
    row %= 2 * n_rows
    return row if row < n_rows else 2 * n_rows - 1 - row


@cached_njit("contract")
def _slide(values, window, extra):  # type: ignore[no-untyped-def]
    """Compute ``sliding_median`` in a given work space.

    ``window`` holds a sorted window a column, and a last row for infinity; ``extra`` holds the
    values that leave, those that enter, and those of the rank before.
    """
    # Known sizes again, as in gammatone_energies.
    if window.shape != (MEDIAN_SIZE + 1, _COLUMNS) or extra.shape != (3, _COLUMNS):
        raise ValueError("the work space has the wrong shape")
    n_rows, n_columns = values.shape
    half = MEDIAN_SIZE // 2
    medians = np.empty_like(values)
    for first in range(0, n_columns, _COLUMNS):
        lanes = min(_COLUMNS, n_columns - first)
        window[:] = np.inf
        extra[:] = np.inf
        for row in range(-half, n_rows + half):
            leaving = _mirrored(row - MEDIAN_SIZE, n_rows)
            entering = _mirrored(row, n_rows)
            for lane in range(lanes):
                if row > half:
                    extra[0, lane] = values[leaving, first + lane]
                extra[1, lane] = values[entering, first + lane]
            extra[2] = -np.inf
            for rank in range(MEDIAN_SIZE):
                for lane in range(_COLUMNS):
                    # Without the old value, a rank is held by this row or the next; with the
                    # new one, by that, by the rank before or by the new value.
                    old, new, before = extra[0, lane], extra[1, lane], extra[2, lane]
                    here = window[rank, lane]
                    here = here if here < old else window[rank + 1, lane]
                    smaller = new if new < here else here
                    window[rank, lane] = smaller if smaller > before else before
                    extra[2, lane] = here
            if row >= half:
                for lane in range(lanes):
                    medians[row - half, first + lane] = window[half, lane]
    return medians


def sliding_median(values: NDArray[Any]) -> NDArray[Any]:
    """Compute the median of the ``MEDIAN_SIZE`` rows around each row, mirrored at both ends.

    Parameters
    ----------
    values : ndarray of shape (n_rows, n_columns)
        Without NaN.

    Returns
    -------
    ndarray of shape (n_rows, n_columns)
    """
    window = _aligned_zeros((MEDIAN_SIZE + 1, _COLUMNS), values.dtype)
    return np.asarray(_slide(values, window, _aligned_zeros((3, _COLUMNS), values.dtype)))


@cached_njit("contract")
def pack_windows(pair, window, hop, first, packed):  # type: ignore[no-untyped-def]
    """Write windows of two signals as real and imaginary parts, for one Fourier transform.

    Parameters
    ----------
    pair : ndarray of shape (2, n_samples)
        The signals.
    window : ndarray of shape (n_window,), float64
        The window.
    hop, first : int
        The samples between the beginnings of two windows, and the number of the first one.
    packed : ndarray of shape (n_windows, 2 * n_fft), float64
        Where they are written to, followed by zeros.
    """
    for row in range(packed.shape[0]):
        start = (first + row) * hop
        for t in range(window.size):
            packed[row, 2 * t] = pair[0, start + t] * window[t]
            packed[row, 2 * t + 1] = pair[1, start + t] * window[t]
        packed[row, 2 * window.size :] = 0.0


@cached_njit("contract", "reassoc")
def triangle_powers(packed, weights, bounds):  # type: ignore[no-untyped-def]
    """Weight the power spectra of two signals and of their difference with triangles.

    ``reassoc`` lets the sums vectorise.

    Parameters
    ----------
    packed : ndarray of shape (n_windows, 2 * n_fft), float64
        The transforms of one signal plus i times another, real and imaginary parts in turn.
    weights : ndarray of shape (n_bands, n_fft // 2 + 1), float64
        The weight of each bin.
    bounds : ndarray of shape (n_bands, 2), int64
        The first bin of each band and the one after its last.

    Returns
    -------
    ndarray of shape (3, n_windows, n_bands), float64
    """
    n_windows, n_values = packed.shape
    n_bands, n_bins = weights.shape
    powers = np.empty((3, n_windows, n_bands))
    bins = np.empty((3, n_bins))
    for row in range(n_windows):
        both = packed[row]
        for k in range(n_bins):
            # The spectrum of a real signal is its own mirrored conjugate: that tells the two
            # signals apart. Twice each spectrum is found here.
            mirror = n_values - 2 * k if k else 0
            left = both[2 * k] + both[mirror], both[2 * k + 1] - both[mirror + 1]
            right = both[2 * k + 1] + both[mirror + 1], both[mirror] - both[2 * k]
            bins[0, k] = 0.25 * (left[0] ** 2 + left[1] ** 2)
            bins[1, k] = 0.25 * (right[0] ** 2 + right[1] ** 2)
            bins[2, k] = 0.25 * ((left[0] - right[0]) ** 2 + (left[1] - right[1]) ** 2)
        for band in range(n_bands):
            first = second = difference = 0.0
            for k in range(bounds[band, 0], bounds[band, 1]):
                weight = weights[band, k]
                first += weight * bins[0, k]
                second += weight * bins[1, k]
                difference += weight * bins[2, k]
            powers[0, row, band] = first
            powers[1, row, band] = second
            powers[2, row, band] = difference
    return powers


def group_bands(sections: NDArray[np.float64]) -> NDArray[np.float64]:
    """Arrange coefficients of shape (6, n_bands) as the work space of ``gammatone_energies``."""
    n_bands = sections.shape[1]
    groups = _aligned_zeros((-(-n_bands // LANES), N_ROWS, LANES), np.dtype(np.float64))
    for group, work in enumerate(groups):
        part = sections[:, group * LANES : (group + 1) * LANES]
        work[: part.shape[0], : part.shape[1]] = part
    return groups

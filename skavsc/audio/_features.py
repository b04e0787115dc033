"""The features of one clip: the function that joblib's workers run, and its spectra."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from skavsc.audio._filterbanks import FILTERBANKS, gammatone_powers, gammatone_sections
from skavsc.audio._kernels import pack_windows, sliding_median, triangle_powers
from skavsc.audio._waveforms import clip_waveform

Array = NDArray[Any]
Floats = NDArray[np.float64]
Spectra = NDArray[np.complex128]

# Raised whenever values may change, so that features cached before are computed again.
FEATURE_VERSION = 3

CHANNELS = {
    "lrd": ("left", "right", "left - right"),
    "hpd": ("harmonic", "percussive", "left - right"),
    "mono": ("mono",),
    "stereo": ("left", "right"),
}

# The smallest mel power, as in librosa.power_to_db.
_SILENCE = 1e-10

# Windows are transformed in blocks that stay in the second-level cache.
_BLOCK = 32


@dataclass(frozen=True)
class SoundFeatures:
    """The features of one source; the parameters are those of ``GammatoneMelTransformer``.

    ``window``, ``hop`` and ``n_samples`` (a clip's length) are in samples here, and ``f_max``
    and ``floor_db`` are numbers.
    """

    filterbank: str
    channels: str
    sample_rate: int
    n_samples: int
    n_bands: int
    window: int
    hop: int
    f_min: float
    f_max: float
    floor_db: float

    @property
    def n_frames(self) -> int:
        """Number of time frames of a clip of full length."""
        return self._frames_in(self.n_samples)

    def _frames_in(self, n_samples: int) -> int:
        return int(n_samples / self.hop + 0.5)

    def parameters(self) -> dict[str, Any]:
        """Return the parameters that the values depend on."""
        return asdict(self)

    def __call__(self, source: Any) -> Array:
        """Compute the features, (n_bands, n_frames, n_channels), float32."""
        waveform = clip_waveform(source, self.sample_rate, self.n_samples, self.window)
        n_samples = waveform.shape[1]
        signals = self._signals(waveform)
        names = CHANNELS[self.channels]
        if FILTERBANKS[self.filterbank].triangles is None:
            decibels = self._absolute(self._gammatone(signals)[: len(names)])
        else:
            decibels = self._relative(self._triangles(signals)[: len(names)])
        features = np.full((self.n_bands, self.n_frames, len(names)), np.nan, np.float32)
        n_present = min(self._frames_in(n_samples), self.n_frames)
        # At the end, where no whole window fits, the last one is repeated.
        windows = np.minimum(np.arange(n_present), decibels.shape[1] - 1)
        features[:, :n_present] = decibels[:, windows].transpose(2, 1, 0)
        return features

    def _signals(self, waveform: Array) -> Array:
        """Mix the two signals that the channels are computed from."""
        left, right = waveform[0], waveform[min(1, len(waveform) - 1)]
        if self.channels in {"lrd", "stereo"}:
            return np.stack([left, right])
        mono = np.add(left, right, dtype=np.float64) / 2
        if self.channels == "mono":
            return np.stack([mono, np.zeros_like(mono)])
        return np.stack([mono, np.subtract(left, right, dtype=np.float64)])

    def _gammatone(self, signals: Array) -> Array:
        """Compute the powers of the gammatone bands, (n_channels, n_windows, n_bands)."""
        filters = gammatone_sections(self.sample_rate, self.n_bands, self.f_min, self.f_max)
        size = self.window, self.hop
        if self.channels != "hpd":
            return gammatone_powers(signals, *size, *filters)
        blocks = packed_spectra(centred(signals, *size), *size, fft_size(self.window))
        mono, _ = unpack(np.concatenate(list(blocks)))
        n_samples = signals.shape[1]
        parts = np.stack([signal_from(p, *size, n_samples) for p in harmonic_percussive(mono)])
        separated = gammatone_powers(parts, *size, *filters)
        return np.concatenate([separated[:2], gammatone_powers(signals[1:], *size, *filters)[:1]])

    def _triangles(self, signals: Array) -> Array:
        """Compute the powers of bands of the spectrum, (n_channels, n_windows, n_bands)."""
        n_fft = fft_size(self.window)
        signals = centred(signals, self.window, self.hop)
        blocks: Iterable[Spectra] = packed_spectra(signals, self.window, self.hop, n_fft)
        if self.channels == "hpd":
            packed = np.concatenate(list(blocks))
            mono, _ = unpack(packed)
            separated = self._triangle_powers([pack(*harmonic_percussive(mono))], n_fft)
            return np.concatenate([separated[:2], self._triangle_powers([packed], n_fft)[1:2]])
        return self._triangle_powers(blocks, n_fft)

    def _triangle_powers(self, blocks: Iterable[Spectra], n_fft: int) -> Array:
        """Weight packed spectra: two signals and their difference, (3, n_windows, n_bands)."""
        triangles = FILTERBANKS[self.filterbank].triangles
        assert triangles is not None
        bank = triangles(self.sample_rate, n_fft, self.n_bands, self.f_min, self.f_max)
        powers = [triangle_powers(block.view(np.float64), *bank) for block in blocks]
        return np.concatenate(powers, axis=1)

    def _absolute(self, power: NDArray[Any]) -> NDArray[Any]:
        with np.errstate(divide="ignore"):
            return np.maximum(10 * np.log10(power), self.floor_db)

    def _relative(self, power: Array) -> Array:
        """Convert to dB below each channel's largest value; a silent channel is at the floor."""
        largest = power.max(axis=(1, 2), keepdims=True)
        power = np.maximum(power, _SILENCE)
        decibels = 10 * np.log10(power / np.maximum(largest, _SILENCE))
        decibels[largest[:, 0, 0] <= _SILENCE] = self.floor_db
        return np.asarray(np.maximum(decibels, self.floor_db))


@lru_cache(maxsize=8)
def hann(size: int) -> Floats:
    """Return the periodic Hann window."""
    # Importing it takes as long as the gammatone features of ten seconds, which need no window.
    from scipy.signal import get_window

    return np.asarray(get_window("hann", size))


def fft_size(n_samples: int) -> int:
    """Return the smallest power of two that is not less: 2048 for 1764 samples."""
    return 1 << (n_samples - 1).bit_length()


def centred(signals: Floats, window: int, hop: int) -> Floats:
    """Pad signals with zeros, so that window i is centred on sample ``i * hop``.

    This is librosa's ``center=True``: there are ``1 + n_samples // hop`` windows.
    """
    left = window // 2
    right = hop * (signals.shape[1] // hop) + window - left - signals.shape[1]
    return np.pad(signals, ((0, 0), (left, max(right, 0))))


def packed_spectra(pair: Floats, window: int, hop: int, n_fft: int) -> Iterator[Spectra]:
    """Compute the spectra of every whole window of two signals, in blocks of windows.

    Parameters
    ----------
    pair : ndarray of shape (2, n_samples)
        The signals.
    window, hop, n_fft : int
        The samples of a Hann window, between the beginnings of two windows, and of the Fourier
        transform, which is at least as long as the window and filled up with zeros.

    Yields
    ------
    ndarray of shape (n_windows, n_fft), complex128
        The transforms of the first signal plus i times the second.
    """
    n_windows = 1 + (pair.shape[1] - window) // hop
    for first in range(0, n_windows, _BLOCK):
        packed = np.empty((min(_BLOCK, n_windows - first), n_fft), dtype=np.complex128)
        pack_windows(pair, hann(window), hop, first, packed.view(np.float64))
        yield scipy.fft.fft(packed, overwrite_x=True)


def unpack(packed: Spectra) -> tuple[Spectra, Spectra]:
    """Return the spectra, (n_windows, n_fft // 2 + 1), of the two signals."""
    n_fft = packed.shape[1]
    n_bins = n_fft // 2 + 1
    # The spectrum of a real signal is its own mirrored conjugate: that tells them apart.
    mirror = np.empty((len(packed), n_bins), dtype=packed.dtype)
    mirror[:, 0] = packed[:, 0]
    mirror[:, 1:] = packed[:, : n_fft - n_bins : -1]
    np.conjugate(mirror, out=mirror)
    return (packed[:, :n_bins] + mirror) * 0.5, (packed[:, :n_bins] - mirror) * -0.5j


def pack(first: Spectra, second: Spectra) -> Spectra:
    """Invert ``unpack``; overwrites the first spectra."""
    turned = second * 1j
    n_bins = first.shape[1]
    packed = np.empty((len(first), 2 * n_bins - 2), dtype=first.dtype)
    np.add(first, turned, out=packed[:, :n_bins])
    np.subtract(first, turned, out=first)
    np.conjugate(first[:, -2:0:-1], out=packed[:, n_bins:])
    return packed


def signal_from(spectrum: Spectra, window: int, hop: int, n_samples: int) -> Floats:
    """Invert the centred spectra (n_windows, n_bins) in the least-squares sense."""
    frames = scipy.fft.irfft(spectrum)[:, :window] * hann(window)
    total = np.zeros(max(hop * (len(frames) - 1) + window, window // 2 + n_samples))
    weight = np.zeros_like(total)
    for number, frame in enumerate(frames):
        place = slice(number * hop, number * hop + window)
        total[place] += frame
        weight[place] += np.square(hann(window))
    covered = weight > np.finfo(np.float32).tiny
    total[covered] /= weight[covered]
    return total[window // 2 :][:n_samples]


def harmonic_percussive(spectrum: Spectra) -> tuple[Spectra, Spectra]:
    """Separate a spectrum of shape (n_windows, n_bins) by median filters.

    The masks are soft (power 2), with filters of 31 windows and 31 bins, and add up to 1.
    Equal to ``librosa.decompose.hpss`` with its defaults.

    References
    ----------
    .. [1] D. Fitzgerald, "Harmonic/percussive separation using median filtering", Proc. 13th
       Int. Conf. on Digital Audio Effects, Graz, 2010.
    """
    magnitudes = np.abs(spectrum)
    harmonic = sliding_median(magnitudes)
    percussive = sliding_median(np.ascontiguousarray(magnitudes.T)).T
    larger = np.maximum(harmonic, percussive)
    silent = larger < np.finfo(larger.dtype).tiny
    larger[silent] = 1.0
    # Scaled, because squares of small numbers vanish.
    harmonic = np.square(harmonic / larger)
    percussive = np.square(percussive / larger)
    total = harmonic + percussive
    total[silent] = 1.0
    harmonic /= total
    percussive /= total
    harmonic[silent] = percussive[silent] = 0.5
    return spectrum * harmonic, spectrum * percussive

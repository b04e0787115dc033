"""The features of one clip: the function that joblib's workers run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skavsc.audio._filterbanks import FILTERBANKS, gammatone_powers, gammatone_sections
from skavsc.audio._kernels import triangle_powers
from skavsc.audio._spectra import (
    Spectra,
    centred,
    fft_size,
    harmonic_percussive,
    pack,
    packed_spectra,
    signal_from,
    unpack,
)
from skavsc.audio._waveforms import clip_waveform

Array = NDArray[Any]

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

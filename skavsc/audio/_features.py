"""From one clip to its features: the function that joblib's workers run."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skavsc.audio._filterbanks import gammatone_sections, gammatone_weights, mel_triangles
from skavsc.audio._filtering import filtered_power
from skavsc.audio._kernels import triangle_powers
from skavsc.audio._spectra import (
    centred,
    fft_size,
    hann,
    harmonic_percussive,
    pack,
    packed_spectra,
    signal_from,
    unpack,
)
from skavsc.audio._waveforms import as_waveform
from skavsc.exceptions import MediaError
from skavsc.media import read_sound

Array = NDArray[Any]

# Raised whenever values change, so that features cached before are computed again.
FEATURE_VERSION = 1

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
    method: str
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
        """The frames of a clip of full length."""
        return self._frames_in(self.n_samples)

    def _frames_in(self, n_samples: int) -> int:
        return int(n_samples / self.hop + 0.5)

    def parameters(self) -> dict[str, Any]:
        """Give the parameters that the values depend on."""
        used = asdict(self)
        if self.filterbank == "mel":
            del used["method"]
        return used

    def __call__(self, source: Any) -> Array:
        """Give the features, (n_bands, n_frames, n_channels)."""
        if isinstance(source, str | os.PathLike):
            name = os.fspath(source)
            duration = self.n_samples / self.sample_rate
            waveform, _ = read_sound(source, sample_rate=self.sample_rate, duration=duration)
        else:
            waveform, name = as_waveform(source, self.sample_rate)
        waveform = waveform[:, : self.n_samples]
        n_samples = waveform.shape[1]
        if n_samples < self.window:
            raise MediaError(
                name,
                "read sound",
                f"its {n_samples} samples at {self.sample_rate} Hz are less than one window "
                f"of {self.window}",
            )
        signals = self._signals(waveform)
        names = CHANNELS[self.channels]
        if self.filterbank == "mel":
            decibels = self._relative(self._spectral(signals)[: len(names)])
        elif self.method == "fft":
            decibels = self._absolute(self._spectral(signals)[: len(names)])
        else:
            decibels = self._absolute(self._filtered(signals)[: len(names)])
        features = np.full((self.n_bands, self.n_frames, len(names)), np.nan, np.float32)
        n_present = min(self._frames_in(n_samples), self.n_frames)
        # The last window that fits stands for those that do not.
        windows = np.minimum(np.arange(n_present), decibels.shape[1] - 1)
        features[:, :n_present] = decibels[:, windows].transpose(2, 1, 0)
        return features

    def _signals(self, waveform: Array) -> Array:
        """Mix the two signals that the channels are made of."""
        left, right = waveform[0], waveform[min(1, len(waveform) - 1)]
        if self.channels in {"lrd", "stereo"}:
            return np.stack([left, right])
        mono = np.add(left, right, dtype=np.float64) / 2
        if self.channels == "mono":
            return np.stack([mono, np.zeros_like(mono)])
        return np.stack([mono, np.subtract(left, right, dtype=np.float64)])

    def _filtered(self, signals: Array) -> Array:
        """Give the mean squares of the band signals, (n_channels, n_windows, n_bands)."""
        filters = gammatone_sections(self.sample_rate, self.n_bands, self.f_min, self.f_max)
        size = self.window, self.hop
        if self.channels != "hpd":
            return filtered_power(signals, *size, *filters)
        blocks = packed_spectra(centred(signals, *size), *size, fft_size(self.window))
        mono, _ = unpack(np.concatenate(list(blocks)))
        n_samples = signals.shape[1]
        parts = np.stack([signal_from(p, *size, n_samples) for p in harmonic_percussive(mono)])
        separated = filtered_power(parts, *size, *filters)
        return np.concatenate([separated[:2], filtered_power(signals[1:], *size, *filters)[:1]])

    def _spectral(self, signals: Array) -> Array:
        """Give the powers of the bands of short-time spectra, (n_channels, n_windows, n_bands)."""
        if self.filterbank == "mel":
            n_fft = fft_size(self.window)
            signals = centred(signals, self.window, self.hop)
        else:
            # Twice the window, because the lowest bands are narrower than a bin of one.
            n_fft = fft_size(2 * self.window)
        blocks = packed_spectra(signals, self.window, self.hop, n_fft)
        if self.channels == "hpd":
            packed = np.concatenate(list(blocks))
            mono, _ = unpack(packed)
            separated = self._band_powers([pack(*harmonic_percussive(mono))], n_fft)
            return np.concatenate([separated[:2], self._band_powers([packed], n_fft)[1:2]])
        return self._band_powers(blocks, n_fft)

    def _band_powers(self, blocks: Iterable[NDArray[np.complex128]], n_fft: int) -> Array:
        """Weight packed spectra: two signals and their difference, (3, n_windows, n_bands)."""
        bank = (self.sample_rate, n_fft, self.n_bands, self.f_min, self.f_max)
        if self.filterbank == "mel":
            triangles = mel_triangles(*bank)
            powers = [triangle_powers(block.view(np.float64), *triangles) for block in blocks]
            return np.concatenate(powers, axis=1)
        # By Parseval, the mean square; a bin stands for itself and its mirror image.
        weights = gammatone_weights(*bank).T
        weights = weights * (2 / (n_fft * float(np.square(hann(self.window)).sum())))
        powers = []
        for block in blocks:
            first, second = unpack(block)
            spectra = np.stack([first, second, first - second])
            powers.append(np.square(np.abs(spectra)) @ weights)
        return np.concatenate(powers, axis=1)

    def _absolute(self, power: NDArray[Any]) -> NDArray[Any]:
        with np.errstate(divide="ignore"):
            return np.maximum(10 * np.log10(power), self.floor_db)

    def _relative(self, power: Array) -> Array:
        """Give dB below each channel's largest value; a silent channel is at the floor."""
        largest = power.max(axis=(1, 2), keepdims=True)
        power = np.maximum(power, _SILENCE)
        decibels = 10 * np.log10(power / np.maximum(largest, _SILENCE))
        decibels[largest[:, 0, 0] <= _SILENCE] = self.floor_db
        return np.asarray(np.maximum(decibels, self.floor_db))

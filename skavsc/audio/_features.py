"""From one clip to its features: the function that joblib's workers run."""

from __future__ import annotations

import os
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
    signal_from,
    spectra,
)
from skavsc.audio._waveforms import as_waveform
from skavsc.exceptions import MediaError
from skavsc.media import read_sound

Array = NDArray[np.floating[Any]]

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
        if self.filterbank == "mel":
            decibels = self._relative(self._spectral(signals))
        elif self.method == "fft":
            decibels = self._absolute(self._spectral(signals))
        else:
            decibels = self._absolute(self._filtered(signals))
        features = np.full((self.n_bands, self.n_frames, len(decibels)), np.nan, np.float32)
        n_present = min(self._frames_in(n_samples), self.n_frames)
        # The last window that fits stands for those that do not.
        windows = np.minimum(np.arange(n_present), decibels.shape[1] - 1)
        features[:, :n_present] = decibels[:, windows].transpose(2, 1, 0)
        return features

    def _signals(self, waveform: Array) -> Array:
        """Mix the signals that the channels are made of."""
        left, right = waveform[0], waveform[min(1, len(waveform) - 1)]
        mono, difference = (left + right) / 2, left - right
        return np.stack(
            {
                "lrd": (left, right, difference),
                "hpd": (mono, difference),
                "mono": (mono,),
                "stereo": (left, right),
            }[self.channels]
        )

    def _filtered(self, signals: Array) -> Array:
        """Give the mean squares of the band signals, (n_channels, n_windows, n_bands)."""
        filters = gammatone_sections(self.sample_rate, self.n_bands, self.f_min, self.f_max)
        size = self.window, self.hop
        if self.channels != "hpd":
            return filtered_power(signals[:2], *size, *filters)[: len(CHANNELS[self.channels])]
        mono, difference = signals
        blocks = spectra(centred(mono[None], *size), *size, fft_size(self.window))
        [spectrum] = np.concatenate(list(blocks), axis=1)
        parts = [signal_from(p, *size, len(mono)) for p in harmonic_percussive(spectrum)]
        separated = filtered_power(np.stack(parts), *size, *filters)[:2]
        return np.concatenate([separated, filtered_power(difference[None], *size, *filters)[:1]])

    def _spectral(self, signals: Array) -> Array:
        """Give the powers of the bands of short-time spectra, (n_channels, n_windows, n_bands)."""
        bank = (self.n_bands, self.f_min, self.f_max)
        if self.filterbank == "mel":
            n_fft = fft_size(self.window)
            signals = centred(signals, self.window, self.hop)
        else:
            # Twice the window, because the lowest bands are narrower than a bin of one.
            n_fft = fft_size(2 * self.window)
        blocks = spectra(signals, self.window, self.hop, n_fft)
        if self.channels == "hpd":
            mono, difference = np.concatenate(list(blocks), axis=1)
            blocks = iter([np.stack([*harmonic_percussive(mono), difference])])
        if self.filterbank == "mel":
            triangles = mel_triangles(self.sample_rate, n_fft, *bank)
            powers = [triangle_powers(part.view(np.float32), *triangles) for part in blocks]
        else:
            weights = gammatone_weights(self.sample_rate, n_fft, *bank).T
            # By Parseval, the mean square; a bin stands for itself and its mirror image.
            scale = 2 / (n_fft * float(np.square(hann(self.window)).sum()))
            powers = [np.square(np.abs(part)) @ weights * scale for part in blocks]
        return np.concatenate(powers, axis=1)

    def _absolute(self, power: NDArray[Any]) -> NDArray[Any]:
        with np.errstate(divide="ignore"):
            return np.maximum(10 * np.log10(power), self.floor_db)

    def _relative(self, power: Array) -> Array:
        """Give dB below each channel's largest value; a silent channel is at the floor."""
        largest = power.max(axis=(1, 2), keepdims=True)
        power = np.maximum(power, np.float32(_SILENCE))
        decibels = 10 * np.log10(power / np.maximum(largest, _SILENCE))
        decibels[largest[:, 0, 0] <= _SILENCE] = self.floor_db
        return np.asarray(np.maximum(decibels, self.floor_db))

"""Samples on a clock: what of a sound track is asked for, and silence where there is none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skavsc.media._channels import Waveform
from skavsc.media._file import UnusableError

_RATES = (1_000, 1_000_000)
# A gap begins where a time stamp jumps by more than _JUMP seconds, or lags by _LAG; it is taken
# back where stamps within the next _LAG seconds overlap by more than _ROUNDING.
_JUMP = 0.01
_LAG = 0.1
_ROUNDING = 0.001
# Read a little further than asked, so that cutting and resampling commute.
_MARGIN = 0.1


@dataclass
class SoundInfo:
    """What is known of a sound track once its first samples are read."""

    rate: int = 0
    names: tuple[str, ...] = ()
    #: Whether all that was asked for was read.
    complete: bool = False


@dataclass(frozen=True)
class Limits:
    """How much of a file to read, and what it may hold."""

    duration: float | None
    max_samples_per_second: float
    max_gap: float

    def check_rate(self, rate: int, n_channels: int) -> None:
        if not _RATES[0] <= rate <= _RATES[1]:
            raise UnusableError(
                f"the header gives a sampling rate of {rate} Hz, outside {_RATES[0]} to {_RATES[1]}"
            )
        if rate * n_channels > self.max_samples_per_second:
            raise UnusableError(
                f"{n_channels} channels at {rate} Hz exceed "
                f"max_samples_per_second={self.max_samples_per_second:g}; raise it if they are real"
            )

    def n_samples(self, rate: int) -> float:
        return np.inf if self.duration is None else round((self.duration + _MARGIN) * rate)


class Track:
    """Samples placed on a clock, with silence where there are none."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._parts: list[Waveform] = []
        self._begun = False
        #: Number of samples until now.
        self.position = 0
        self._gap = 0
        # The last silence: its index among the parts, and where it ends.
        self._silence: tuple[int, int] | None = None

    def add(self, start: int | None, samples: Waveform, rate: int) -> bool:
        """Add samples that begin at a position; return whether there are enough."""
        gap = 0 if start is None else start - self.position
        if not self._begun and gap < 0:
            samples = samples[:, -gap:]  # the run-in of the codec, before time 0
            gap = 0
        elif gap > 0 and (not self._begun or gap - self._gap > _JUMP * rate or gap > _LAG * rate):
            gap = self._fill(gap, len(samples), rate)
        elif gap < -_ROUNDING * rate and self._silence is not None:
            gap += self._take_back(-gap, rate)
        self._gap = gap
        if samples.size:
            self._parts.append(samples)
            self._begun = True
            self.position += samples.shape[1]
        return self.position >= self._limits.n_samples(rate)

    def _fill(self, gap: int, n_channels: int, rate: int) -> int:
        if gap > self._limits.max_gap * rate:
            raise UnusableError(
                f"the time stamps leave out {gap / rate:.0f} s, more than "
                f"max_gap={self._limits.max_gap:g} s"
            )
        # No more than what is asked for.
        gap = int(min(gap, max(self._limits.n_samples(rate) - self.position, 0)))
        self._parts.append(np.zeros((n_channels, gap), dtype=np.float32))
        self._begun = True
        self.position += gap
        self._silence = len(self._parts) - 1, self.position
        return 0

    def _take_back(self, overlap: int, rate: int) -> int:
        """Shorten a silence that the time stamps after it do not confirm."""
        assert self._silence is not None
        index, end = self._silence
        if self.position - end > _LAG * rate:
            self._silence = None
            return 0
        excess = min(overlap, self._parts[index].shape[1])
        self._parts[index] = self._parts[index][:, excess:]
        self.position -= excess
        return excess

    def settled(self, rate: int) -> list[Waveform]:
        """Return the parts that later time stamps do not change, and drop them."""
        index = len(self._parts)
        if self._silence is not None and self.position - self._silence[1] <= _LAG * rate:
            index, end = self._silence
            self._silence = 0, end
        settled, self._parts = self._parts[:index], self._parts[index:]
        return settled

    def rest(self) -> list[Waveform]:
        """Return all parts that are left."""
        if not self._begun:
            raise UnusableError("the sound track holds no samples")
        return self._parts

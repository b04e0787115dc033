"""Windows of sound, and their embeddings by a frozen network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skavsc.audio._waveforms import clip_waveform
from skavsc.exceptions import ModelError
from skavsc.pretrained import FrozenNetwork

Windows = NDArray[np.float32]


@dataclass(frozen=True)
class SoundWindows:
    """Read one source and cut it into windows; lengths are in samples."""

    sample_rate: int
    n_samples: int
    window: int
    hop: int
    level: float | None

    def __call__(self, source: Any) -> Windows:
        """Return the windows around the steps of a clip, (n_steps, window), float32."""
        waveform = clip_waveform(source, self.sample_rate, self.n_samples, self.window)
        mono = waveform.mean(axis=0, dtype=np.float32)
        if self.level is not None:
            power = float(np.mean(np.square(mono, dtype=np.float64)))
            if power > 0:
                # Full scale bounds what a network has seen in its training.
                gain = 10 ** (self.level / 20) / np.sqrt(power)
                mono = np.clip(mono * np.float32(gain), -1, 1)
        n_steps = int(len(mono) / self.hop + 0.5)
        # Each window is centred on its step, and moved inside the clip at both ends.
        starts = np.arange(n_steps) * self.hop + (self.hop - self.window) // 2
        starts = np.clip(starts, 0, len(mono) - self.window)
        return np.ascontiguousarray(
            np.lib.stride_tricks.sliding_window_view(mono, self.window)[starts]
        )


@dataclass(frozen=True)
class SoundEmbedding:
    """The embeddings of one clip: what joblib's workers run."""

    windows: SoundWindows
    network: FrozenNetwork
    output: str
    front_end: Any
    n_steps: int
    n_features: int

    def __call__(self, source: Any) -> NDArray[np.float32]:
        """Return the embeddings of a source, (n_steps, n_features), float32."""
        return self.embed(self.windows(source))

    def embed(self, windows: Windows) -> NDArray[np.float32]:
        """Return the embeddings of windows, NaN in the steps after them."""
        features = np.full((self.n_steps, self.n_features), np.nan, dtype=np.float32)
        found = embeddings(self.network, self.output, windows, self.front_end)
        if not np.isfinite(found).all():
            loudest = 20 * np.log10(max(float(np.abs(windows).max()), 1e-10))
            raise ModelError(
                f"{self.network.name} gives NaN or infinite values for sound that peaks at "
                f"{loudest:.0f} dBFS; very quiet sound may be the cause: set level=-20"
            )
        n_present = min(len(found), self.n_steps)
        features[:n_present] = found[:n_present]
        return features


def embeddings(
    network: FrozenNetwork, output: str, windows: Windows, front_end: Any
) -> NDArray[np.float32]:
    """Run a network on windows of sound, (n_windows, n_features)."""
    examples = windows if front_end is None else np.asarray(front_end.transform(windows))
    n_axes = examples.ndim - 1
    if front_end is not None:
        # Axes of length 1, such as one channel, may be there or not.
        shape = [size for size in network.input.shape[1:] if size != 1]
        squeezed = examples.reshape(len(examples), *(s for s in examples.shape[1:] if s != 1))
        if len(shape) == squeezed.ndim - 1 and len(network.input.shape) > n_axes:
            examples = squeezed.reshape(
                len(examples), *_with_ones(network.input.shape[1:], squeezed.shape[1:])
            )
    found = network(examples, output)
    return found.reshape(len(found), -1)


def _with_ones(takes: tuple[int | None, ...], given: tuple[int, ...]) -> list[int]:
    """Return the lengths of the axes given, with 1 where the network wants an axis of 1."""
    rest = iter(given)
    return [1 if size == 1 else next(rest) for size in takes]

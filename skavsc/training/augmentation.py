"""Random changes of the segments that a network is trained on.

A classifier applies the objects in its list ``augmentation`` to every batch, in their order. One
that is not here derives from `Augmentation` and needs no change anywhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np

from skavsc._sklearn_compat import Interval, StrOptions
from skavsc.training._augmentation import (
    Augmentation,
    Batch,
    each,
    mix,
    mix_power,
    runs,
    scale_blocks,
)

__all__ = [
    "Augmentation",
    "Batch",
    "Brightness",
    "FilterAugment",
    "HorizontalFlip",
    "Mixup",
    "ModalityDropout",
    "SpecAugment",
]

#: Where the gain of a random filter is drawn, from the lowest band to the highest.
N_KNOTS = 5


class Mixup(Augmentation):
    """Mix each example with another one of its batch, inputs, targets and weights alike.

    Parameters
    ----------
    alpha : float, default=0.4
        Parameter of the beta distribution that the share of each example is drawn from, at
        least 0; 0 turns mixup off.
    domain : {"decibels", "power"}, default="decibels"
        How sound is mixed: ``"decibels"``, the features, scaled to [-1, 1] as the network does,
        as published; ``"power"``, as two sounds of equal loudness that are heard at once
        (between-class learning), for features in dB.

    References
    ----------
    Zhang et al.: mixup: beyond empirical risk minimization. ICLR 2018, arXiv 1710.09412.
    Tokozume, Ushiku and Harada: Learning from between-class examples for deep sound recognition.
    ICLR 2018, arXiv 1711.10282.

    Examples
    --------
    >>> from skavsc.classifiers import AudioSceneClassifier
    >>> classifier = AudioSceneClassifier(augmentation=[Mixup(alpha=0.2)])
    >>> classifier.set_params(augmentation__mixup__domain="power")
    AudioSceneClassifier(augmentation=[Mixup(alpha=0.2, domain='power')])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "alpha": [Interval(Real, 0, None, closed="left")],
        "domain": [StrOptions({"decibels", "power"})],
    }

    def __init__(self, alpha: float = 0.4, *, domain: str = "decibels") -> None:
        self.alpha = alpha
        self.domain = domain

    def __call__(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """Return the mixed batch."""
        if self.alpha == 0:
            return batch
        n_examples = len(batch.targets)
        share = rng.beta(self.alpha, self.alpha, size=n_examples)
        partners = rng.permutation(n_examples)
        mixed = {}
        for name, values in batch.inputs.items():
            if name == "audio" and self.domain == "power":
                mixed[name] = mix_power(values, partners, share)
            elif name == "audio":
                # The network scales each segment first of all. If clips were mixed before that, the
                # quieter one would hardly count.
                mixed[name] = mix(scale_blocks(values), partners, share)
            else:
                mixed[name] = mix(values, partners, share)
        weights = None if batch.weights is None else mix(batch.weights, partners, share)
        return Batch(mixed, mix(batch.targets, partners, share), weights)


class SpecAugment(Augmentation):
    """Mask a run of time frames and a run of bands of each segment of sound.

    What is masked gets the mean of the segment and channel. That value moves with the gain, so
    that it does not matter whether the network's scaling to [-1, 1] comes before or after; and a
    channel that is constant, as the difference of a mono recording, stays so.

    Parameters
    ----------
    time_mask : int, default=10
        Maximum number of time frames masked, at least 0 and fewer than ``segment_frames``. How
        many, and where, is random.
    frequency_mask : int, default=12
        Maximum number of bands masked, likewise, fewer than there are.

    References
    ----------
    Park et al.: SpecAugment. Interspeech 2019, arXiv 1904.08779.

    Examples
    --------
    >>> SpecAugment(time_mask=5, frequency_mask=0)
    SpecAugment(frequency_mask=0, time_mask=5)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "time_mask": [Interval(Integral, 0, None, closed="left")],
        "frequency_mask": [Interval(Integral, 0, None, closed="left")],
    }
    modality = "audio"

    def __init__(self, *, time_mask: int = 10, frequency_mask: int = 12) -> None:
        self.time_mask = time_mask
        self.frequency_mask = frequency_mask

    def check(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Check that no mask can hide everything.

        Parameters
        ----------
        shapes : mapping of str to tuple of int
            The shapes of a segment of each modality.

        Raises
        ------
        ValueError
            If a mask may be as wide as the segment.
        """
        super().check(shapes)
        n_bands, n_frames, _ = shapes["audio"]
        for name, value, extent, unit in (
            ("time_mask", self.time_mask, n_frames, "time frames"),
            ("frequency_mask", self.frequency_mask, n_bands, "bands"),
        ):
            if value >= extent:
                raise ValueError(
                    f"{name}={value} of SpecAugment may mask all of the {extent} {unit} of a "
                    f"segment; it must be less than {extent}"
                )

    def __call__(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """Return the masked batch."""
        blocks = batch.inputs["audio"]
        n_examples, n_bands, n_frames, _ = blocks.shape
        frames = runs(rng, n_examples, n_frames, self.time_mask)
        bands = runs(rng, n_examples, n_bands, self.frequency_mask)
        masked = bands[:, :, None, None] | frames[:, None, :, None]
        means = blocks.mean(axis=(1, 2), keepdims=True)
        return batch.with_input("audio", np.where(masked, means, blocks))


class FilterAugment(Augmentation):
    """Apply a random smooth filter to each segment of sound, as other devices and places would.

    The gain of the filter is linear between five equally spaced bands, where it is normally
    distributed around 0, and the same in all time frames and channels (the linear type of
    FilterAugment). It is measured by the segment's range of values, so that it does not matter
    whether the network's scaling to [-1, 1] comes before or after. A channel that is constant, as
    the difference of a mono recording, stays so.

    Parameters
    ----------
    gain : float, default=0.15
        Standard deviation of the gain, as a fraction of the range of the segment's values, at
        least 0.

    References
    ----------
    Nam, Kim and Park: FilterAugment. ICASSP 2022, arXiv 2110.03282.

    Examples
    --------
    >>> FilterAugment(gain=0.1)
    FilterAugment(gain=0.1)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "gain": [Interval(Real, 0, None, closed="left")],
    }
    modality = "audio"

    def __init__(self, *, gain: float = 0.15) -> None:
        self.gain = gain

    def __call__(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """Return the filtered batch."""
        blocks = batch.inputs["audio"]
        n_examples, n_bands, _, _ = blocks.shape
        knots = rng.normal(0, self.gain, size=(n_examples, N_KNOTS))
        positions = np.linspace(0, N_KNOTS - 1, n_bands)
        gains = np.stack([np.interp(positions, np.arange(N_KNOTS), row) for row in knots])
        extent = np.ptp(blocks, axis=(1, 2, 3), keepdims=True)
        filtered = blocks + extent * gains[:, :, None, None].astype(np.float32)
        constant = np.ptp(blocks, axis=(1, 2), keepdims=True) == 0
        return batch.with_input("audio", np.where(constant, blocks, filtered))


class HorizontalFlip(Augmentation):
    """Flip the frames of some examples, left to right, all frames of one example alike.

    It changes frames, so that it takes part only where ``fine_tune="all"`` trains the image
    network.

    Parameters
    ----------
    probability : float, default=0.5
        Probability that an example is flipped, in [0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> from skavsc.training.augmentation import Batch, HorizontalFlip
    >>> frames = np.arange(3, dtype=np.float32).reshape(1, 1, 1, 3, 1)  # 1 x 3 pixels
    >>> batch = Batch({"visual": frames}, targets=np.ones((1, 1)))
    >>> flip = HorizontalFlip(probability=1.0)
    >>> flip(batch, np.random.default_rng(0)).inputs["visual"].ravel().tolist()
    [2.0, 1.0, 0.0]
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "probability": [Interval(Real, 0, 1, closed="both")],
    }
    modality = "visual"
    on_frames = True

    def __init__(self, *, probability: float = 0.5) -> None:
        self.probability = probability

    def __call__(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """Return the batch with some examples flipped."""
        frames = batch.inputs["visual"]
        flipped = each(rng.random(len(frames)) < self.probability, frames)
        return batch.with_input("visual", np.where(flipped, frames[..., ::-1, :], frames))


class Brightness(Augmentation):
    """Multiply the frames of each example by a random factor around 1.

    Values stay within 0 to 255. It changes frames, so that it takes part only where
    ``fine_tune="all"`` trains the image network.

    Parameters
    ----------
    limit : float, default=0.2
        The factor is uniformly distributed within 1 +/- limit, in [0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> from skavsc.training.augmentation import Batch, Brightness
    >>> frames = np.full((1, 5, 8, 8, 3), 100, dtype=np.float32)
    >>> batch = Batch({"visual": frames}, targets=np.ones((1, 1)))
    >>> changed = Brightness(limit=0.2)(batch, np.random.default_rng(0)).inputs["visual"]
    >>> bool(80 <= changed.min() <= 120), len(np.unique(changed))
    (True, 1)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "limit": [Interval(Real, 0, 1, closed="both")],
    }
    modality = "visual"
    on_frames = True

    def __init__(self, *, limit: float = 0.2) -> None:
        self.limit = limit

    def __call__(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """Return the batch made brighter or darker."""
        frames = batch.inputs["visual"]
        factors = rng.uniform(1 - self.limit, 1 + self.limit, size=len(frames))
        brighter = np.minimum(each(factors.astype(frames.dtype), frames) * frames, 255)
        # Missing frames are negative.
        return batch.with_input("visual", np.where(frames >= 0, brighter, frames))


class ModalityDropout(Augmentation):
    """Replace one modality of some examples by the values of a missing one.

    They are 0, the middle of the scale of the sound and no features of the picture, or -1 for
    frames. `skavsc.classifiers.SECRNNClassifier` applies it where its
    ``modality_dropout`` says so.

    Parameters
    ----------
    rate : float, default=0.3
        Probability that an example loses one of its modalities, each of them alike, in [0, 1).

    Examples
    --------
    >>> import numpy as np
    >>> from skavsc.training.augmentation import Batch, ModalityDropout
    >>> inputs = {
    ...     "audio": np.full((100, 64, 50, 1), -40, dtype=np.float32),
    ...     "visual": np.ones((100, 5, 512), dtype=np.float32),
    ... }
    >>> batch = Batch(inputs, targets=np.ones((100, 1)))
    >>> changed = ModalityDropout(rate=0.5)(batch, np.random.default_rng(0)).inputs
    >>> lost = [(values.reshape(100, -1) == 0).all(axis=1) for values in changed.values()]
    >>> bool(np.logical_and(*lost).any()), 30 < np.logical_or(*lost).sum() < 70
    (False, np.True_)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "rate": [Interval(Real, 0, 1, closed="left")],
    }

    def __init__(self, *, rate: float = 0.3) -> None:
        self.rate = rate

    def __call__(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """Return the batch with some modalities replaced."""
        n_examples, names = len(batch.targets), list(batch.inputs)
        lost = np.where(
            rng.random(n_examples) < self.rate, rng.integers(len(names), size=n_examples), -1
        )
        inputs = {
            # Frames have five axes, embeddings three.
            name: np.where(
                each(lost == index, values), np.float32(-1 if values.ndim == 5 else 0), values
            )
            for index, (name, values) in enumerate(batch.inputs.items())
        }
        return replace(batch, inputs=inputs)

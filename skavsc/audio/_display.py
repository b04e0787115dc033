"""A picture of a clip's features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone

if TYPE_CHECKING:
    from skavsc.audio._transformer import GammatoneMelTransformer


def plot_clip(
    features: ArrayLike,
    transformer: GammatoneMelTransformer,
    *,
    title: str | None = None,
    axes: Any = None,
) -> NDArray[Any]:
    """Show a clip's channels, one above the other, with hertz and seconds on the axes.

    Parameters
    ----------
    features : array-like of shape (n_bands, n_frames, n_channels)
        One row of what the transformer gave, in dB. Missing (NaN) frames stay white.
    transformer : GammatoneMelTransformer
        The transformer that made them, fitted or not.
    title : str, default=None
        A title above the first channel, such as the clip's file.
    axes : sequence of n_channels matplotlib axes, default=None
        Where to draw. None makes a new figure.

    Returns
    -------
    ndarray of n_channels matplotlib.axes.Axes
        The axes; the figure is ``axes[0].figure``.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If the features are not those of one clip of this transformer.

    Examples
    --------
    >>> import numpy as np
    >>> from skavsc.audio import GammatoneMelTransformer, plot_clip
    >>> transformer = GammatoneMelTransformer(duration=1.0)
    >>> noise = np.random.default_rng(0).uniform(-1, 1, 44100)
    >>> axes = plot_clip(transformer.fit_transform([noise])[0], transformer)
    >>> [axis.get_title() for axis in axes]
    ['left', 'right', 'left - right']
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "plot_clip needs matplotlib; install it with: pip install 'skavsc[plot]'"
        ) from error
    transformer = clone(transformer).fit([])
    names = transformer.channel_names_
    centres = transformer.centre_frequencies_
    values = np.asarray(features)
    expected = (len(centres), len(transformer.frame_times_), len(names))
    if values.shape != expected:
        raise ValueError(
            f"features have shape {values.shape}, but one clip of this transformer has {expected}"
        )
    if centres[0] > centres[-1]:
        values, centres = values[::-1], centres[::-1]
    if axes is None:
        _, axes = plt.subplots(
            len(names),
            sharex=True,
            squeeze=False,
            figsize=(8, 2.2 * len(names) + 0.6),
            layout="constrained",
        )
    axes = np.ravel(axes)
    limits = np.nanmin(values), np.nanmax(values)
    edges = np.arange(expected[1] + 1) * transformer.hop
    ticks = np.linspace(0, len(centres) - 1, 6).round().astype(int)
    for axis, name, channel in zip(axes, names, np.moveaxis(values, 2, 0), strict=True):
        # Bands are of equal height: that is the scale that the ear and the network see.
        picture = axis.pcolormesh(
            edges,
            np.arange(len(centres) + 1) - 0.5,
            channel,
            vmin=limits[0],
            vmax=limits[1],
            rasterized=True,
        )
        axis.set_yticks(ticks, [f"{centres[tick]:.0f}" for tick in ticks])
        axis.set_ylabel("frequency / Hz")
        axis.set_title(name)
    axes[-1].set_xlabel("time / s")
    if title is not None:
        axes[0].set_title(f"{title}\n{names[0]}")
    axes[0].figure.colorbar(picture, ax=list(axes), label="level / dB")
    return np.asarray(axes)

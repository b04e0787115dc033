"""Display of a clip's features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone

from skavsc.audio._kernels import import_librosa

if TYPE_CHECKING:
    from skavsc.audio._transformer import GammatoneMelTransformer


def plot_clip(
    features: ArrayLike,
    transformer: GammatoneMelTransformer,
    *,
    title: str | None = None,
    axes: Any = None,
) -> NDArray[Any]:
    """Plot the spectrogram of each channel of a clip, one above the other.

    Each band has the same height, as it has for the networks. Channels are drawn by
    ``librosa.display.specshow``.

    Parameters
    ----------
    features : array-like of shape (n_bands, n_frames, n_channels)
        A row of the output of the transformer, in dB. Missing (NaN) time frames stay white.
    transformer : GammatoneMelTransformer
        The transformer that computed them, fitted or not.
    title : str, default=None
        Title above the first channel, such as the name of the clip's file.
    axes : sequence of n_channels matplotlib.axes.Axes, default=None
        Axes to draw into. None creates a new figure.

    Returns
    -------
    ndarray of n_channels matplotlib.axes.Axes
        The axes, with hertz and seconds; the figure is ``axes[0].figure``.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If the shape of the features is not that of a clip of this transformer.

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
    edges = {
        "x_coords": np.arange(expected[1] + 1) * transformer.hop,
        "y_coords": np.arange(len(centres) + 1) - 0.5,
    }
    limits = {"vmin": np.nanmin(values), "vmax": np.nanmax(values)}
    ticks = np.linspace(0, len(centres) - 1, 6).round().astype(int)
    specshow = import_librosa().display.specshow
    for axis, name, channel in zip(axes, names, np.moveaxis(values, 2, 0), strict=True):
        mesh = specshow(channel, x_axis="s", ax=axis, rasterized=True, **edges, **limits)
        axis.set_yticks(ticks, [f"{centres[tick]:.0f}" for tick in ticks])
        axis.set(title=name, xlabel="", ylabel="frequency / Hz")
    axes[-1].set_xlabel("time / s")
    if title is not None:
        axes[0].set_title(f"{title}\n{names[0]}")
    axes[0].figure.colorbar(mesh, ax=list(axes), label="level / dB")
    return np.asarray(axes)

import sys

import numpy as np
import pytest

from skavsc.audio import GammatoneMelTransformer, plot_clip
from skavsc.audio._filterbanks import FILTERBANKS

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    matplotlib.pyplot.close("all")


def tone(frequency, seconds):
    return 0.3 * np.sin(2 * np.pi * frequency * np.arange(round(44_100 * seconds)) / 44_100)


@pytest.mark.parametrize("filterbank", FILTERBANKS)
def test_axes_are_in_hertz_and_seconds(filterbank):
    transformer = GammatoneMelTransformer(filterbank, duration=2.0)
    [features] = transformer.fit_transform([tone(1000, 1.0)])
    axes = plot_clip(features, transformer, title="tone.wav")
    assert [axis.get_title() for axis in axes] == ["tone.wav\nleft", "right", "left - right"]
    assert axes[0].get_xlim() == (0.0, 2.0)
    assert axes[-1].get_xlabel() == "time / s"
    axes[0].figure.canvas.draw()
    labels = [float(label.get_text()) for label in axes[0].get_yticklabels()]
    # Low frequencies are at the bottom, whatever the order of the rows.
    assert labels == sorted(labels)
    ticks = axes[0].get_yticks()
    [picture] = axes[0].collections
    shown = np.ma.filled(picture.get_array(), np.nan)
    loudest = np.nanargmax(shown[:, 25])
    assert 850 < np.interp(loudest, ticks, labels) < 1400
    # The second second is missing, and white.
    assert np.isnan(shown[:, 50:]).all()
    assert np.isfinite(shown[:, :50]).all()


def test_given_axes_are_used_and_the_transformer_stays_unfitted():
    transformer = GammatoneMelTransformer(channels="mono", duration=1.0)
    _, axis = matplotlib.pyplot.subplots()
    assert list(plot_clip(transformer.transform([tone(500, 1.0)])[0], transformer, axes=axis)) == [
        axis
    ]
    assert not hasattr(transformer, "frame_times_")


def test_features_of_another_shape_are_refused():
    transformer = GammatoneMelTransformer(duration=1.0)
    with pytest.raises(ValueError, match=r"\(2, 64, 50, 3\).*\(64, 50, 3\)"):
        plot_clip(np.zeros((2, 64, 50, 3)), transformer)


def test_without_matplotlib_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"pip install 'skavsc\[plot\]'"):
        plot_clip(np.zeros((64, 50, 3)), GammatoneMelTransformer(duration=1.0))

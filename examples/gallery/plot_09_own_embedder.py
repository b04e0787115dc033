"""
An embedder of your own
=======================

Any scikit-learn transformer can take the place of a part of a recipe. This one describes frames by their
colours, in some twenty lines.
"""

# %%
# The transformer
# ---------------
# It takes what `skavsc.VideoFrameSampler` gives, a sequence of frames for each clip or None, and returns an
# array (n_clips, n_frames, n_features). Three rules make it a good neighbour: a row per clip; NaN where there
# is nothing; and ``requires_fit = False`` if it learns nothing, so that a fusion computes it once and not
# once per fold.

import cv2
import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from skavsc import (
    ClassAccuracyDisplay,
    VideoFrameSampler,
    cross_validate_scenes,
    make_scene_classifier,
    make_scenes,
)


class ColourHistogram(TransformerMixin, BaseEstimator):
    """Histogram of the hues of each frame, weighted by saturation and brightness."""

    def __init__(self, n_bins=12):
        self.n_bins = n_bins

    def fit(self, X, y=None):
        """Learn nothing."""
        return self

    def transform(self, X):
        """Return histograms of shape (n_clips, n_frames, n_bins)."""
        clips = [None if clip is None else np.asarray(clip) for clip in X]
        n_frames = max(len(clip) for clip in clips if clip is not None)
        histograms = np.full((len(clips), n_frames, self.n_bins), np.nan, dtype=np.float32)
        for row, clip in enumerate(clips):
            for number, frame in enumerate(() if clip is None else clip):
                hue, saturation, value = np.moveaxis(cv2.cvtColor(frame, cv2.COLOR_RGB2HSV), 2, 0)
                weights = (saturation / 255.0) * (value / 255.0)
                counts, _ = np.histogram(hue, self.n_bins, range=(0, 180), weights=weights)
                histograms[row, number] = counts / hue.size
        return histograms

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        return tags


# %%
# What it sees
# ------------

scenes = make_scenes(
    "scenes", n_scenes=5, n_locations=8, clips_per_location=2, duration=2.0, size=(160, 120)
)
frames = VideoFrameSampler(fps=1.0, duration=2.0, size=64).fit_transform(scenes.X)
histograms = ColourHistogram().fit_transform(frames)
print(histograms.shape)
labels = np.unique(scenes.y)
figure, axes = plt.subplots(1, len(labels), figsize=(10, 2.6), sharey=True, layout="constrained")
hues = plt.colormaps["hsv"]((np.arange(12) + 0.5) / 12)
for label, axis in zip(labels, axes, strict=True):
    axis.bar(range(12), histograms[scenes.y == label].mean(axis=(0, 1)), color=hues)
    axis.set(title=label, xticks=[], xlabel="hue")
axes[0].set_ylabel("share")
plt.show()

# %%
# In the recipe
# -------------
# It replaces the embedding of the picture; pooling over time, branches, fusion and missing pictures work as
# before. Colours know no shapes, so they do worse than pixels, but better than guessing (0.2).

recipe = make_scene_classifier("statistics", duration=2.0, C=0.1, memory="cache", random_state=0)
own = make_scene_classifier("statistics", duration=2.0, C=0.1, memory="cache", random_state=0)
own.set_params(features__visual__embedding=ColourHistogram())
reports = {
    name: cross_validate_scenes(model, scenes.X, scenes.y, groups=scenes.groups, cv=4)
    for name, model in (("pixels", recipe), ("colours", own))
}
for name, report in reports.items():
    print(f"{name}: {report.summary().loc['clips', 'accuracy']:.2f}")
ClassAccuracyDisplay.from_predictions(
    scenes.y,
    {name: report.classes[report.probabilities.argmax(axis=1)] for name, report in reports.items()},
)
plt.show()

"""
Features of a scene
===================

What classifiers see of one clip: the gammatone spectrogram of its left channel, its right channel and
their difference, and frames of its picture.
"""

# %%
# Scenes
# ------
# `skavsc.make_scenes` renders clips with sound and picture as real files, here of five scenes with eight
# recording locations each. A folder of scenes that were rendered before is used again, so all examples of
# this gallery share one.

import matplotlib.pyplot as plt
import numpy as np

from skavsc import GammatoneMelTransformer, VideoFrameSampler, make_scenes
from skavsc.audio import plot_clip

scenes = make_scenes(
    "scenes", n_scenes=5, n_locations=8, clips_per_location=2, duration=2.0, size=(160, 120)
)
scenes.X.groupby(scenes.y).first().map(lambda value: str(value).rpartition("/")[2])

# %%
# Sound
# -----
# One spectrogram per channel, with 64 bands and 50 time frames per second. Each band has the same height, as it
# has for the networks.

clip = scenes.X[scenes.y == "street_traffic"].iloc[[0]]
transformer = GammatoneMelTransformer(duration=2.0, memory="cache")
features = transformer.fit_transform(clip)
print(features.shape, features.dtype)
plot_clip(features[0], transformer)
plt.show()

# %%
# Picture
# -------
# Frames are sampled at five a second and resized to 224 x 224 pixels, whatever the aspect ratio. They are
# decoded only when they are asked for.

frames = VideoFrameSampler(duration=2.0).fit_transform(clip)
pictures = np.asarray(frames[0])
print(pictures.shape, pictures.dtype)
figure, axes = plt.subplots(1, 5, figsize=(10, 2.4), layout="constrained")
for number, axis in zip(range(0, 10, 2), axes, strict=True):
    axis.imshow(pictures[number])
    axis.set(title=f"{number / 5:.1f} s", xticks=[], yticks=[])
plt.show()

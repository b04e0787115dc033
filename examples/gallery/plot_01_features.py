"""
Features of a scene
===================

What the networks see of one clip: the gammatone spectrogram of its left channel, its right channel and
their difference, and frames of its picture.
"""

# %%
# `make_scenes` renders clips with sound and picture as real files.

import tempfile

import matplotlib.pyplot as plt
import numpy as np

from skavsc import GammatoneMelTransformer, VideoFrameSampler, make_scenes
from skavsc.audio import plot_clip

folder = tempfile.mkdtemp()
scenes = make_scenes(folder, n_scenes=4, n_locations=2, clips_per_location=1, duration=4.0)
clip = scenes.X.iloc[[-1]]

# %%
# **Sound.** One spectrogram a channel, with 64 bands and 50 time frames a second. The axes are in hertz
# seconds.

transformer = GammatoneMelTransformer(duration=4.0)
features = transformer.fit_transform(clip)
print(features.shape, features.dtype)
plot_clip(features[0], transformer)
plt.show()

# %%
# **Picture.** Frames are sampled at five a second and resized to 224 x 224 pixels. They are decoded only
# when they are asked for.

frames = VideoFrameSampler(duration=4.0).fit_transform(clip)
first = np.asarray(frames[0])
figure, axes = plt.subplots(1, 4, figsize=(10, 2.8), layout="constrained")
for number, axis in enumerate(axes):
    axis.imshow(first[5 * number])
    axis.set_title(f"{number} s")
    axis.axis("off")
plt.show()

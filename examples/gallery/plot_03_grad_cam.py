"""
What a scene classifier hears
=============================

Grad-CAM shows which bands and time frames of a spectrogram speak for a label, and so whether a network
listens to the scene or to something else.
"""

# %%
# A small network
# ---------------
# The audio network with a quarter of the published filters and half the bands, trained for 40 epochs while
# the learning rate falls along a cosine. Whole recording locations are held out to test it.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from skavsc import AudioSceneClassifier, GammatoneMelTransformer, grad_cam, make_scenes
from skavsc.audio import plot_clip

scenes = make_scenes(
    "scenes", n_scenes=5, n_locations=8, clips_per_location=2, duration=2.0, size=(160, 120)
)
transformer = GammatoneMelTransformer(
    "mel", channels="mono", n_bands=32, duration=2.0, memory="cache"
)
features = transformer.fit_transform(scenes.X)

folds = StratifiedGroupKFold(4, shuffle=True, random_state=0)
train, test = next(folds.split(features, scenes.y, scenes.groups))
classifier = AudioSceneClassifier(
    filters=(8, 16, 32),
    learning_rate=5e-3,
    batch_size=16,
    epochs=40,
    rate_schedule="cosine",
    validation_fraction=0,
    random_state=0,
)
classifier.fit(features[train], scenes.y[train])
print(f"accuracy on held-out locations: {classifier.score(features[test], scenes.y[test]):.2f}")

# %%
# Where the evidence of one clip is
# ---------------------------------
# `skavsc.grad_cam` gives a value for each band and time frame: by how much they raise the score of the
# predicted label above those of the other labels. The network takes a second at a time, so each second is
# explained by itself.

maps = grad_cam(classifier, features[test])["audio"]
predicted = classifier.predict(features[test])
right = np.flatnonzero(predicted == scenes.y[test])
row = right[np.nanmax(maps[right], axis=(1, 2)).argmax()]

figure, axes = plt.subplots(2, 1, figsize=(8, 5.5), sharex=True, layout="constrained")
plot_clip(features[test][row], transformer, axes=[axes[0]])
axes[0].set(title=f"{predicted[row]}: what it hears", xlabel="")
n_bands, n_frames = maps[row].shape
image = axes[1].imshow(
    maps[row],
    aspect="auto",
    origin="lower",
    cmap="magma",
    extent=(0, n_frames / 50, -0.5, n_bands - 0.5),
)
ticks = axes[0].get_yticks()
axes[1].set_yticks(ticks, axes[0].get_yticklabels())
axes[1].set(title="what speaks for the label", xlabel="time / s", ylabel="frequency / Hz")
figure.colorbar(image, ax=axes[1], label="Grad-CAM")
plt.show()

# %%
# Where the evidence of a scene is
# --------------------------------
# The mean over all clips of a scene tells which bands the network has learnt to listen to. In the
# park of these scenes, for example, birds sing at 3 to 5 kHz.

labels = classifier.classes_
profile = np.stack([np.nanmean(maps[scenes.y[test] == label], axis=(0, 2)) for label in labels])
profile /= profile.max(axis=1, keepdims=True)
figure, axis = plt.subplots(figsize=(8, 3.2), layout="constrained")
image = axis.imshow(profile, aspect="auto", cmap="magma")
axis.set_yticks(range(len(labels)), labels)
axis.set_xticks(
    ticks, [f"{transformer.centre_frequencies_[tick]:.0f}" for tick in ticks.astype(int)]
)
axis.set(xlabel="frequency / Hz", title="Grad-CAM of each scene, its largest value 1")
figure.colorbar(image)
plt.show()

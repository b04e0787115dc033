"""
How many locations are needed?
==============================

A learning curve shows whether more recordings would help, and whether there are enough of them to train a
network from scratch.
"""

# %%
# Features that are fixed, features that are learnt
# -------------------------------------------------
# The *fixed* system pools log-mel spectrograms over time and fits a logistic regression. It stands here for
# all systems whose features are not trained; a frozen pretrained network (``AudioEmbedder("yamnet")`` in
# place of the first two steps) works in the same way and starts higher. The *trained* system is the audio
# network with a quarter of the published filters and half the bands, from random weights.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skavsc import AudioSceneClassifier, GammatoneMelTransformer, TimePooling, make_scenes

scenes = make_scenes(
    "scenes", n_scenes=5, n_locations=8, clips_per_location=2, duration=2.0, size=(160, 120)
)
transformer = GammatoneMelTransformer(
    "mel", channels="mono", n_bands=32, duration=2.0, memory="cache"
)
X, y, groups = transformer.fit_transform(scenes.X), scenes.y, scenes.groups

fixed = make_pipeline(TimePooling(), StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
trained = AudioSceneClassifier(
    filters=(8, 16, 32),
    learning_rate=5e-3,
    batch_size=16,
    epochs=40,
    rate_schedule="cosine",
    validation_fraction=0,
    random_state=0,
)

# %%
# More and more locations
# -----------------------
# Three locations of each scene are held out for the test. Training takes 1, 2 or 5 of the others: the
# curve is over locations, not over clips, since more clips of a known place say little that is new. The
# linear classifier is fitted to ten draws of locations; the network, which takes longer, to one.

folds = StratifiedGroupKFold(3, shuffle=True, random_state=0)
train, test = next(folds.split(X, y, groups))


def draw(n_locations, seed):
    """Return the training clips of some locations of each scene."""
    rng = np.random.default_rng(seed)
    chosen = [
        rng.permutation(np.unique(groups[train][y[train] == label]))[:n_locations]
        for label in np.unique(y)
    ]
    return train[np.isin(groups[train], np.concatenate(chosen))]


sizes = [1, 2, 5]
scores = {"fixed": [], "trained": []}
for size in sizes:
    draws = [draw(size, seed) for seed in range(10)]
    scores["fixed"].append([fixed.fit(X[rows], y[rows]).score(X[test], y[test]) for rows in draws])
    trained.fit(X[draws[0]], y[draws[0]])
    scores["trained"].append([trained.score(X[test], y[test])])

# %%
# The curves
# ----------
# The lines are means over the draws, the dots are single fits: with one location of each scene, much depends
# on which one it is. Both curves still rise at the end, so more locations would help. How many locations a
# network needs on real recordings cannot be read off rendered scenes.

figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
for name, of_sizes in scores.items():
    (line,) = axis.plot(sizes, [np.mean(values) for values in of_sizes], label=name)
    for size, values in zip(sizes, of_sizes, strict=True):
        axis.plot([size] * len(values), values, "o", color=line.get_color(), alpha=0.4)
axis.axhline(0.2, color="0.5", linestyle="--", label="guessing")
axis.set(xlabel="training locations of each scene", ylabel="accuracy", ylim=(0, 1.02), xticks=sizes)
axis.legend(loc="lower right")
plt.show()

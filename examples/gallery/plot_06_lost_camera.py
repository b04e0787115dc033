"""
When a camera is lost
=====================

Late fusion predicts clips that lack their picture by what it learnt of the sound alone, with no change to
the model.
"""

# %%
# One model for all clips
# -----------------------
# The fusion fits a meta-model for every set of modalities: for both, for sound only and for picture only.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from skavsc import make_scene_classifier, make_scenes

scenes = make_scenes(
    "scenes", n_scenes=5, n_locations=8, clips_per_location=2, duration=2.0, size=(160, 120)
)
folds = StratifiedGroupKFold(2, shuffle=True, random_state=0)
train, test = next(folds.split(scenes.X, scenes.y, scenes.groups))
X, y = scenes.X.iloc[test], scenes.y[test]

model = make_scene_classifier("statistics", duration=2.0, C=0.1, memory="cache", random_state=0)
model.fit(scenes.X.iloc[train], scenes.y[train], classifier__groups=scenes.groups[train])
sorted(model[-1].final_estimators_)

# %%
# From all cameras to none
# ------------------------
# A clip without a file is None in the clip table. Cameras fail in an order that is drawn at random.

order = np.random.default_rng(0).permutation(len(X))
shares = np.linspace(0, 1, 6)
accuracy = {"picture lost": [], "sound lost": []}
for name, column in (("picture lost", "video"), ("sound lost", "audio")):
    for share in shares:
        damaged = X.copy()
        damaged.iloc[order[: round(share * len(X))], damaged.columns.get_loc(column)] = None
        accuracy[name].append(model.score(damaged, y))

figure, axis = plt.subplots(figsize=(7, 3.6), layout="constrained")
for name, values in accuracy.items():
    axis.plot(100 * shares, values, "o-", label=name)
axis.axhline(0.2, color="0.5", linestyle="--", label="guessing")
axis.set(xlabel="clips that lost it / %", ylabel="accuracy", ylim=(0, 1.02))
axis.legend(loc="lower left")
plt.show()

# %%
# What each modality is worth
# ---------------------------
# The fusion tells how much each branch lowered the log loss of each class. A class that rests on the
# picture alone suffers most when cameras fail.

fusion = model[-1]
names = [name for name, _ in fusion.estimators]
figure, axis = plt.subplots(figsize=(7, 3), layout="constrained")
left = np.zeros(len(fusion.classes_))
for name, share in zip(names, fusion.modality_importances_.T, strict=True):
    axis.barh(fusion.classes_, share, left=left, label=name)
    left += share
axis.set(xlabel="share in the fusion", xlim=(0, 1))
axis.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
plt.show()

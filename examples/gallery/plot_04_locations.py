"""
Leave locations out
===================

Clips of one recording location are alike. If one of them is in training and another in the test, a
classifier is tested on places that it knows, and its accuracy is too high.
"""

# %%
# The same classifier under two splits
# ------------------------------------
# Both splits have four folds and differ in one thing: whether they keep the clips of a location together.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from skavsc import cross_validate_scenes, make_scene_classifier, make_scenes

scenes = make_scenes(
    "scenes", n_scenes=5, n_locations=8, clips_per_location=2, duration=2.0, size=(160, 120)
)
model = make_scene_classifier("statistics", duration=2.0, C=0.1, memory="cache", random_state=0)

by_clip = cross_validate_scenes(
    model, scenes.X, scenes.y, cv=StratifiedKFold(4, shuffle=True, random_state=0), name="by clip"
)
by_location = cross_validate_scenes(
    model,
    scenes.X,
    scenes.y,
    groups=scenes.groups,
    cv=StratifiedGroupKFold(4, shuffle=True, random_state=0),
    name="by location",
)
reports = [by_clip, by_location]

# %%
# Where the clips go
# ------------------
# Each column is a clip, each row a fold; test clips are dark. Lines divide the scenes. Split by clip, the
# two clips of a location often fall apart, one into training and one into test.

figure, axes = plt.subplots(2, 1, figsize=(9, 3.6), sharex=True, layout="constrained")
for report, axis in zip(reports, axes, strict=True):
    membership = np.zeros((4, len(scenes.y)))
    for number, (_, test) in enumerate(report.folds):
        membership[number, test] = 1
    axis.imshow(membership, aspect="auto", cmap="Blues", vmax=1.2, interpolation="nearest")
    for edge in range(16, len(scenes.y), 16):
        axis.axvline(edge - 0.5, color="0.4", linewidth=1)
    axis.set(title=f"split {report.name}", ylabel="fold", yticks=range(4))
axes[1].set_xlabel("clip")
plt.show()

# %%
# What it costs
# -------------
# The bars are 95 % intervals over clips. The first figure answers "how well does it do at places that it
# knows?", the second "how well at a new one?", which is what a user finds.

figure, axis = plt.subplots(figsize=(7, 2.4), layout="constrained")
for row, report in enumerate(reports):
    clips = report.summary().loc["clips"]
    low, high = (
        clips["accuracy"] - clips["accuracy_low"],
        clips["accuracy_high"] - clips["accuracy"],
    )
    axis.errorbar(clips["accuracy"], row, xerr=[[low], [high]], fmt="o", capsize=4)
    axis.annotate(
        f"{clips['accuracy']:.2f}",
        (clips["accuracy"], row),
        (0, 8),
        textcoords="offset points",
        ha="center",
    )
axis.axvline(0.2, color="0.5", linestyle="--")
axis.annotate("guessing", (0.21, 0.5), color="0.4", va="center")
axis.set(
    yticks=[0, 1], yticklabels=[f"split {report.name}" for report in reports], ylim=(1.6, -0.6)
)
axis.set(xlabel="accuracy", xlim=(0, 1.05))
plt.show()

"""
Confusion matrix and report
===========================

From a classifier to all figures about it: one call cross-validates over recording locations, and the report
that it returns makes tables, plots and one HTML file.
"""

# %%
# Cross-validate
# --------------
# The clips are also predicted without their sound and without their picture.

import matplotlib.pyplot as plt

from skavsc import (
    ClassAccuracyDisplay,
    SceneConfusionDisplay,
    cross_validate_scenes,
    make_scene_classifier,
    make_scenes,
)

scenes = make_scenes(
    "scenes", n_scenes=5, n_locations=8, clips_per_location=2, duration=2.0, size=(160, 120)
)
model = make_scene_classifier("statistics", duration=2.0, C=0.1, memory="cache", random_state=0)
report = cross_validate_scenes(
    model, scenes.X, scenes.y, groups=scenes.groups, cv=4, modalities=("audio", "video")
)
print(report)

# %%
# Which scenes are confused
# -------------------------
# Each row sums to 1. Scenes that are often confused stand side by side.

predicted = report.classes[report.probabilities.argmax(axis=1)]
SceneConfusionDisplay.from_predictions(report.y, predicted)
plt.show()

# %%
# Which scenes need sound, which picture
# --------------------------------------

systems = {"both": report.probabilities}
systems |= {f"without {name}": values for name, values in report.without.items()}
ClassAccuracyDisplay.from_predictions(
    report.y, {name: report.classes[values.argmax(axis=1)] for name, values in systems.items()}
)
plt.show()

# %%
# What went wrong
# ---------------
# The errors, the surest first: either hard clips or wrong labels. Listen to them before you change the
# model.

report.errors(5)[["location", "true", "predicted", "probability"]].round(2)

# %%
# One file for all of it
# ----------------------
# The HTML file holds every table and plot, and sound and frames of the errors. It opens in any browser
# without a network.

path = report.to_html("report.html")
print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB")

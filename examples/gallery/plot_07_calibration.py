"""
Are the probabilities right?
============================

Of the clips that a classifier calls with 80 %, 80 % should be right. A reliability diagram shows whether
they are, and a temperature tempers a classifier that is too sure.
"""

# %%
# An overconfident fusion
# -----------------------
# The product of probabilities takes sound and picture for independent witnesses. They are not: a network
# that is wrong about a place is often wrong with both. With little regularisation the branches are too sure
# as well. ``calibration="temperature"`` fits one number per branch, by predictions for locations that the
# branch was not fitted on.

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

from skavsc import ReliabilityDisplay, cross_validate_scenes, make_scene_classifier, make_scenes

scenes = make_scenes(
    "scenes", n_scenes=5, n_locations=8, clips_per_location=2, duration=2.0, size=(160, 120)
)
model = make_scene_classifier("statistics", duration=2.0, C=10.0, memory="cache", random_state=0)
reports = {}
for name, calibration in (("product", None), ("with temperature", "temperature")):
    model.set_params(classifier__final_estimator="product", classifier__calibration=calibration)
    reports[name] = cross_validate_scenes(
        model,
        scenes.X,
        scenes.y,
        groups=scenes.groups,
        cv=StratifiedGroupKFold(4, shuffle=True, random_state=0),
        name=name,
    )

# %%
# Accuracy against confidence
# ---------------------------
# Each point is a quarter of the clips; quarters of sure and right answers lie on one another in the upper
# corner. Points below the diagonal have more confidence than accuracy.

figure, axes = plt.subplots(1, 2, figsize=(9, 4.4), layout="constrained")
for axis, (name, report) in zip(axes, reports.items(), strict=True):
    ReliabilityDisplay.from_predictions(
        report.y,
        report.probabilities,
        labels=report.classes,
        n_bins=4,
        strategy="quantile",
        name=name,
        ax=axis,
    )
    axis.set_title(name)
plt.show()

# %%
# In figures
# ----------
# The log loss punishes wrong answers that are sure, and falls. The calibration error, the mean distance from
# the diagonal over ten bins, is a rough figure for so few clips. A temperature per branch also changes how
# much each branch counts, so that a few labels change.

columns = ["accuracy", "macro_log_loss", "calibration_error"]
table = pd.DataFrame({name: report.summary().loc["clips"] for name, report in reports.items()})
table.loc[columns].astype(float).round(3)

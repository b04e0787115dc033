"""
Search the best settings
========================

Features are parameters like any other: one search chooses the filterbank, the statistics over time and the
strength of the regularisation. Every kind of features is computed once.
"""

# %%
# The pipeline and its settings
# -----------------------------

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skavsc import GammatoneMelTransformer, TimePooling, macro_log_loss_scorer, make_scenes

scenes = make_scenes(
    "scenes", n_scenes=5, n_locations=8, clips_per_location=2, duration=2.0, size=(160, 120)
)
pipeline = Pipeline(
    [
        ("features", GammatoneMelTransformer(duration=2.0, memory="cache")),
        ("pooling", TimePooling()),
        ("scaler", StandardScaler()),
        ("classifier", LogisticRegression(max_iter=1000)),
    ]
)
settings = {
    "features__filterbank": ["gammatone", "mel"],
    "pooling__statistics": [("mean",), ("mean", "std")],
    "classifier__C": np.logspace(-4, 1, 6),
}

# %%
# Search inside the training clips
# --------------------------------
# A quarter of the locations is set aside first. The folds of the search keep locations together as well.

outer = StratifiedGroupKFold(4, shuffle=True, random_state=0)
train, test = next(outer.split(scenes.X, scenes.y, scenes.groups))
search = GridSearchCV(
    pipeline,
    settings,
    scoring=macro_log_loss_scorer,
    cv=StratifiedGroupKFold(3, shuffle=True, random_state=0),
)
search.fit(scenes.X.iloc[train], scenes.y[train], groups=scenes.groups[train])
search

# %%
# What was found
# --------------
# Macro log loss, less is better; the bars are standard deviations over the folds. Too strong and too weak a
# regularisation are both worse. The bars also tell which differences are too small to choose by.

results = pd.DataFrame(search.cv_results_)
results["statistics"] = results["param_pooling__statistics"].map(" and ".join)
figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
for axis, (bank, of_bank) in zip(axes, results.groupby("param_features__filterbank"), strict=True):
    for name, line in of_bank.groupby("statistics"):
        strengths = line["param_classifier__C"].astype(float)
        axis.errorbar(
            strengths,
            -line["mean_test_score"],
            line["std_test_score"],
            fmt="o-",
            capsize=3,
            label=name,
        )
    axis.set(xscale="log", xlabel="C", title=bank)
axes[0].set_ylabel("macro log loss")
axes[1].legend()
plt.show()

# %%
# On clips that the search has not seen
# -------------------------------------
# Only this figure may be reported. With so few clips it is a rough one.

for name, value in search.best_params_.items():
    print(f"{name}: {value}")
accuracy = search.best_estimator_.score(scenes.X.iloc[test], scenes.y[test])
print(f"accuracy on {len(test)} clips: {accuracy:.2f}")

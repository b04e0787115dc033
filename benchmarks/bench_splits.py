"""What is measured without recording locations as groups, against what happens at new locations.

Scenes are rendered twice with different seeds: one set to cross-validate and to train on, one of
other locations. The recipe "statistics" is cross-validated on the first set by random folds and by
folds that keep locations together, then trained on all of it and tested on the second set.

    python benchmarks/bench_splits.py scenes --figure docs/_static/splits.svg
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from skavsc import cross_validate_scenes, make_scene_classifier, make_scenes

DURATION = 2.0
WAYS = ["random folds", "folds by location", "new locations"]
MODALITIES = {"sound": ["audio"], "picture": ["visual"], "both": ["audio", "visual"]}


def measure(folder: Path, n_sets: int, jobs: int) -> pd.DataFrame:
    """Return a row for each set of clips and modality, with the accuracy in each way."""
    options = {"clips_per_location": 4, "duration": DURATION, "size": (160, 120), "n_jobs": jobs}
    rows = []
    for seed in range(n_sets):
        known = make_scenes(folder / f"known{seed}", random_state=seed, **options)
        new = make_scenes(folder / f"new{seed}", random_state=1000 + seed, **options)
        for name, modalities in MODALITIES.items():
            recipe = make_scene_classifier(
                "statistics",
                modalities=modalities,
                duration=DURATION,
                C=0.1,
                memory=folder / "cache",
                random_state=seed,
            )
            features, classifier = recipe[:-1], recipe[-1]
            X, X_new = features.fit_transform(known.X), features.transform(new.X)
            by_clip = StratifiedKFold(5, shuffle=True, random_state=seed)
            by_location = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
            ways = {
                "random folds": (by_clip, None),
                "folds by location": (by_location, known.groups),
            }
            row = {"set": seed, "modality": name}
            for way, (cv, groups) in ways.items():
                report = cross_validate_scenes(classifier, X, known.y, cv=cv, groups=groups)
                row[way] = report.summary().loc["clips", "accuracy"]
            fitted = clone(classifier).fit(X, known.y, groups=known.groups)
            row["new locations"] = fitted.score(X_new, new.y)
            rows.append(row)
    return pd.DataFrame(rows)


def draw(table: pd.DataFrame, path: Path) -> None:
    """Draw the mean of each way with every set of clips as a point."""
    colours = ["#dc2626", "#2563eb", "#16a34a"]
    figure, axes = plt.subplots(figsize=(7, 3.4), layout="constrained")
    for k, (way, colour) in enumerate(zip(WAYS, colours, strict=True)):
        for place, name in enumerate(MODALITIES):
            values = 100 * table.loc[table["modality"] == name, way].to_numpy()
            x = place + 0.26 * (k - 1)
            axes.bar(x, values.mean(), 0.24, color=colour, alpha=0.75, label=None if place else way)
            axes.plot(np.full(len(values), x), values, ".", color="black", markersize=4)
    axes.axhline(25, color="grey", linewidth=1, linestyle=":")
    edge = axes.get_yaxis_transform()
    axes.text(1.01, 25, "guessing", transform=edge, va="center", fontsize=8, color="grey")
    axes.set_xticks(range(len(MODALITIES)), list(MODALITIES))
    axes.set(ylabel="accuracy (%)", ylim=(0, 105))
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.16), ncols=3, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    with plt.rc_context({"svg.hashsalt": "skavsc"}):
        figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where scenes and features go")
    parser.add_argument("--sets", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1, help="processes that render")
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    table = measure(options.folder, options.sets, options.jobs)
    print(table.to_string(index=False, float_format="{:.3f}".format))
    means = table.groupby("modality", sort=False)[WAYS].mean()
    print(means.to_string(float_format="{:.3f}".format))
    if options.figure is not None:
        draw(table, options.figure)


if __name__ == "__main__":
    main()

"""The tables of the HTML report, as text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from skavsc.evaluation._comparison import compare_scenes
from skavsc.evaluation._scene_report import SceneReport


def percent(value: float, digits: int = 1) -> str:
    # The sign stays on the line of its number.
    return "-" if pd.isna(value) else f"{100 * value:.{digits}f}\u00a0%"


def interval(low: float, high: float, scale: float = 100, digits: int = 1) -> str:
    if pd.isna(low):
        return "-"
    return f"{scale * low:.{digits}f} to {scale * high:.{digits}f}"


def titles(summary: pd.DataFrame) -> dict[str, str]:
    """Return the names of the rows: of two modalities, one without the other is alone."""
    left_out = [name.removeprefix("without ") for name in summary.index if "without " in name]
    titles = {name: str(name) for name in summary.index}
    if len(left_out) == 2:
        for one, other in (left_out, left_out[::-1]):
            titles[f"without {one}"] = f"{other} alone"
    return titles


def summary_table(summary: pd.DataFrame) -> pd.DataFrame:
    rows = summary.to_dict("records")
    table = {
        "n": [f"{row['n']:.0f}" if row["n"] else "-" for row in rows],
        "accuracy": [percent(row["accuracy"]) for row in rows],
        "interval, clips": [interval(row["accuracy_low"], row["accuracy_high"]) for row in rows],
        "interval, locations": [
            interval(row["accuracy_low_locations"], row["accuracy_high_locations"]) for row in rows
        ],
        "macro log loss": [f"{row['macro_log_loss']:.3f}" for row in rows],
        "interval of loss, locations": [
            interval(
                row["macro_log_loss_low_locations"], row["macro_log_loss_high_locations"], 1, 3
            )
            for row in rows
        ],
        "calibration error": [percent(row["calibration_error"]) for row in rows],
    }
    return pd.DataFrame(table, index=list(titles(summary).values()))


def comparison_table(report: SceneReport, other: SceneReport) -> pd.DataFrame:
    table = compare_scenes(report, other)
    shown = table[["first", "second", "difference"]].map(lambda value: f"{value:.3f}")
    shown.columns = [report.name, other.name, "difference"]
    shown["95 % interval, locations"] = [
        interval(low, high, 1, 3) for low, high in zip(table["low"], table["high"], strict=True)
    ]
    for column in ("p_clips", "p_locations"):
        shown[column.replace("_", ", ")] = [
            "-" if pd.isna(value) else f"{value:.2g}" for value in table[column]
        ]
    return shown.rename(index={"macro_log_loss": "macro log loss"})


def class_table(report: SceneReport) -> pd.DataFrame:
    table = report.by_class()
    for name in ("accuracy", "precision"):
        table[name] = table[name].map(percent)
    table["log_loss"] = table["log_loss"].map("{:.3f}".format)
    return table.rename(columns={"log_loss": "log loss", "confused_with": "confused with"})


def column_table(table: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "n": table["n"],
            "accuracy": table["accuracy"].map(percent),
            "95 % interval": [
                interval(low, high)
                for low, high in zip(table["accuracy_low"], table["accuracy_high"], strict=True)
            ],
            "macro log loss": table["macro_log_loss"].map("{:.3f}".format),
        }
    )


def suspect_table(suspects: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "label": suspects["true"],
            "its probability": suspects["probability_of_true"].map(lambda p: percent(p, 2)),
            "predicted": suspects["predicted"],
            "with": suspects["probability"].map(percent),
            "location": suspects["location"],
        }
    )


def data_table(report: SceneReport) -> pd.DataFrame:
    table = pd.DataFrame({"label": report.y, "location": report.groups})
    found = table.groupby("label")["location"].agg(["size", "nunique"])
    return found.set_axis(["clips", "locations"], axis=1)


def fold_table(report: SceneReport) -> pd.DataFrame:
    rows = []
    for train, test in report.folds:
        shared = np.intersect1d(report.groups[train], report.groups[test])
        rows.append([len(train), len(test), len(np.unique(report.groups[test])), len(shared)])
    columns = ["training clips", "test clips", "test locations", "shared locations"]
    table = pd.DataFrame(rows, columns=columns)
    if report.fit_times:
        table["seconds to fit"] = [f"{seconds:.1f}" for seconds in report.fit_times]
        table["ms a clip to predict"] = [
            f"{1000 * seconds / max(len(test), 1):.1f}"
            for seconds, (_, test) in zip(report.predict_times, report.folds, strict=True)
        ]
    return table


def complexity_table(table: pd.DataFrame) -> pd.DataFrame:
    def shown(value: Any) -> str:
        if pd.isna(value):
            return "-"
        return f"{value:,.0f}" if value == round(value) else f"{value:,.1f}"

    return table.map(shown).rename(columns=lambda name: str(name).replace("_", " "))

"""The parts of the HTML report as text: its tables, sounds, pictures and plots."""

from __future__ import annotations

import base64
import io
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from skavsc.evaluation._clip_displays import frame_strip
from skavsc.evaluation._scene_report import SceneReport
from skavsc.evaluation._scenes import compare_scenes
from skavsc.media import read_sound, write_clip

# Long enough to tell a scene by, short enough for a page of dozens.
MAX_SECONDS = 10.0
N_FRAMES = 3
STRIP_HEIGHT = 110

# A colour that no plot uses, which becomes that of the text of the page.
_TEXT_COLOUR = "#010203"


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


def data_uri(data: bytes, kind: str) -> str:
    """Return data as an address that holds it."""
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def embedded_sound(path: Any) -> str:
    """Return the first seconds of a sound file or track as an MP3 data URI.

    Parameters
    ----------
    path : path-like
        The sound or video file.

    Returns
    -------
    str
        The data URI: mono, at most 10 s.

    Raises
    ------
    MediaError
        If the sound cannot be read.
    """
    sound, rate = read_sound(path, sample_rate=32_000, duration=MAX_SECONDS)
    mono = np.clip(sound.mean(axis=0), -1, 1)
    with tempfile.TemporaryDirectory() as folder:
        file = write_clip(
            Path(folder) / "sound.mp3", sound=mono, rate=rate, sound_codec="libmp3lame"
        )
        return data_uri(file.read_bytes(), "audio/mpeg")


class Strip(NamedTuple):
    """A strip of frames as a data URI, and its width and height in pixels."""

    uri: str
    size: tuple[int, int]


def embedded_frames(path: Any) -> Strip:
    """Return frames of a video side by side as a JPEG data URI.

    Parameters
    ----------
    path : path-like
        The video.

    Returns
    -------
    Strip
        At most three frames.

    Raises
    ------
    MediaError
        If the picture cannot be read.
    """
    from PIL import Image

    strip = np.concatenate(list(frame_strip(path, N_FRAMES, STRIP_HEIGHT)), axis=1)
    buffer = io.BytesIO()
    Image.fromarray(strip).save(buffer, "JPEG", quality=80)
    return Strip(data_uri(buffer.getvalue(), "image/jpeg"), (strip.shape[1], strip.shape[0]))


class Plot(NamedTuple):
    """A plot as SVG, and what stands beneath it."""

    svg: Any
    caption: str


def embedded_plot(
    name: str,
    draw: Callable[[Any], Any],
    caption: str,
    description: str,
    size: tuple[float, float],
) -> Plot:
    """Return a plot as SVG in the colours of the page.

    Parameters
    ----------
    name : str
        The name of the plot in the page, which begins the names of all its parts.
    draw : callable
        Draws in the matplotlib axes that it is given.
    caption : str
        The text beneath.
    description : str
        The text for those who do not see it.
    size : tuple of (float, float)
        Width and height in inches.

    Returns
    -------
    Plot
        The plot.
    """
    import matplotlib as mpl
    from markupsafe import Markup, escape
    from matplotlib.figure import Figure

    dark = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
    settings = {
        # Labels of classes are no formulas, and text stays text.
        "text.parse_math": False,
        "svg.fonttype": "none",
        # The same plot gets the same text.
        "svg.hashsalt": name,
        "font.family": "sans-serif",
        "font.size": 10,
        **dict.fromkeys(dark, _TEXT_COLOUR),
        **dict.fromkeys(("figure.facecolor", "axes.facecolor", "legend.facecolor"), "none"),
    }
    with mpl.rc_context(settings):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.subplots())
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    # Without the prologue of a file of its own, and with a name for screen readers.
    svg = svg[svg.index("<svg") :].replace(_TEXT_COLOUR, "currentColor")
    svg = svg.replace("stroke: #000000", "stroke: currentColor")
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<svg ([^>]*?) width="[^"]*"', r"<svg \1", svg, count=1)
    svg = re.sub(r'<svg ([^>]*?)height="[^"]*" ', r"<svg \1", svg, count=1)
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    named = f'<svg role="img" aria-label="{escape(description)}" '
    return Plot(Markup(svg.replace("<svg ", named, 1)), caption)

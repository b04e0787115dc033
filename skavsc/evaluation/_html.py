"""The report of a classifier as one HTML file."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from skavsc.evaluation._clip_displays import TrainingDisplay
from skavsc.evaluation._displays import (
    ClassAccuracyDisplay,
    ReliabilityDisplay,
    SceneConfusionDisplay,
)
from skavsc.evaluation._html_parts import (
    Plot,
    class_table,
    column_table,
    comparison_table,
    complexity_table,
    data_table,
    embedded_frames,
    embedded_plot,
    embedded_sound,
    fold_table,
    interval,
    percent,
    summary_table,
    suspect_table,
    titles,
)
from skavsc.evaluation._scene_report import SceneReport
from skavsc.exceptions import MediaError

if TYPE_CHECKING:
    import jinja2

_PACKAGES = (
    "skavsc",
    "scikit-learn",
    "keras",
    "tensorflow",
    "jax",
    "torch",
    "onnxruntime",
    "numpy",
    "scipy",
    "pandas",
    "librosa",
    "av",
    "opencv-python-headless",
)


def write_report(
    report: SceneReport,
    path: str | os.PathLike[str],
    *,
    title: str | None = None,
    others: Sequence[SceneReport] = (),
    by: Sequence[str] = (),
    complexity: pd.DataFrame | None = None,
    how_to_repeat: str = "",
    n_errors: int = 12,
    n_label_errors: int = 8,
) -> Path:
    """Write a report as one HTML file that needs nothing else.

    Parameters
    ----------
    report : SceneReport
        From `cross_validate_scenes` or `scene_report`. Sound and frames are read from the files in
        the columns ``audio`` and ``video`` of its clip table, where it has them.
    path : path-like
        The file to write or to replace.
    title : str, optional
        The title; by default the name of the system.
    others : sequence of SceneReport, default=()
        Reports of other systems on the same clips, to compare with.
    by : sequence of str, default=()
        Columns of the clip table, such as ``"city"``, that get a table of metrics each.
    complexity : pandas.DataFrame, optional
        From `complexity_report`.
    how_to_repeat : str, default=""
        The commands that lead to these results.
    n_errors : int, default=12
        Maximum number of wrong clips to show with their sound and frames, at least 0.
    n_label_errors : int, default=8
        Maximum number of likely label errors to show, at least 0: clips whose own label has a
        probability below 50 %.

    Returns
    -------
    pathlib.Path
        The path written.

    Raises
    ------
    ImportError
        If Jinja or matplotlib is not installed.

    Notes
    -----
    The size is bounded by the two numbers of clips: some 250 kB a clip of 10 s, whatever the
    number of clips in the report. A file that cannot be read is named in its place.

    The page runs no scripts and loads nothing. It is laid out for screens from 360 pixels, for
    paper, and for light and dark colours, as the reader's system has them.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from skavsc.evaluation import scene_report, write_report
    >>> report = scene_report(["bus", "tram", "tram"], [[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_report(report, pathlib.Path(folder) / "report.html")
    ...     "Surest errors" in path.read_text(encoding="utf-8")
    True
    """
    template = _template()
    errors = report.errors(n_errors)
    suspects = report.label_errors(n_label_errors)
    suspects = suspects[suspects["probability_of_true"] < 0.5]
    shown = suspects.drop(index=errors.index, errors="ignore")
    training = [
        _training_plot(histories, fold)
        for fold, histories in enumerate(report.histories)
        if histories
    ]
    summary = report.summary()
    page = template.render(
        warning=_warning(report),
        title=title or f"Scene classification by {report.name}",
        sections=_sections(with_training=bool(training), with_complexity=complexity is not None),
        answer=_answer(report, summary),
        figures=_figures(summary),
        summary=summary_table(summary),
        comparisons=[(other.name, comparison_table(report, other)) for other in others],
        plots=_plots(report, others),
        classes=class_table(report),
        columns=[(name, column_table(report.by(name))) for name in by],
        errors=[_card(row, clip) for row, clip in errors.iterrows()],
        n_errors=len(report.errors()),
        suspects=suspect_table(suspects),
        suspect_cards=[_card(row, clip) for row, clip in shown.iterrows()],
        data=_data_sentence(report),
        data_table=data_table(report),
        folds=fold_table(report) if report.folds else None,
        training=training[:3],
        complexity=None if complexity is None else complexity_table(complexity),
        how_to_repeat=how_to_repeat,
        estimator=report.estimator,
        versions=_versions(),
    )
    path = Path(path)
    path.write_text(page, encoding="utf-8")
    return path


def _template() -> jinja2.Template:
    try:
        import jinja2
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "write_report needs Jinja and matplotlib; install them with: "
            "pip install 'skavsc[report]'"
        ) from error
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("skavsc.evaluation"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.jinja")


def _sections(*, with_training: bool, with_complexity: bool) -> list[tuple[str, str]]:
    """Return the anchor and the heading of each section, in their order on the page."""
    return [
        ("answer", "How good is it?"),
        ("classes", "What is confused"),
        ("errors", "Surest errors"),
        ("labels", "Likely label errors"),
        ("data", "Data and folds"),
        *([("training", "Training")] if with_training else []),
        *([("complexity", "Complexity")] if with_complexity else []),
        ("repeat", "How to repeat it"),
    ]


def _warning(report: SceneReport) -> str:
    """Return what is to be known before the figures, or nothing."""
    n_known = 0 if report.trained_on is None else np.count_nonzero(report.trained_on)
    if not n_known:
        return ""
    return (
        f"The classifier was trained on {n_known} of these {len(report.y)} clips. The figures are "
        "too good, and do not tell how it does on new clips."
    )


def _answer(report: SceneReport, summary: pd.DataFrame) -> list[str]:
    clips: Any = summary.loc["clips"]
    chance = 1 / len(report.classes)
    low, high = clips["accuracy_low_locations"], clips["accuracy_high_locations"]
    source = f"by {clips['n_locations']:.0f} recording locations"
    if pd.isna(low):
        low, high, source = clips["accuracy_low"], clips["accuracy_high"], "by clips"
    held_out = " held out of its training" if report.folds else ""
    sentences = [
        f"{percent(clips['accuracy'])} of {clips['n']:.0f} clips{held_out} are classified "
        f"correctly (95\u00a0% interval {interval(low, high)}\u00a0%, {source}). Guessing among "
        f"{len(report.classes)} classes has {percent(chance)}.",
    ]
    names = titles(summary)
    parts = [
        f"{percent(value)} ({names[str(name)]})"
        for name, value in summary["accuracy"].items()
        if str(name).startswith("without ")
    ]
    if parts:
        sentences.append(
            f"With all modalities it has {percent(clips['accuracy'])}; the same classifier has "
            f"{' and '.join(parts)}."
        )
    return sentences


def _figures(summary: pd.DataFrame) -> list[tuple[str, str, str]]:
    clips: Any = summary.loc["clips"]
    guessing: Any = summary.loc["guessing"]
    return [
        ("Accuracy", percent(clips["accuracy"]), f"guessing: {percent(guessing['accuracy'])}"),
        (
            "Macro log loss",
            f"{clips['macro_log_loss']:.3f}",
            f"guessing: {guessing['macro_log_loss']:.3f}; lower is better",
        ),
        (
            "Calibration error",
            percent(clips["calibration_error"]),
            "mean gap between confidence and accuracy",
        ),
        ("Clips", f"{clips['n']:.0f}", f"of {clips['n_locations']:.0f} recording locations"),
    ]


def _plots(report: SceneReport, others: Sequence[SceneReport]) -> list[Plot]:
    table = report.predictions()
    n_classes = len(report.classes)
    truth = table["true"].to_numpy()
    systems = {
        each.name: each.predictions()["predicted"].reindex(table.index).to_numpy()
        for each in (report, *others)
    }
    size = max(4.2, 0.42 * n_classes + 1.6)
    worst = report.by_class()["accuracy"].dropna().sort_values()
    accuracies = "; ".join(f"{name} {percent(value, 0)}" for name, value in worst.items())
    probabilities = report.probabilities[table.index]
    return [
        embedded_plot(
            "plot-confusion",
            lambda ax: _without_zeros(
                SceneConfusionDisplay.from_predictions(
                    truth, systems[report.name], ax=ax, text_kw={"fontsize": 10}
                )
            ),
            "Shares of the clips of each class (rows) by the label that is predicted (columns); "
            "classes that are often confused stand side by side, and shares of 0.00 are left out.",
            f"Confusion matrix. Accuracy by class: {accuracies}.",
            (size, size),
        ),
        embedded_plot(
            "plot-accuracy",
            lambda ax: ClassAccuracyDisplay.from_predictions(truth, systems, ax=ax),
            "Accuracy of each class.",
            f"Accuracy by class: {accuracies}.",
            (4.6, 1.6 + 0.32 * n_classes),
        ),
        embedded_plot(
            "plot-reliability",
            lambda ax: ReliabilityDisplay.from_predictions(
                truth, probabilities, labels=report.classes, ax=ax
            ),
            "Accuracy against the probability of the predicted label; below the dotted line the "
            "classifier is overconfident.",
            "Reliability diagram; the expected calibration error is given in the table above.",
            (4.2, 4.2),
        ),
    ]


def _without_zeros(display: SceneConfusionDisplay) -> None:
    """Leave out the many zeros, so that what is confused stands out."""
    for text in np.ravel(display.text_):
        if text.get_text() == "0.00":
            text.set_text("")


def _training_plot(histories: Mapping[str, Any], fold: int) -> Plot:
    last = "; ".join(f"{name} ends at {of['loss'][-1]:.3f}" for name, of in histories.items())
    return embedded_plot(
        f"plot-training-{fold}",
        lambda ax: TrainingDisplay(histories).plot(ax=ax),
        f"Loss after each epoch in fold {fold}.",
        f"Loss by epoch in fold {fold}: {last}.",
        (5.2, 4.0),
    )


def _card(row: Any, clip: pd.Series[Any]) -> dict[str, Any]:
    """Return what a clip's card shows, with its media as far as they can be read."""
    audio, video = (
        None if name not in clip or pd.isna(clip[name]) else clip[name]
        for name in ("audio", "video")
    )
    card: dict[str, Any] = {
        "row": row,
        "true": clip["true"],
        "predicted": clip["predicted"],
        "probability": percent(clip["probability"]),
        "probability_of_true": percent(clip["probability_of_true"], 2),
        "location": clip["location"],
        "file": Path(str(audio or video)).name if audio or video else "",
        "sound": None,
        "picture": None,
        "picture_size": (0, 0),
        "problems": [],
    }
    try:
        if audio is not None:
            card["sound"] = embedded_sound(audio)
    except MediaError as error:
        card["problems"].append(f"The sound cannot be read: {error.cause}")
    try:
        if video is not None:
            card["picture"], card["picture_size"] = embedded_frames(video)
    except MediaError as error:
        card["problems"].append(f"The picture cannot be read: {error.cause}")
    return card


def _data_sentence(report: SceneReport) -> str:
    n_tested = len(report.predictions())
    return (
        f"{len(report.y)} clips of {len(np.unique(report.groups))} recording locations and "
        f"{len(report.classes)} classes; {n_tested} of them are tested"
        f"{f', in {len(report.folds)} folds' if report.folds else ''}."
    )


def _versions() -> pd.DataFrame:
    versions = {
        "Python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
    }
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    if "keras" in sys.modules:
        versions["Keras backend"] = sys.modules["keras"].backend.backend()
    return pd.DataFrame({"version": versions})

"""``skavsc predict`` and ``skavsc evaluate``: a trained model on files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import joblib
import numpy as np
import pandas as pd

from skavsc.cli._common import (
    clip_table,
    collected_failures,
    json_option,
    load_clips,
    print_table,
    readable,
    say,
    say_failures,
)
from skavsc.evaluation import scene_report, write_submission


def _load(path: str) -> Any:
    """Load a model that ``skavsc train`` or ``joblib.dump`` has written."""
    model = joblib.load(path)
    if not hasattr(model, "predict_proba"):
        raise click.BadParameter(
            f"{path} holds a {type(model).__name__}, which predicts no probabilities; give a "
            "model from `skavsc train`"
        )
    return model


def _probabilities(model: Any, X: pd.DataFrame) -> tuple[Any, dict[str, Any]]:
    """Predict clips, NaN for those of which nothing can be read."""
    with collected_failures() as failures:
        features = model[:-1].transform(X)
    there = readable(features)
    probabilities = np.full((len(X), len(model.classes_)), np.nan)
    if there.any():
        probabilities[there] = model[-1].predict_proba(features[there])
    return probabilities, failures


@click.command()
@click.argument("model", type=click.Path(exists=True, dir_okay=False))
@click.argument("files", nargs=-1, required=True)
@click.option("--top", type=click.IntRange(1), default=3, show_default=True, help="Scenes a file.")
@json_option
def predict(model: str, files: tuple[str, ...], top: int, as_json: bool) -> None:
    """Predict the scenes of FILES with MODEL.

    Only load models that you trust: they are joblib files, which can run code.
    """
    fitted = _load(model)
    X = clip_table(files)
    probabilities, failures = _probabilities(fitted, X)
    rows = []
    for path, row in zip(files, probabilities, strict=True):
        best = np.argsort(row)[::-1][: 0 if np.isnan(row).any() else top]
        rows += [
            {"file": path, "rank": rank, "scene": str(fitted.classes_[k]), "probability": row[k]}
            for rank, k in enumerate(best, start=1)
        ]
    table = pd.DataFrame(rows, columns=["file", "rank", "scene", "probability"])
    print_table(table, as_json, index=False)
    say_failures(failures)
    if np.isnan(probabilities).any():
        raise click.ClickException("some files could not be predicted")


@click.command()
@click.argument("model", type=click.Path(exists=True, dir_okay=False))
@click.argument("data", type=click.Path(exists=True))
@click.option("--groups", help="Regular expression: the location in a clip's name.")
@click.option("--report", "report_path", type=click.Path(dir_okay=False), help="An HTML report.")
@click.option("--submission", type=click.Path(dir_okay=False), help="The challenge's file.")
@json_option
def evaluate(
    model: str,
    data: str,
    groups: str | None,
    report_path: str | None,
    submission: str | None,
    as_json: bool,
) -> None:
    """Predict the labelled clips of DATA with MODEL, which was not trained on them."""
    fitted = _load(model)
    clips = load_clips(data, groups)
    probabilities, failures = _probabilities(fitted, clips.X)
    result = scene_report(
        clips.y,
        probabilities,
        labels=fitted.classes_,
        groups=clips.groups,
        clips=clips.X,
        name=Path(model).name,
    )
    print_table(result.summary(), as_json)
    if report_path is not None:
        say(f"Report: {result.to_html(report_path)}")
    if submission is not None:
        there = ~np.isnan(probabilities).any(axis=1)
        names = clips.X["audio"].fillna(clips.X["video"])[there].map(lambda p: Path(p).name)
        write_submission(submission, list(names), probabilities[there], list(fitted.classes_))
        say(f"Submission: {submission}")
    say_failures(failures)

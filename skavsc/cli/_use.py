"""``skavsc predict`` and ``skavsc evaluate``: a trained model on files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd

from skavsc.cli._common import (
    Failures,
    clip_table,
    collected_failures,
    groups_option,
    is_in_tau_layout,
    json_option,
    load_clips,
    load_model,
    output_option,
    print_table,
    progress,
    report_option,
    say,
    trained_on,
    write_html,
)
from skavsc.evaluation import (
    SceneReport,
    scene_report,
    scene_segments,
    scene_timeline,
    write_edl,
    write_submission,
)
from skavsc.exceptions import MediaError
from skavsc.streaming import predict_clips


def _probabilities(model: Any, X: pd.DataFrame) -> tuple[Any, Failures]:
    """Predict clips, NaN for those of which nothing can be read."""
    with collected_failures() as failures:
        return predict_clips(model, X, verbose=progress()), failures


@click.command()
@click.argument("model", type=click.Path(exists=True, dir_okay=False))
@click.argument("files", nargs=-1, required=True)
@click.option("--top", type=click.IntRange(1), default=3, show_default=True, help="Scenes a file.")
@click.option(
    "--timeline", is_flag=True, help="Segments of one scene, of recordings of any length."
)
@click.option(
    "--hop",
    type=click.FloatRange(0, min_open=True),
    default=1.0,
    show_default=True,
    help="Seconds from one prediction of a timeline to the next.",
)
@click.option(
    "--shortest",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    help="Seconds of the shortest segment of a timeline.",
)
@output_option("--probabilities", help="A CSV file for the timeline's probabilities, row by row.")
@output_option("--edl", help="An edit decision list (CMX 3600) for the timeline of one file.")
@click.option("--fps", type=click.FloatRange(1), default=25.0, show_default=True, help="Of --edl.")
@json_option
def predict(
    model: str,
    files: tuple[str, ...],
    top: int,
    timeline: bool,
    hop: float,
    shortest: float,
    probabilities: str | None,
    edl: str | None,
    fps: float,
    as_json: bool,
) -> None:
    """Predict the scenes of FILES with MODEL, a file from `skavsc train` or skavsc.save.

    A file is judged by its beginning, as long as the clips that the model was trained on. With
    --timeline it is judged all along, and its segments are printed: start and end in seconds,
    scene, and mean probability.
    """
    if not timeline and (probabilities is not None or edl is not None):
        raise click.UsageError("--probabilities and --edl are of a timeline; add --timeline")
    if edl is not None and len(files) > 1:
        raise click.UsageError(f"--edl is for one file, of {len(files)}")
    X = clip_table(files)
    fitted = load_model(model)
    if timeline:
        unknown = _timelines(fitted, files, hop, shortest, probabilities, edl, fps, as_json)
    else:
        unknown = _clips(fitted, files, X, top, as_json)
    if unknown:
        raise click.ClickException(f"no prediction for {', '.join(unknown)}")


def _clips(model: Any, files: Sequence[str], X: pd.DataFrame, top: int, as_json: bool) -> list[str]:
    """Print the likeliest scenes of files; return those that are not predicted."""
    probabilities, failures = _probabilities(model, X)
    rows = []
    for path, row in zip(files, probabilities, strict=True):
        best = np.argsort(row)[::-1][: 0 if np.isnan(row).any() else top]
        rows += [
            {"file": path, "rank": rank, "scene": str(model.classes_[k]), "probability": row[k]}
            for rank, k in enumerate(best, start=1)
        ]
    table = pd.DataFrame(rows, columns=["file", "rank", "scene", "probability"])
    print_table(table, as_json, index=False)
    failures.say()
    return [path for path, row in zip(files, probabilities, strict=True) if np.isnan(row).any()]


def _timelines(
    model: Any,
    files: Sequence[str],
    hop: float,
    shortest: float,
    probabilities: str | None,
    edl: str | None,
    fps: float,
    as_json: bool,
) -> list[str]:
    """Print the segments of files; return those that are not predicted."""
    lines, tables = [], []
    with collected_failures() as failures:
        for path in files:
            try:
                line = scene_timeline(model, path, hop=hop)
            except MediaError as error:
                failures.add(error)
                continue
            segments = scene_segments(line, shortest=shortest)
            line.insert(0, "file", path)
            segments.insert(0, "file", path)
            lines.append(line)
            tables.append(segments)
    columns = ["file", "start", "end", "scene", "probability"]
    table = pd.concat(tables) if tables else pd.DataFrame(columns=columns)
    print_table(table, as_json, index=False)
    if lines and probabilities is not None:
        pd.concat(lines).to_csv(probabilities, index=False, float_format="%.6g")
        say(f"Probabilities: {probabilities}")
    if tables and edl is not None:
        write_edl(edl, tables[0], clip=Path(files[0]).name, fps=fps, title=Path(files[0]).stem)
        say(f"Edit decision list: {edl}")
    failures.say()
    found = {path for table in tables for path in table["file"]}
    return [path for path in files if path not in found]


def _clips_to_judge(data: str, groups: str | None, subset: str | None) -> Any:
    """Load the clips to evaluate with; print which they are of a set in TAU's layout."""
    if not is_in_tau_layout(data):
        if subset is not None:
            raise click.UsageError(
                f"--subset is of a set in the layout of TAU Urban Audio-Visual Scenes; {data} has "
                "no meta.csv"
            )
        return load_clips(data, groups)
    n_folds = len(list(Path(data, "evaluation_setup").glob("fold*_evaluate.csv")))
    if subset is None and n_folds > 1:
        # A test clip of one fold is a training clip of another.
        raise click.UsageError(
            f"{data} has {n_folds} official folds; say by --subset which clips the model was not "
            "trained on: evaluate (of the first fold) or all"
        )
    if subset is None:
        subset = "evaluate" if n_folds else "all"
    clips = load_clips(data, groups, subset=subset)
    part = "" if subset == "all" else " of the first official fold"
    trained_on = ", training clips included" if n_folds and subset in ("train", "all") else ""
    say(f"Subset {subset!r}{part}: {len(clips.X)} clips{trained_on}")
    return clips


def _say_if_trained_on(result: SceneReport) -> None:
    """Print a line if the clips are not, or may not be, new to the model."""
    if result.trained_on is None:
        say(f"{result.name} does not tell which clips it was trained on; these should be others")
    elif n_known := np.count_nonzero(result.trained_on):
        say(
            f"Warning: {result.name} was trained on {n_known} of these {len(result.y)} clips; the "
            "scores are too good, and do not tell how it does on new clips"
        )


@click.command()
@click.argument("model", type=click.Path(exists=True, dir_okay=False))
@click.argument("data", type=click.Path(exists=True))
@click.option(
    "--subset",
    type=click.Choice(["evaluate", "train", "test", "all"]),
    help="Of a set in TAU's layout; by default the official evaluation clips, or all without any.",
)
@groups_option
@report_option
@output_option("--submission", help="The challenge's submission file.")
@json_option
def evaluate(
    model: str,
    data: str,
    subset: str | None,
    groups: str | None,
    report_path: str | None,
    submission: str | None,
    as_json: bool,
) -> None:
    """Predict the clips of DATA with MODEL, which should not be trained on them.

    Of a set in the layout of TAU Urban Audio-Visual Scenes these are the official evaluation
    clips. Clips without labels are predicted for --submission, and not judged. If MODEL is of
    `skavsc train`, a warning tells how many of the clips it was trained on.
    """
    fitted = load_model(model)
    clips = _clips_to_judge(data, groups, subset)
    if clips.y is None and (submission is None or report_path is not None):
        raise click.UsageError(
            "the clips have no labels to judge the model by; give --submission without --report "
            "to write its predictions"
        )
    probabilities, failures = _probabilities(fitted, clips.X)
    if clips.y is None:
        say("The clips have no labels: there are no scores, only the submission")
    else:
        result = scene_report(
            clips.y,
            probabilities,
            labels=fitted.classes_,
            groups=clips.groups,
            clips=clips.X,
            name=Path(model).name,
        )
        result.trained_on = trained_on(model, clips.X)
        _say_if_trained_on(result)
        print_table(result.summary(), as_json)
        if report_path is not None:
            write_html(result, report_path)
    if submission is not None:
        there = ~np.isnan(probabilities).any(axis=1)
        names = clips.X["audio"].fillna(clips.X["video"])[there].map(lambda p: Path(p).name)
        write_submission(submission, list(names), probabilities[there], list(fitted.classes_))
        say(f"Submission: {submission}")
    failures.say()

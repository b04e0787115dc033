"""``skavsc train`` and ``skavsc report``: a recipe on labelled clips."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import joblib
import numpy as np

from skavsc.cli._common import (
    collected_failures,
    json_option,
    load_clips,
    print_table,
    progress,
    readable,
    say,
    say_failures,
)
from skavsc.evaluation import cross_validate_scenes
from skavsc.recipes import LocationFolds, choose_recipe, make_scene_classifier


def _recipe_options(command: Any) -> Any:
    for option in (
        click.argument("data", type=click.Path(exists=True)),
        click.option(
            "--recipe",
            type=click.Choice(["auto", "embeddings", "statistics", "published"]),
            default="auto",
            show_default=True,
            help="How to classify; auto chooses by what is there.",
        ),
        click.option("--audio-model", help="Frozen network for sound: a name or a file."),
        click.option("--image-model", help="Frozen network for frames: a name or a file."),
        click.option("--groups", help="Regular expression: the location in a clip's name."),
        click.option("--duration", type=float, default=10.0, show_default=True, help="Seconds."),
        click.option("--folds", type=click.IntRange(2), default=5, show_default=True),
        click.option("--jobs", type=int, default=1, show_default=True, help="Processes; -1: all."),
        click.option("--seed", type=int, default=0, show_default=True),
        click.option("--cache", type=click.Path(file_okay=False), help="Folder to keep features."),
        json_option,
    ):
        command = option(command)
    return command


def _prepared(
    data: str,
    recipe: str,
    audio_model: str | None,
    image_model: str | None,
    groups: str | None,
    duration: float,
    jobs: int,
    seed: int,
    cache: str | None,
) -> tuple[Any, Any]:
    """Load the clips, choose the recipe, and say both."""
    clips = load_clips(data, groups)
    modalities = [
        modality
        for modality, column in (("audio", "audio"), ("visual", "video"))
        if clips.X[column].notna().any()
    ]
    n_locations = len(np.unique(clips.groups))
    say(
        f"{len(clips.X)} clips of {len(np.unique(clips.y))} classes from {n_locations} recording "
        f"locations; with {' and '.join(modalities)}"
    )
    choice = choose_recipe(
        clips.y, clips.groups, modalities, audio_model=audio_model, image_model=image_model
    )
    if recipe != "auto":
        choice = choice._replace(recipe=recipe, reason="as asked for")
    say(f"Recipe: {choice.recipe} ({choice.reason})")
    models = {"audio_model": audio_model, "image_model": image_model}
    pipeline = make_scene_classifier(
        choice.recipe,
        modalities=modalities,
        duration=duration,
        C=choice.C,
        memory=cache,
        n_jobs=jobs,
        on_error="missing",
        random_state=seed,
        verbose=progress(),
        **{name: model for name, model in models.items() if model is not None},
    )
    return clips, pipeline


def _cross_validated(pipeline: Any, clips: Any, folds: int) -> Any:
    """Cross-validate on the clips of which something can be read; return report and clips."""
    # Features once, in this process; the folds share them.
    features = pipeline[:-1].fit_transform(clips.X)
    there = readable(features)
    if not there.all():
        say(f"{np.count_nonzero(~there)} clips have nothing that can be read and are left out")
    report = cross_validate_scenes(
        pipeline[-1],
        features[there],
        clips.y[there],
        groups=clips.groups[there],
        cv=LocationFolds(folds, random_state=0),
        modalities=features.dtype.names or (),
        clips=clips.X[there],
        name="skavsc",
    )
    return report, features, there


@click.command()
@_recipe_options
@click.option("-o", "--output", type=click.Path(dir_okay=False), required=True)
@click.option("--report", "report_path", type=click.Path(dir_okay=False), help="An HTML report.")
def train(output: str, report_path: str | None, folds: int, as_json: bool, **options: Any) -> None:
    """Train a model on DATA and write it to a file.

    DATA is a folder with one folder of clips a label, a CSV file with the columns audio, video,
    label and group, or a set in the layout of TAU Urban Audio-Visual Scenes.

    The model is cross-validated with whole recording locations held out, then trained on all
    clips. Give --groups where several clips were recorded at one place.
    """
    with collected_failures() as failures:
        clips, pipeline = _prepared(**options)
        report, features, there = _cross_validated(pipeline, clips, folds)
        print_table(report.summary(), as_json)
        if report_path is not None:
            say(f"Report: {report.to_html(report_path)}")
        pipeline[-1].fit(features[there], clips.y[there], groups=clips.groups[there])
        joblib.dump(pipeline, output)
    say_failures(failures)
    say(f"Model: {output}")
    say(f"Use it: skavsc predict {output} FILE...")


@click.command()
@_recipe_options
@click.option("-o", "--output", type=click.Path(dir_okay=False), required=True)
def report(output: str, folds: int, as_json: bool, **options: Any) -> None:
    """Cross-validate a recipe on DATA and write an HTML report; no model is kept."""
    with collected_failures() as failures:
        clips, pipeline = _prepared(**options)
        result, _, _ = _cross_validated(pipeline, clips, folds)
        print_table(result.summary(), as_json)
        written: Path = result.to_html(output)
    say_failures(failures)
    say(f"Report: {written}")

"""``skavsc train`` and ``skavsc report``: a recipe on labelled clips."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import click
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skavsc.cli._common import (
    collected_failures,
    file_digests,
    groups_option,
    json_option,
    load_clips,
    output_option,
    print_table,
    progress,
    readable,
    report_option,
    say,
    set_verbosity,
    share_read,
    write_html,
)
from skavsc.evaluation import SceneReport, complexity_report, cross_validate_scenes
from skavsc.persistence import save
from skavsc.recipes import LocationFolds, choose_recipe, make_scene_classifier

_COLUMNS = {"audio": "audio", "visual": "video"}
# The word for what is missing, by the modality that is there.
_WORDS = {"audio": "a picture", "visual": "sound"}


def recipe_options(command: Any) -> Any:
    """Add the arguments of ``prepare``."""
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
        groups_option,
        click.option(
            "--duration",
            type=click.FloatRange(0, min_open=True),
            default=10.0,
            show_default=True,
            help="Seconds of each clip.",
        ),
        click.option("--jobs", type=int, default=1, show_default=True, help="Processes; -1: all."),
        click.option("--seed", type=int, default=0, show_default=True),
        click.option("--cache", type=click.Path(file_okay=False), help="Folder to keep features."),
    ):
        command = option(command)
    return command


_folds_option = click.option(
    "--folds",
    type=click.IntRange(2),
    help="Of a cross-validation; by default the official ones of DATA, or 5.",
)


class Prepared(NamedTuple):
    """A recipe, and labelled clips with their features."""

    pipeline: Any
    modalities: list[str]
    features: NDArray[Any]
    clips: pd.DataFrame
    y: NDArray[Any]
    groups: NDArray[Any]
    recipe: str
    #: The official folds, where there are any.
    folds: list[tuple[NDArray[np.intp], NDArray[np.intp]]] | None

    def readable(self) -> Prepared:
        """Leave out the clips of which nothing can be read."""
        there = readable(self.features)
        if not there.any():
            raise click.ClickException("none of the clips can be read")
        if not there.all():
            say(f"{np.count_nonzero(~there)} clips have nothing that can be read and are left out")
        parts = {name: getattr(self, name)[there] for name in ("features", "clips", "y", "groups")}
        folds = self.folds
        if folds is not None:
            row = np.cumsum(there) - 1
            folds = [(row[train[there[train]]], row[test[there[test]]]) for train, test in folds]
        return self._replace(folds=folds, **parts)


def prepare(
    data: str,
    recipe: str,
    audio_model: str | None,
    image_model: str | None,
    groups: str | None,
    duration: float,
    jobs: int,
    seed: int,
    cache: str | None,
) -> Prepared:
    """Load the clips, choose the recipe, say both, and compute the features."""
    clips = load_clips(data, groups)
    if clips.y is None:
        raise click.UsageError(f"the clips of {data} have no labels (scene_label in meta.csv)")
    modalities = [name for name, column in _COLUMNS.items() if clips.X[column].notna().any()]
    n_locations = len(np.unique(clips.groups))
    say(
        f"{len(clips.X)} clips of {len(np.unique(clips.y))} classes from {n_locations} recording "
        f"locations; with {' and '.join(modalities)}"
    )
    models = {"audio_model": audio_model, "image_model": image_model}
    choice = choose_recipe(clips.y, clips.groups, modalities, **models)
    if recipe != "auto":
        choice = choice._replace(recipe=recipe, reason="as asked for")
    say(f"Recipe: {choice.recipe} ({choice.reason})")

    def build(modalities: list[str]) -> Any:
        return make_scene_classifier(
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

    pipeline, modalities, features = _with_features(build, modalities, clips.X)
    _say_if_short(features, duration)
    return Prepared(
        pipeline,
        modalities,
        features,
        clips.X,
        clips.y,
        clips.groups,
        choice.recipe,
        clips.get("cv"),
    )


def _with_features(
    build: Callable[[list[str]], Any], modalities: list[str], X: pd.DataFrame
) -> tuple[Any, list[str], NDArray[Any]]:
    """Return a pipeline, its modalities and the features of all clips.

    If one modality can be read in no clip, the pipeline is one of the other modality alone.
    """
    pipeline = build(modalities)
    # Once, in this process; the folds and the model share them.
    features = pipeline[:-1].fit_transform(X)
    if features.dtype.names is not None:
        found = [name for name in modalities if readable(features[name]).any()]
        if len(found) == 1:
            say(f"No clip has {_WORDS[found[0]]} that can be read")
            modalities, features, pipeline = found, features[found[0]], build(found)
            # Nothing is left to learn in it: features do not depend on other clips.
            pipeline[:-1].fit(X.iloc[:1])
    return pipeline, modalities, features


def _say_if_short(features: NDArray[Any], duration: float) -> None:
    """Print a line if most clips are shorter than the clips of the model."""
    # What lies behind the end of a clip is NaN.
    there = share_read(features)
    if there.any() and (typical := np.median(there[there > 0])) < 0.9:
        say(
            f"Most clips have about {typical * duration:.1f} s, and --duration is {duration:g}: "
            f"timelines will be judged in windows of {duration:g} s; give --duration "
            f"{typical * duration:.1f} for shorter ones"
        )


def _cross_validated(prepared: Prepared, folds: int | None) -> SceneReport:
    """Cross-validate with whole recording locations held out."""
    cv: Any = LocationFolds(folds or 5, random_state=0)
    if folds is None and prepared.folds is not None:
        cv = prepared.folds
        say(f"Official folds: {len(cv)}")
    return cross_validate_scenes(
        prepared.pipeline[-1],
        prepared.features,
        prepared.y,
        groups=prepared.groups,
        cv=cv,
        modalities=prepared.features.dtype.names or (),
        clips=prepared.clips,
        name=f"the recipe {prepared.recipe}",
    )


def _rows_to_train_on(prepared: Prepared, all_clips: bool) -> NDArray[np.intp]:
    """Return the rows for the model: where there is one official fold, its training clips."""
    if all_clips or prepared.folds is None or len(prepared.folds) != 1:
        rows = np.arange(len(prepared.y))
        say(f"The model is trained on all {len(rows)} clips, so judge it by others")
        return rows
    rows, held_out = prepared.folds[0]
    say(
        f"The model is trained on the {len(rows)} training clips of the official fold; "
        f"{len(held_out)} are left for `skavsc evaluate` (--all-clips trains on all)"
    )
    return rows


@click.command()
@recipe_options
@_folds_option
@click.option(
    "--all-clips", is_flag=True, help="Train on all clips of DATA, its evaluation clips included."
)
@output_option("-o", "--output", required=True, help="The model file, such as model.skops.")
@report_option
@json_option
def train(
    output: str,
    report_path: str | None,
    folds: int | None,
    all_clips: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Train a model on DATA and write it to a file.

    DATA is a folder with one folder of clips per label, a CSV file with the columns audio, video,
    label and group, or a set in the layout of TAU Urban Audio-Visual Scenes.

    The model is cross-validated with whole recording locations held out, then trained on all
    clips, or where DATA has one official fold on its training clips. Give --groups where several
    clips were recorded at one place.
    """
    with collected_failures() as failures:
        prepared = prepare(**options).readable()
        report = _cross_validated(prepared, folds)
        summary = report.summary()
        print_table(summary, as_json)
        model = prepared.pipeline
        rows = _rows_to_train_on(prepared, all_clips)
        y, locations = prepared.y[rows], prepared.groups[rows]
        model[-1].fit(prepared.features[rows], y, groups=locations)
        set_verbosity(model, 0)
        if report_path is not None:
            write_html(report, report_path, complexity_report(model))
        measured = summary.loc["clips"].to_dict()
        training = {
            "clips": len(y),
            "locations": len(np.unique(locations)),
            "file_digests": file_digests(prepared.clips.iloc[rows]),
            "metrics": {
                name: round(float(measured[name]), 4) for name in ("accuracy", "macro_log_loss")
            },
        }
        save(model, output, training=training)
    failures.say()
    say(f"Model: {output}")
    say(f"Use it: skavsc predict {output} FILE...")


@click.command()
@recipe_options
@_folds_option
@output_option("-o", "--output", required=True, help="The HTML file.")
@json_option
def report(output: str, folds: int | None, as_json: bool, **options: Any) -> None:
    """Cross-validate a recipe on DATA and write an HTML report; no model is kept."""
    with collected_failures() as failures:
        result = _cross_validated(prepare(**options).readable(), folds)
        print_table(result.summary(), as_json)
        write_html(result, output)
    failures.say()

"""``skavsc demo``."""

import click
import pandas as pd

from skavsc.cli._common import json_option, print_table, progress, say


@click.command()
@click.option("--directory", default="skavsc-demo", show_default=True, type=click.Path())
@click.option("--audio-model", help="Frozen network for sound: a name or a file.")
@click.option("--image-model", help="Frozen network for frames: a name or a file.")
@click.option("--full", is_flag=True, help="Train the published networks too: some ten minutes.")
@click.option("--weights", help="VGG16 weights for --full: the Places365 file, or places365.")
@click.option("--quiet", is_flag=True, help="No progress bars.")
@json_option
def demo(
    directory: str,
    audio_model: str | None,
    image_model: str | None,
    full: bool,
    weights: str | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Render scenes, train, compare, write a report and a model, predict an unseen clip."""
    if weights is not None and not full:
        raise click.UsageError("--weights is for the published networks; add --full")
    models = {"audio_model": audio_model, "image_model": image_model}
    given = {name: model for name, model in models.items() if model is not None}
    if len(given) == 1:
        raise click.UsageError("give --audio-model and --image-model both, or neither")
    if given and full:
        raise click.UsageError("--full trains the published networks; leave the frozen ones out")
    from skavsc._demo import run_demo, run_full_demo

    tell = say if as_json else click.echo
    verbose = 0 if quiet else progress()
    if full:
        table = run_full_demo(directory, weights=weights, say=tell, verbose=verbose)
    else:
        reports = run_demo(directory, models=given, say=tell, verbose=verbose)
        rows = {name: report.summary().loc["clips"] for name, report in reports.items()}
        table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("features")
    if as_json:
        print_table(table, as_json)

"""``skavsc demo``."""

import click

from skavsc.cli._common import progress


@click.command()
@click.option("--directory", default="skavsc-demo", show_default=True, type=click.Path())
@click.option("--full", is_flag=True, help="Train the published networks too: some ten minutes.")
@click.option("--weights", help="VGG16 weights for --full: the Places365 file, or places365.")
@click.option("--quiet", is_flag=True, help="No progress bars.")
def demo(directory: str, full: bool, weights: str | None, quiet: bool) -> None:
    """Render scenes, train, compare, write a report and a model, predict an unseen clip."""
    if weights is not None and not full:
        raise click.UsageError("--weights is for the published networks; add --full")
    from skavsc._demo import run_demo
    from skavsc._full_demo import run_full_demo

    if full:
        run_full_demo(
            directory, weights=weights, say=click.echo, verbose=0 if quiet else progress()
        )
    else:
        run_demo(directory, say=click.echo, verbose=0 if quiet else progress())

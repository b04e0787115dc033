"""The ``skavsc`` command."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

import skavsc


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of the command line.

    Returns
    -------
    argparse.ArgumentParser
        The parser.
    """
    parser = argparse.ArgumentParser(
        prog="skavsc", description="Audio-visual scene classification with scikit-learn."
    )
    parser.add_argument("--version", action="version", version=f"skavsc {skavsc.__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser(
        "demo",
        help="render scenes, train and compare, save, reload and use a model",
        description="Render scenes, turn them into features, train the audio and visual networks "
        "and their fusions with locations held out, save the best model, and predict an unseen "
        "clip with it in a fresh process.",
    )
    demo.add_argument(
        "--directory",
        default="skavsc-demo",
        help="where scenes, report and model go (default: %(default)s)",
    )
    demo.add_argument(
        "--weights",
        help="weights of VGG16: the path of the published Places365 file, or places365 to fetch "
        "it; without, the network is untrained",
    )
    demo.add_argument("--quiet", action="store_true", help="no progress bars")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    arguments : sequence of str, optional
        The words after ``skavsc``; by default those of the command line.

    Returns
    -------
    int
        The exit status.
    """
    options = build_parser().parse_args(arguments)
    # TensorFlow greets on the error stream unless it is told not to before it loads.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from skavsc._demo import run_demo

    run_demo(
        options.directory,
        weights=options.weights,
        say=lambda line: print(line, flush=True),
        verbose=not options.quiet,
    )
    return 0

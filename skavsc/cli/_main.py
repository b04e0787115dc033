"""The group of commands, how errors are printed, and TensorFlow without its greeting."""

from __future__ import annotations

import functools
import gc
import importlib.abc
import importlib.util
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

import click

import skavsc
from skavsc._startup import importing

# Where a command is defined. Modules are imported when their command runs, so that `skavsc --help`
# answers at once.
_COMMANDS = {
    "demo": ("_demo", "Render scenes, train, compare, write a report and a model."),
    "train": ("_train", "Train a model on labelled clips and write it to a file."),
    "predict": ("_use", "Predict the scenes of files."),
    "evaluate": ("_use", "Predict labelled clips with a model and say how good it is."),
    "report": ("_train", "Cross-validate a recipe on labelled clips and write an HTML report."),
    "features": ("_features", "Compute the features of labelled clips and write them to a file."),
    "complexity": ("_features", "Count the parameters and operations of a model."),
    "models": ("_models", "List, fetch, verify and describe frozen networks and model files."),
    "check": ("_check", "Show what works here: versions, processor, codecs, a self-test."),
}


class _LazyGroup(click.Group):
    """A group that imports a command's module when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        from importlib import import_module

        module = importing(lambda: import_module(f"skavsc.cli.{_COMMANDS[cmd_name][0]}"))
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(skavsc.__version__, prog_name="skavsc", message="%(prog)s %(version)s")
def skavsc_command() -> None:
    """Classify audio-visual scenes: find out where clips were filmed.

    Train a model on a folder of labelled clips, see how good it is, and use it:

    \b
        skavsc train clips/ -o model.skops --report report.html
        skavsc predict model.skops new.mp4
    """  # noqa: D301


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    arguments : sequence of str, optional
        The words after ``skavsc``; by default those of the command line.

    Returns
    -------
    int
        The exit status: 0, 1 for a failure, 2 for wrong usage, 130 after Ctrl-C.
    """
    hush_tensorflow()
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        skavsc_command.main(
            args=words,
            prog_name="skavsc",
            # The command that reports name under "How to repeat it".
            obj=shlex.join(["skavsc", *words]),
            standalone_mode=False,
        )
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return 130
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except BrokenPipeError:
        # The reader of the output, such as `head`, has closed it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (OSError, ValueError, ImportError, MemoryError) as error:
        click.echo(f"Error: {error}", err=True)
        for note in getattr(error, "__notes__", ()):
            click.echo(note, err=True)
        return 1
    return 0


def program() -> int:
    """Run the command in a process of its own, and let that end at once.

    Returns
    -------
    int
        The exit status, as of ``main``.
    """
    status = main()
    # Python would look for garbage among a million objects of packages, for half a second, in
    # memory that the system takes back anyway.
    gc.freeze()
    return status


# Since version 2.17 TensorFlow writes some lines on the error stream when it is imported, whatever
# TF_CPP_MIN_LOG_LEVEL says (https://github.com/tensorflow/tensorflow/issues/100442): what absl
# writes below the level of errors, and its notice that it does so.
_GREETING = re.compile(rb"WARNING: All log messages before absl|[IW]\d{4} |.*: [IW] ")


class _Finder(importlib.abc.MetaPathFinder):
    """Find TensorFlow once, for a loader that leaves out the greeting."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            run = functools.partial(_without_greeting, spec.loader.exec_module)
            spec.loader.exec_module = run  # type: ignore[method-assign]
        return spec


def _without_greeting(execute: Callable[[ModuleType], None], module: ModuleType) -> None:
    """Hold back what is written on the error stream, and write it without the greeting."""
    sys.stderr.flush()
    stream = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            execute(module)
        finally:
            sys.stderr.flush()
            os.dup2(stream, 2)
            os.close(stream)
            held.seek(0)
            for line in held:
                if not _GREETING.match(line):
                    os.write(2, line)


def hush_tensorflow() -> None:
    """Import TensorFlow without its greeting, unless it is loaded already."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if "tensorflow" not in sys.modules and not any(
        isinstance(finder, _Finder) for finder in sys.meta_path
    ):
        sys.meta_path.insert(0, _Finder())

"""The ``skavsc`` command: a thin layer over the public functions."""

from skavsc.cli._main import main

__all__ = ["main"]

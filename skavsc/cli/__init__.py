"""The ``skavsc`` command: a thin layer over the public functions."""

from skavsc.cli._main import main, program

__all__ = ["main", "program"]

"""TensorFlow without its greeting.

Since version 2.17 it writes some lines on the error stream when it is imported, whatever
TF_CPP_MIN_LOG_LEVEL says (https://github.com/tensorflow/tensorflow/issues/100442).
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.util
import os
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

# What absl writes below the level of errors, and its notice that it does so.
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

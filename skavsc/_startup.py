"""Import many modules without what CPython loses by it."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import TypeVar

_Result = TypeVar("_Result")


def importing(call: Callable[[], _Result]) -> _Result:
    """Call a function that imports many modules.

    Garbage collection waits meanwhile: again and again it would look for garbage among objects
    that stay. After imports all objects count as old, so that the next collections pass over them.

    Parameters
    ----------
    call : callable
        The function, without arguments.

    Returns
    -------
    object
        What it returns.
    """
    collecting, n_modules = gc.isenabled(), len(sys.modules)
    gc.disable()
    try:
        return call()
    finally:
        # The only way to make objects old without a look at each. What a program has frozen itself
        # stays so.
        if len(sys.modules) > n_modules and not gc.get_freeze_count():
            gc.freeze()
            gc.unfreeze()
        if collecting:
            gc.enable()


# CPython keeps the frames of Python functions in pieces of 16 KiB. Where calls cross the end of a
# piece, each call asks the system for the next one and each return gives it back, and nested
# imports often compute there (those of scikit-learn do, up to 30,000 times). So large a frame asks
# for half a megabyte at once, which holds those of all imports.
importing.__code__ = importing.__code__.replace(co_stacksize=1 << 15)

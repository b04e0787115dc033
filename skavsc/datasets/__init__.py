"""Clip tables: the TAU loader, folders, CSV files, generated scenes."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)

"""Model files: fitted estimators in one file that runs no code when it is loaded."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)

"""Audio-visual scene classification with scikit-learn.

Rows are clips: every estimator takes a table with one row per clip and the columns ``audio`` and
``video`` (paths), and NaN means missing. Importing this package is cheap; Keras, OpenCV and
librosa are loaded by the first call that needs them.
"""

import lazy_loader as _lazy

from skavsc import _keras_objects
from skavsc._startup import importing as _importing

__version__ = "0.1.0.dev0"

_attribute, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)


def __getattr__(name: str) -> object:
    return _importing(lambda: _attribute(name))


_keras_objects.register_with_keras()

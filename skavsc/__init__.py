"""Audio-visual scene classification with scikit-learn.

Rows are clips: every estimator takes a table with one row per clip and the columns ``audio`` and
``video`` (paths), and NaN means missing. Importing this package is cheap; Keras, OpenCV and
librosa are loaded by the first call that needs them.
"""

import lazy_loader as _lazy

from skavsc import _keras_objects

__version__ = "0.1.0.dev0"

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
_keras_objects.register_with_keras()

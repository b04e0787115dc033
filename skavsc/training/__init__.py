"""Training of Keras networks on random segments of clips.

`skavsc.training.augmentation` holds the augmentations that the classifiers take; the rest are
parts of the classifiers.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)

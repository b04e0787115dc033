from . import audio as audio
from . import classifiers as classifiers
from . import datasets as datasets
from . import evaluation as evaluation
from . import exceptions as exceptions
from . import fusion as fusion
from . import media as media
from . import networks as networks
from . import visual as visual
from .fusion import LateFusionClassifier as LateFusionClassifier
from .fusion import ModalityUnion as ModalityUnion

__version__: str

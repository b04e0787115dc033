from ._late import LateFusionClassifier as LateFusionClassifier
from ._union import ModalityUnion as ModalityUnion

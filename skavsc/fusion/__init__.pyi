from ._late import LateFusionClassifier as LateFusionClassifier
from ._segment_classifiers import SegmentClassifier as SegmentClassifier
from ._union import ModalityUnion as ModalityUnion

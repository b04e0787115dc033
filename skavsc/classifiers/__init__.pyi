from ._audio import AudioSceneClassifier as AudioSceneClassifier
from ._secrnn import SECRNNClassifier as SECRNNClassifier
from ._visual import VisualSceneClassifier as VisualSceneClassifier

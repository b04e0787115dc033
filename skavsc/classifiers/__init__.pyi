from ._audio import AudioSceneClassifier as AudioSceneClassifier
from ._embedding import EmbeddingSceneClassifier as EmbeddingSceneClassifier
from ._secrnn import SECRNNClassifier as SECRNNClassifier
from ._visual import VisualSceneClassifier as VisualSceneClassifier

from ._embedder import AudioEmbedder as AudioEmbedder
from ._plot import plot_clip as plot_clip
from ._transformer import GammatoneMelTransformer as GammatoneMelTransformer

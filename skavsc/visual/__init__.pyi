from ._embedder import ImageEmbedder as ImageEmbedder
from ._frames import LazyFrames as LazyFrames
from ._pixels import PixelEmbedder as PixelEmbedder
from ._sampler import VideoFrameSampler as VideoFrameSampler
from ._vgg import VGGPlacesEmbedder as VGGPlacesEmbedder

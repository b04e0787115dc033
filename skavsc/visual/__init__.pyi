from ._frames import LazyFrames as LazyFrames
from ._sampler import VideoFrameSampler as VideoFrameSampler

from ._backbones import ImagePreprocessing as ImagePreprocessing
from ._backbones import squeezenet11_base as squeezenet11_base
from ._backbones import vgg16_base as vgg16_base

from ._audio import audio_network as audio_network
from ._backbones import ImagePreprocessing as ImagePreprocessing
from ._backbones import colours as colours
from ._backbones import squeezenet11_base as squeezenet11_base
from ._backbones import vgg16_base as vgg16_base
from ._fusion import fusion_network as fusion_network
from ._layers import BlockScaling as BlockScaling
from ._visual import visual_network as visual_network

from ._card import ModelCard as ModelCard
from ._card import model_card as model_card
from ._model_file import load as load
from ._model_file import save as save
from ._onnx import to_onnx as to_onnx

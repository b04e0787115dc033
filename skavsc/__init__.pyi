from . import audio as audio
from . import classifiers as classifiers
from . import datasets as datasets
from . import evaluation as evaluation
from . import exceptions as exceptions
from . import fusion as fusion
from . import media as media
from . import networks as networks
from . import visual as visual
from .audio import GammatoneMelTransformer as GammatoneMelTransformer
from .datasets import load_clip_folder as load_clip_folder
from .datasets import load_clip_table as load_clip_table
from .datasets import load_tau_urban_av as load_tau_urban_av
from .datasets import make_scenes as make_scenes
from .evaluation import accuracy_interval as accuracy_interval
from .evaluation import class_log_loss as class_log_loss
from .evaluation import format_results as format_results
from .evaluation import macro_log_loss as macro_log_loss
from .evaluation import macro_log_loss_scorer as macro_log_loss_scorer
from .evaluation import read_submission as read_submission
from .evaluation import results_table as results_table
from .evaluation import write_submission as write_submission
from .fusion import LateFusionClassifier as LateFusionClassifier
from .fusion import ModalityUnion as ModalityUnion

__version__: str

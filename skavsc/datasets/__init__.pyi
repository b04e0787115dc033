from ._clip_table import load_clip_table as load_clip_table
from ._folder import kind_of_file as kind_of_file
from ._folder import load_clip_folder as load_clip_folder
from ._scenes import make_scenes as make_scenes
from ._tau import load_tau_urban_av as load_tau_urban_av

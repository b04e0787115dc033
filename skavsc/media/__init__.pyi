from ._picture import read_frames as read_frames
from ._sound import read_sound as read_sound
from ._write import write_clip as write_clip

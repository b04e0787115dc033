from ._file import open_media as open_media
from ._picture import INTERPOLATIONS as INTERPOLATIONS
from ._picture import read_frames as read_frames
from ._picture import resize_image as resize_image
from ._sound import read_sound as read_sound
from ._stream import stream_frames as stream_frames
from ._stream import stream_sound as stream_sound
from ._write import write_clip as write_clip

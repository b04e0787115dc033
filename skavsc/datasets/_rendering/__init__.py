"""How generated scenes look and sound."""

from skavsc.datasets._rendering._pictures import PICTURE_TWINS, PICTURES, render_pictures
from skavsc.datasets._rendering._sounds import SOUND_TWINS, SOUNDS, render_sound

__all__ = [
    "PICTURES",
    "PICTURE_TWINS",
    "SOUNDS",
    "SOUND_TWINS",
    "render_pictures",
    "render_sound",
]

from ._write import write_clip as write_clip

"""What a file's suffix tells about it."""

from __future__ import annotations

import mimetypes
import os

_SUFFIXES = {
    "sound": ".wav .flac .ogg .oga .opus .mp3 .m4a .aac .aif .aiff .aifc .au .caf .wma .w64 .rf64",
    "video": ".mp4 .m4v .mkv .mov .avi .webm .mpg .mpeg .ts .mts .m2ts .wmv .flv .3gp .ogv .mxf",
    "other": ".yaml .yml .toml .ini .log .md .rst .npy .npz .h5 .pkl .joblib .parquet .ipynb "
    ".lrv .thm .srt .vtt .db .bak .tmp .part .sha256 .md5",
}
_KINDS = {suffix: kind for kind, names in _SUFFIXES.items() for suffix in names.split()}
# Without the machine's own lists, so that a folder loads alike everywhere.
_TYPES = mimetypes.MimeTypes()


def kind_of_file(name: str) -> str:
    """Tell a file's kind: ``"sound"``, ``"video"``, plainly ``"other"``, or ``"unknown"``.

    A file without a suffix is an other.
    """
    suffix = os.path.splitext(name)[1].lower()
    if not suffix:
        return "other"
    if suffix in _KINDS:
        return _KINDS[suffix]
    type_ = _TYPES.guess_type(f"x{suffix}")[0]
    if type_ is None:
        return "unknown"
    return {"audio": "sound", "video": "video"}.get(type_.split("/")[0], "other")

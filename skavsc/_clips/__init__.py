"""Work over clips: from a clip table to one array, with a cache, progress and missing rows."""

from skavsc._clips._cache import ClipCache
from skavsc._clips._map import map_clips
from skavsc._clips._validation import (
    check_groups,
    check_labels,
    clip_sources,
    format_rows,
    is_missing,
)

__all__ = [
    "ClipCache",
    "check_groups",
    "check_labels",
    "clip_sources",
    "format_rows",
    "is_missing",
    "map_clips",
]

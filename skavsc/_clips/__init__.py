"""Work over clips: from a clip table to one array, with a cache, progress and missing rows."""

from skavsc._clips._atomic_files import unfinished_file
from skavsc._clips._cache import ClipCache
from skavsc._clips._map import map_clips, run_ahead
from skavsc._clips._metadata import Folds, fit_with_metadata, grouped_folds
from skavsc._clips._validation import (
    check_groups,
    check_labels,
    clip_sources,
    format_rows,
    is_missing,
    rate_of,
    training_record,
    with_rate,
)

__all__ = [
    "ClipCache",
    "Folds",
    "check_groups",
    "check_labels",
    "clip_sources",
    "fit_with_metadata",
    "format_rows",
    "grouped_folds",
    "is_missing",
    "map_clips",
    "rate_of",
    "run_ahead",
    "training_record",
    "unfinished_file",
    "with_rate",
]

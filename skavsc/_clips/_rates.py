"""The rate of features, carried by the features themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

# In the metadata of the dtype, which indexing, pickling and joblib's workers keep. What makes new
# numbers of them (concatenation, scaling) drops it, and `numpy.save` does with a warning.
_KEY = "frames_per_second"


def with_rate(features: NDArray[Any], frames_per_second: float) -> NDArray[Any]:
    """Return a view of features that carries their rate.

    Parameters
    ----------
    features : ndarray
        The features.
    frames_per_second : float
        Number of frames, or time frames, per second.

    Returns
    -------
    ndarray
        A view.
    """
    metadata = {_KEY: float(frames_per_second)}
    return features.view(np.dtype(features.dtype, metadata=metadata))


def rate_of(features: NDArray[Any]) -> float | None:
    """Return the number of frames per second that features carry; None if they carry none."""
    metadata: Mapping[str, Any] = features.dtype.metadata or {}
    return metadata.get(_KEY)

"""How the colours of images are prepared; without Keras, for networks that run without it."""

from __future__ import annotations

from typing import Any

#: Mode -> (whether colours are reversed to blue, green, red; mean of each; factor of each).
PREPROCESSING: dict[str, tuple[bool, Any, Any]] = {
    "places365": (True, (104.006, 116.669, 122.679), 1.0),
    "squeezenet-places365": (True, (105.448, 112.969, 116.674), 1 / 255),
    "imagenet": (False, (123.675, 116.28, 103.53), (1 / 58.395, 1 / 57.12, 1 / 57.375)),
    "clip": (
        False,
        tuple(255 * mean for mean in (0.48145466, 0.4578275, 0.40821073)),
        tuple(1 / (255 * scale) for scale in (0.26862954, 0.26130258, 0.27577711)),
    ),
    "none": (False, 0.0, 1.0),
}


def colours(mode: Any) -> tuple[bool, Any, Any]:
    """Return what a mode does: whether colours are reversed, the means and the factors.

    Parameters
    ----------
    mode : str or pair of (mean, scale)
        A named mode, or means and scales of red, green and blue: (image - mean) / scale.

    Returns
    -------
    tuple of (bool, float or tuple, float or tuple)
        Reversed or not, means, factors.

    Raises
    ------
    ValueError
        If the mode is unknown, or the pair is not one of three numbers each.

    Examples
    --------
    >>> from skavsc.networks import colours
    >>> colours(((127.5, 127.5, 127.5), (0.5, 0.5, 0.5)))
    (False, (127.5, 127.5, 127.5), (2.0, 2.0, 2.0))
    """
    if isinstance(mode, str):
        if mode not in PREPROCESSING:
            raise ValueError(
                f"preprocessing mode={mode!r} is unknown; use one of {sorted(PREPROCESSING)}, or "
                f"a pair of means and scales"
            )
        return PREPROCESSING[mode]
    try:
        mean, scale = (tuple(map(float, part)) for part in mode)
    except (TypeError, ValueError):
        mean = scale = ()
    if len(mean) != 3 or len(scale) != 3 or 0.0 in scale:
        raise ValueError(
            f"preprocessing={mode!r} must be a name, or a pair of means and scales of red, green "
            f"and blue, each of three numbers, the scales not 0"
        )
    return False, mean, tuple(1 / part for part in scale)

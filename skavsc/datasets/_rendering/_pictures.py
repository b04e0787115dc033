"""The pictures of generated scenes: drawn places in which things move."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from skavsc.datasets._rendering._places import hall, open_place, street, vehicle

# How much there is of each thing; the family says how the place is laid out.
PICTURES: dict[str, tuple[str, dict[str, float]]] = {
    "park": ("open", {"grass": 1.0, "trees": 9, "buildings": 1, "people": 2}),
    "public_square": ("open", {"grass": 0.0, "trees": 1.5, "buildings": 6, "people": 8}),
    "street_pedestrian": ("street", {"asphalt": 0.0, "cars": 0, "people": 9, "awnings": 1.0}),
    "street_traffic": ("street", {"asphalt": 1.0, "cars": 3, "people": 1.5, "awnings": 0.1}),
    "bus": ("vehicle", {"daylight": 1.0, "windows": 2, "seats": 0.0, "speed": 0.4}),
    "tram": ("vehicle", {"daylight": 1.0, "windows": 4, "seats": 1.0, "speed": 0.7}),
    "metro": ("vehicle", {"daylight": 0.0, "windows": 3, "seats": 0.5, "speed": 1.5}),
    "metro_station": ("hall", {"track": 1.0, "glass": 0.0, "shops": 0.0, "people": 5}),
    "airport": ("hall", {"track": 0.0, "glass": 1.0, "shops": 0.0, "people": 3}),
    "shopping_mall": ("hall", {"track": 0.0, "glass": 0.2, "shops": 1.0, "people": 6}),
}
# Scenes that look alike and sound different.
PICTURE_TWINS = {
    "park": "public_square",
    "street_pedestrian": "street_traffic",
    "bus": "tram",
    "metro_station": "airport",
}


_FAMILIES = {"open": open_place, "street": street, "vehicle": vehicle, "hall": hall}


def render_pictures(
    family: str,
    recipe: dict[str, float],
    place: Generator,
    clip: Generator,
    n_frames: int,
    fps: float,
    size: tuple[int, int],
    colouring: float,
) -> Iterator[NDArray[np.uint8]]:
    """Render a clip's frames, one by one.

    Parameters
    ----------
    family : {"open", "street", "vehicle", "hall"}
        How the place is laid out.
    recipe : dict of str to float
        How much there is of each thing.
    place : Generator
        In the same state for all clips of a location: layout, colours and light are drawn
        from it.
    clip : Generator
        What differs from clip to clip is drawn from it.
    n_frames : int
        The number of frames.
    fps : float
        Frames a second.
    size : tuple of int
        Height and width in pixels.
    colouring : float
        How much locations differ in light and colour, in [0, 1].

    Yields
    ------
    ndarray of shape (height, width, 3), uint8, RGB
    """
    cast = 2 ** (0.45 * colouring * place.uniform(-1, 1, 3))
    exposure = 2 ** (0.8 * colouring * place.uniform(-1, 0.4) + 0.1 * clip.uniform(-1, 1))
    gamma = 2 ** (0.6 * colouring * place.uniform(-1, 1))
    levels = np.linspace(0, 1, 256)[:, None] ** gamma * cast * exposure
    table = (255 * np.minimum(levels, 1)).astype(np.uint8)[:, None, :]
    grain = clip.normal(0, 2 + 10 * colouring * place.random(), (4, *size, 3)).astype(np.int16)
    paint = _FAMILIES[family](recipe, place, clip, size)
    for number in range(n_frames):
        frame = cv2.LUT(paint(number / fps), table)
        yield cv2.add(frame, grain[number % 4], dtype=cv2.CV_8U)

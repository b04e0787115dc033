"""Things that move through a picture, and the camera that pans."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.random import Generator

from skavsc.datasets._rendering._drawing import Image, draw_car, draw_person, varied

Mover = Callable[[Image, float], None]
Painter = Callable[[float], Image]


def a_number(rng: Generator, mean: float) -> int:
    return int(rng.poisson(mean * 0.7) + 0.3 * mean + 0.5)


def walkers(rng: Generator, n: int, size: tuple[int, int], near: float, far: float) -> Mover:
    """People who cross the picture, at heights between ``far`` and ``near`` (of the picture)."""
    height, width = size
    depth = np.sort(rng.uniform(far, near, n))
    start, pace, phase = (
        rng.random(n),
        rng.choice([-1, 1], n) * rng.uniform(0.05, 0.16, n),
        rng.random(n),
    )
    coats = [varied(rng, (90, 80, 90), 60) for _ in range(n)]

    def draw(image: Image, time: float) -> None:
        for i in range(n):
            x = ((start[i] + pace[i] * time) % 1.2 - 0.1) * width
            tall = height * (
                0.12 + 0.5 * (depth[i] - far) / max(near - far, 1e-6) * (near - far + 0.3)
            )
            draw_person(image, x, depth[i] * height, tall, coats[i], (phase[i] + 1.8 * time) % 1)

    return draw


def passing_cars(
    rng: Generator, n: int, size: tuple[int, int], vanish: tuple[float, float]
) -> Mover:
    """Cars that come near on one side of the road and go away on the other."""
    height, width = size
    start, speed = rng.random(n), rng.uniform(0.25, 0.5, n)
    paint = [varied(rng, (150, 60, 60), 90) for _ in range(n)]

    def draw(image: Image, time: float) -> None:
        near = (start + speed * time) % 1.0
        for i in np.argsort(np.where(np.arange(n) % 2, 1 - near, near)):
            away = bool(i % 2)
            closeness = float((1 - near[i] if away else near[i]) ** 2 * 0.95 + 0.05)
            x = vanish[0] + (0.3 if away else -0.3) * closeness
            y = vanish[1] + (0.98 - vanish[1]) * closeness
            draw_car(image, x * width, y * height, 0.34 * closeness * width, paint[i], away)

    return draw


def panning(clip: Generator, image: Image, width: int, movers: Mover) -> Painter:
    """Look at a part of a wide picture that slowly moves."""
    room = image.shape[1] - width
    middle, swing = clip.uniform(0.25, 0.75) * room, clip.uniform(0.1, 0.25) * room
    phase, speed = clip.uniform(0, 6), clip.uniform(0.2, 0.6)

    def paint(time: float) -> Image:
        left = int(middle + swing * np.sin(speed * time + phase))
        frame = image[:, left : left + width].copy()
        movers(frame, time)
        return frame

    return paint

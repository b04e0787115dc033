"""Things to draw and to move: shapes, houses, trees, people, cars; and the camera that pans."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Colour = tuple[int, int, int]
Image = NDArray[np.uint8]
Mover = Callable[[Image, float], None]
Painter = Callable[[float], Image]


def mixed(one: Colour, other: Colour, share: float) -> Colour:
    """Mix two colours; share 0 is the first, 1 the other."""
    share = min(1.0, max(0.0, share))
    r, g, b = (round((1 - share) * a + share * c) for a, c in zip(one, other, strict=True))
    return r, g, b


def varied(rng: Generator, colour: Colour, spread: float, gain: float = 1.0) -> Colour:
    """Draw a colour near another one."""
    light = rng.uniform(-0.5, 0.5)
    r, g, b = (
        int(np.clip(gain * (c + spread * (light + d)), 5, 250))
        for c, d in zip(colour, rng.uniform(-0.5, 0.5, 3), strict=True)
    )
    return r, g, b


def gradient(height: int, width: int, top: Colour, bottom: Colour) -> Image:
    """Fill a picture from one colour at the top to another at the bottom."""
    column = np.linspace(top, bottom, height)[:, None]
    return np.ascontiguousarray(np.broadcast_to(column, (height, width, 3)), dtype=np.uint8)


def polygon(image: Image, corners: Iterable[tuple[float, float]], colour: Colour) -> None:
    """Fill a polygon given in shares of the picture's width and height."""
    scale = (image.shape[1], image.shape[0])
    points = np.round(np.array(list(corners)) * scale).astype(np.int32)
    cv2.fillConvexPoly(image, points, colour, cv2.LINE_AA)


def rectangle(
    image: Image, left: float, top: float, right: float, bottom: float, colour: Colour
) -> None:
    """Fill a rectangle given in pixels."""
    cv2.rectangle(image, (int(left), int(top)), (int(right), int(bottom)), colour, -1)


def draw_building(
    rng: Generator, image: Image, x: float, base: float, width: float, tall: float, wall: Colour
) -> None:
    """Draw a house with a grid of windows, its foot at (x .. x + width, base)."""
    rectangle(image, x, base - tall, x + width, base, wall)
    rectangle(image, x, base - tall, x + width, base - 0.95 * tall, mixed(wall, (40, 30, 30), 0.5))
    pane = mixed(wall, (60, 75, 100), rng.uniform(0.5, 0.9))
    columns, rows = max(2, int(width / 14)), max(2, int(tall / 16))
    for row in range(rows):
        for column in range(columns):
            left = x + (column + 0.28) * width / columns
            top = base - tall + (row + 0.35) * tall / rows
            rectangle(
                image, left, top, left + 0.44 * width / columns, top + 0.4 * tall / rows, pane
            )


def draw_tree(rng: Generator, image: Image, x: float, base: float, tall: float) -> None:
    """Draw a tree that stands at (x, base)."""
    rectangle(image, x - 0.035 * tall, base - 0.5 * tall, x + 0.035 * tall, base, (92, 68, 48))
    leaf = varied(rng, (62, 118, 48), 35)
    for shade in (-0.25, 0.0, 0.2):
        colour = mixed(leaf, (255, 250, 150) if shade > 0 else (0, 20, 0), abs(shade))
        for _ in range(4):
            centre = (
                int(x + tall * rng.uniform(-0.16, 0.16) + 0.2 * shade * tall),
                int(base - tall * (0.68 + rng.uniform(-0.14, 0.14)) - 0.2 * shade * tall),
            )
            cv2.circle(image, centre, int(0.15 * tall) + 1, colour, -1, cv2.LINE_AA)


def draw_person(
    image: Image, x: float, base: float, tall: float, coat: Colour, step: float
) -> None:
    """Draw a walking person; ``step`` in [0, 1) is the phase of the walk."""
    thick = max(1, int(0.08 * tall))
    hip = (int(x), int(base - 0.45 * tall))
    for sign in (-1, 1):
        foot = (int(x + sign * 0.14 * tall * np.sin(2 * np.pi * step)), int(base))
        cv2.line(image, hip, foot, (45, 45, 60), thick, cv2.LINE_AA)
    middle = (int(x), int(base - 0.62 * tall))
    axes = (max(1, int(0.12 * tall)), max(1, int(0.22 * tall)))
    cv2.ellipse(image, middle, axes, 0, 0, 360, coat, -1, cv2.LINE_AA)
    head = (int(x), int(base - 0.91 * tall))
    cv2.circle(image, head, max(1, int(0.09 * tall)), (214, 172, 145), -1, cv2.LINE_AA)


def draw_car(
    image: Image, x: float, base: float, width: float, paint: Colour, from_behind: bool
) -> None:
    """Draw a car seen from its front or back, its wheels at (x, base)."""
    half, tall = width / 2, 0.62 * width
    rectangle(image, x - 0.9 * half, base - 0.2 * tall, x - 0.5 * half, base, (25, 25, 25))
    rectangle(image, x + 0.5 * half, base - 0.2 * tall, x + 0.9 * half, base, (25, 25, 25))
    rectangle(image, x - half, base - 0.6 * tall, x + half, base - 0.12 * tall, paint)
    shape = np.array(
        [(x - 0.85 * half, base - 0.58 * tall), (x - 0.6 * half, base - tall),
         (x + 0.6 * half, base - tall), (x + 0.85 * half, base - 0.58 * tall)]
    )  # fmt: skip
    cv2.fillConvexPoly(image, shape.astype(np.int32), paint, cv2.LINE_AA)
    centre = np.array([x, base - 0.78 * tall])
    glass = centre + (shape - centre) * 0.8
    cv2.fillConvexPoly(image, glass.astype(np.int32), (60, 75, 90), cv2.LINE_AA)
    lamp = (200, 30, 25) if from_behind else (255, 250, 210)
    for side in (-1, 1):
        spot = (int(x + side * 0.75 * half), int(base - 0.45 * tall))
        cv2.circle(image, spot, max(1, int(0.1 * half)), lamp, -1, cv2.LINE_AA)


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
    """Draw cars that come near on one side of the road and go away on the other."""
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

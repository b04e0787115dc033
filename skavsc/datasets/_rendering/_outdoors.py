"""Places under the sky: parks, squares and streets."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator

from skavsc.datasets._rendering._drawing import (
    Colour,
    Image,
    Painter,
    a_number,
    draw_building,
    draw_tree,
    gradient,
    mixed,
    panning,
    passing_cars,
    polygon,
    varied,
    walkers,
)


def open_place(
    recipe: dict[str, float], place: Generator, clip: Generator, size: tuple[int, int]
) -> Painter:
    """Draw sky, a row of houses and trees, and grass or paving in front."""
    height, width = size
    wide = int(1.5 * width)
    horizon = int(height * place.uniform(0.42, 0.55))
    image = gradient(height, wide, varied(place, (120, 170, 225), 15), (225, 235, 245))
    for x in np.sort(place.uniform(0, wide, a_number(place, 5))):
        centre, axes = (int(x), int(horizon * place.uniform(0.15, 0.5))), (width // 9, height // 28)
        cv2.ellipse(image, centre, axes, 0, 0, 360, (248, 250, 252), -1, cv2.LINE_AA)
    wall = varied(place, (190, 165, 135), 25)
    for x in place.uniform(-0.05, 0.95, a_number(place, 1.5 * recipe["buildings"])):
        tall = height * place.uniform(0.16, 0.36)
        draw_building(
            place, image, x * wide, horizon + 2, width * 0.22, tall, varied(place, wall, 20)
        )
    ground = mixed((182, 174, 162), (96, 150, 70), recipe["grass"])
    image[horizon:] = gradient(height - horizon, wide, ground, varied(place, ground, 12, 0.8))
    if recipe["grass"] < 0.6:
        for x in np.linspace(-wide, 2 * wide, 25):  # the joints of the paving
            cv2.line(
                image,
                (wide // 2 + int((x - wide / 2) * 0.3), horizon),
                (int(x), height),
                varied(place, ground, 4, 0.88),
                1,
                cv2.LINE_AA,
            )
    else:
        polygon(
            image,
            [(0.42, 1), (0.5, horizon / height), (0.52, horizon / height), (0.75, 1)],
            (205, 190, 155),
        )
    for base in np.sort(
        place.uniform(horizon / height, 0.8, a_number(place, 1.5 * recipe["trees"]))
    ):
        tall = height * (0.25 + 0.9 * (base - horizon / height))
        draw_tree(place, image, place.random() * wide, base * height, tall)
    people = walkers(clip, a_number(clip, recipe["people"]), size, 0.95, horizon / height + 0.04)
    return panning(clip, image, width, people)


def street(
    recipe: dict[str, float], place: Generator, clip: Generator, size: tuple[int, int]
) -> Painter:
    """Draw a street in perspective between two rows of houses."""
    height, width = size
    wide = int(1.3 * width)
    vanish = (place.uniform(0.42, 0.58), place.uniform(0.36, 0.46))
    image = gradient(height, wide, varied(place, (150, 185, 225), 15), (230, 234, 238))
    ground = mixed((178, 160, 145), (82, 84, 90), recipe["asphalt"])
    polygon(image, [vanish, (1.6, 1.05), (-0.6, 1.05)], (170, 166, 160))
    road = 0.55 + 0.15 * recipe["asphalt"]
    polygon(image, [vanish, (vanish[0] + road, 1.0), (vanish[0] - road, 1.0)], ground)
    if recipe["asphalt"] > 0.4:
        for near in (0.1, 0.25, 0.5, 0.95):
            y0, y1 = (vanish[1] + (1 - vanish[1]) * f for f in (0.6 * near, near))
            polygon(
                image,
                [
                    (vanish[0] - 0.006 * near * 3, y1),
                    (vanish[0] - 0.003 * near, y0),
                    (vanish[0] + 0.003 * near, y0),
                    (vanish[0] + 0.006 * near * 3, y1),
                ],
                (235, 235, 225),
            )
    edges = [0.0, 0.16, 0.28, 0.37, 0.43]
    awning = varied(place, (190, 60, 50), 50)
    for side in (-1, 1):
        roof = place.uniform(0.25, 0.6, 4)
        for k in range(4):
            wall = varied(place, (185, 150, 120), 35, 1.0 if side > 0 else 0.85)
            _facade(
                image,
                vanish,
                side,
                edges[k],
                edges[k + 1],
                float(roof[k]),
                wall,
                place.random() < recipe["awnings"],
                awning,
            )
    cars = passing_cars(clip, a_number(clip, recipe["cars"]), size, vanish)
    people = walkers(clip, a_number(clip, recipe["people"]), size, 0.97, 0.56)

    def movers(frame: Image, time: float) -> None:
        cars(frame, time)
        people(frame, time)

    return panning(clip, image, width, movers)


def _facade(
    image: Image,
    vanish: tuple[float, float],
    side: int,
    near: float,
    far: float,
    roof: float,
    wall: Colour,
    has_awning: bool,
    awning: Colour,
) -> None:
    """Draw one house of a row that recedes to the vanishing point."""

    def at(along: float, up: float) -> tuple[float, float]:
        # along: 0 at the picture's edge .. 0.5 at the vanishing point; up: 0 ground .. 1 roof
        closeness = 1 - along / 0.52
        x = vanish[0] + side * closeness * 0.55
        y = vanish[1] + closeness * (0.42 - up * (0.5 + roof))
        return x, y

    polygon(image, [at(near, 0), at(near, 1), at(far, 1), at(far, 0)], wall)
    dark = mixed(wall, (50, 60, 80), 0.75)
    step = (far - near) / 3
    for floor in (0.34, 0.56, 0.78):
        for k in range(3):
            a, b = near + (k + 0.25) * step, near + (k + 0.75) * step
            polygon(
                image, [at(a, floor), at(a, floor + 0.13), at(b, floor + 0.13), at(b, floor)], dark
            )
    polygon(
        image,
        [
            at(near + step / 2, 0.02),
            at(near + step / 2, 0.2),
            at(far - step / 2, 0.2),
            at(far - step / 2, 0.02),
        ],
        dark,
    )
    if has_awning:
        out = [at(near, 0.26), at(far, 0.26), at(far, 0.19), at(near, 0.19)]
        polygon(image, [out[0], out[1], *((x - side * 0.035, y) for x, y in out[2:])], awning)

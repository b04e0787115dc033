"""The places of generated scenes: under the sky, in vehicles and in halls."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from skavsc.datasets._rendering._drawing import (
    Colour,
    Image,
    Mover,
    Painter,
    a_number,
    draw_building,
    draw_tree,
    gradient,
    mixed,
    panning,
    passing_cars,
    polygon,
    rectangle,
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


def vehicle(
    recipe: dict[str, float], place: Generator, clip: Generator, size: tuple[int, int]
) -> Painter:
    """Draw the inside: windows with the street rushing by, seats and poles."""
    height, width = size
    street = gradient(height, 3 * width, varied(place, (150, 190, 230), 15), (225, 230, 235))
    ground = int(0.62 * height)
    street[ground:] = varied(place, (110, 110, 108), 15)
    for x in np.arange(0, 1, 0.055):
        if place.random() < 0.6:
            draw_building(
                place,
                street,
                x * 3 * width,
                ground,
                width * 0.18,
                height * place.uniform(0.2, 0.5),
                varied(place, (180, 150, 125), 35),
            )
        else:
            draw_tree(place, street, x * 3 * width, ground + 2, height * place.uniform(0.25, 0.45))
    tunnel = np.full_like(street, (16, 17, 22))
    for x in place.uniform(0, 3 * width, 9):
        rectangle(tunnel, x, 0.3 * height, x + 0.25 * width, 0.33 * height, (250, 235, 180))
    for y in (0.42, 0.52):
        tunnel[int(y * height) : int(y * height) + 2] = (58, 60, 66)
    outside = cv2.addWeighted(street, recipe["daylight"], tunnel, 1 - recipe["daylight"], 0)
    outside = cv2.blur(outside, (int(1 + 0.06 * width * recipe["speed"]), 1))
    inside, glass = _cabin(recipe, place, size)
    speed = recipe["speed"] * clip.uniform(0.7, 1.3) * clip.choice([-1, 1]) * width
    first, shake = clip.uniform(0, 3 * width), clip.uniform(0, 6)

    def paint(time: float) -> Image:
        view = np.roll(outside, int(first + speed * time), axis=1)[:, :width]
        frame = np.where(glass, view, inside)
        return np.roll(frame, round(1.5 * np.sin(9 * time + shake)), axis=0)

    return paint


def _cabin(
    recipe: dict[str, float], place: Generator, size: tuple[int, int]
) -> tuple[Image, NDArray[np.bool_]]:
    height, width = size
    wall = mixed(varied(place, (205, 205, 200), 12), (186, 178, 160), recipe["seats"])
    inside = gradient(
        height, width, mixed(wall, (255, 255, 255), 0.3), mixed(wall, (60, 60, 60), 0.3)
    )
    inside[: int(0.1 * height)] = mixed(wall, (255, 255, 245), 0.7)
    rectangle(inside, 0.1 * width, 0.03 * height, 0.9 * width, 0.06 * height, (255, 255, 240))
    mask = np.zeros((height, width, 3), np.uint8)
    n_windows = max(1, round(recipe["windows"]))
    top, bottom = place.uniform(0.14, 0.2), place.uniform(0.52, 0.6)
    for k in range(n_windows):
        left, right = (k + 0.08) / n_windows * width, (k + 0.92) / n_windows * width
        rectangle(inside, left - 2, top * height - 2, right + 2, bottom * height + 2, (60, 62, 66))
        rectangle(mask, left, top * height, right, bottom * height, (1, 1, 1))
    seat = varied(place, mixed((45, 75, 160), (165, 50, 45), recipe["seats"]), 18)
    n_seats = round(4 + 2 * recipe["seats"])
    for k in range(n_seats):
        left, right = (k + 0.1) / n_seats * width, (k + 0.86) / n_seats * width
        for image, colour in ((inside, seat), (mask, (0, 0, 0))):
            rectangle(image, left, 0.5 * height, right, 0.82 * height, colour)
        rectangle(inside, left, 0.76 * height, right, 0.84 * height, mixed(seat, (0, 0, 0), 0.25))
    inside[int(0.9 * height) :] = varied(place, (92, 92, 96), 12)
    pole = mixed((235, 190, 40), (200, 202, 205), recipe["seats"])
    for x in place.uniform(0.1, 0.9, 3):
        for image, colour in ((inside, pole), (mask, (0, 0, 0))):
            rectangle(
                image, x * width, 0.05 * height, x * width + width / 70, 0.95 * height, colour
            )
    return inside, mask.astype(bool)


def hall(
    recipe: dict[str, float], place: Generator, clip: Generator, size: tuple[int, int]
) -> Painter:
    """Draw a hall with lamps and a shining floor; at its back a track, glass or shops."""
    height, width = size
    wide = int(1.4 * width)
    back, floor = place.uniform(0.2, 0.28), place.uniform(0.58, 0.66)
    wall = mixed(varied(place, (198, 194, 186), 12), (150, 138, 112), recipe["track"])
    image = gradient(height, wide, mixed(wall, (40, 40, 40), 0.35), wall)
    stone = mixed((205, 200, 192), (118, 116, 116), recipe["track"])
    image[int(floor * height) :] = gradient(
        height - int(floor * height), wide, mixed(stone, (255, 255, 255), 0.35), stone
    )
    for k in range(7):
        x = (k + place.uniform(0.2, 0.5)) / 7
        polygon(
            image,
            [(x, back * 0.75), (x + 0.05, back * 0.75), (x + 0.09, 0.02), (x - 0.01, 0.02)],
            (255, 252, 235),
        )
    if recipe["glass"] > 0.1:
        top = floor - (floor - back) * min(1.0, 0.25 + 0.75 * recipe["glass"])
        rectangle(image, 0, top * height, wide, floor * height, varied(place, (165, 200, 232), 14))
        rectangle(image, 0, (floor - 0.06) * height, wide, floor * height, (130, 132, 130))
        for x in place.uniform(0, 1, round(4 * recipe["glass"])):  # aeroplanes: body, fin
            y, fin = floor - 0.09, varied(place, (70, 80, 170), 70)
            centre = (int(x * wide), int(y * height))
            cv2.ellipse(
                image,
                centre,
                (width // 6, height // 34),
                0,
                0,
                360,
                (246, 246, 248),
                -1,
                cv2.LINE_AA,
            )
            polygon(
                image,
                [(x + 0.07, y), (x + 0.12, y), (x + 0.135, y - 0.13), (x + 0.105, y - 0.13)],
                fin,
            )
        for x in np.arange(0, 1, 0.09):
            rectangle(image, x * wide, top * height, x * wide + 3, floor * height, (96, 100, 106))
    if recipe["shops"] > 0.1:
        for k in range(5):
            x, bright = (k + 0.08) / 5, varied(place, (235, 205, 150), 45)
            rectangle(
                image, x * wide, (back + 0.1) * height, (x + 0.17) * wide, floor * height, bright
            )
            sign = varied(place, (180, 60, 120), 75)
            rectangle(
                image,
                x * wide,
                (back + 0.02) * height,
                (x + 0.17) * wide,
                (back + 0.09) * height,
                sign,
            )
    if recipe["track"] > 0.1:
        edge = floor + (1 - floor) * 0.25
        deep = 0.5 * recipe["track"]
        polygon(image, [(0, floor - 0.02), (1, floor - 0.02), (1, edge), (0, edge)], (34, 34, 38))
        rectangle(image, 0, edge * height, wide, (edge + 0.03 * deep * 2) * height, (238, 205, 60))
    for k in range(4):
        x = (k + place.uniform(0.1, 0.4)) / 4 * wide
        rectangle(
            image,
            x,
            back * 0.6 * height,
            x + 0.045 * width,
            (floor + 0.04) * height,
            mixed(wall, (90, 90, 95), 0.5),
        )
    train = _train(place, clip, (height, width), back, floor, recipe["track"])
    people = walkers(clip, a_number(clip, recipe["people"]), size, 0.98, floor + 0.12)

    def movers(frame: Image, time: float) -> None:
        train(frame, time)
        people(frame, time)

    return panning(clip, image, width, movers)


def _train(
    place: Generator,
    clip: Generator,
    size: tuple[int, int],
    back: float,
    floor: float,
    track: float,
) -> Mover:
    """Draw a train that arrives and stops, if there is a track for it."""
    height, width = size
    paint = varied(place, (200, 90, 40), 60)
    arrival, stop = clip.uniform(-2.0, 3.0), clip.uniform(-0.2, 0.4)

    def draw(image: Image, time: float) -> None:
        if track < 0.35:
            return
        left = (stop + max(0.0, arrival - time) ** 2 * 0.35) * width
        top, bottom = (back + 0.12) * height, (floor + 0.03) * height
        rectangle(image, left, top, left + 2 * width, bottom, paint)
        for k in range(8):
            x = left + (0.06 + 0.24 * k) * width
            rectangle(
                image, x, top + 0.06 * height, x + 0.17 * width, top + 0.2 * height, (245, 240, 200)
            )
        rectangle(image, left, bottom - 0.05 * height, left + 2 * width, bottom, (60, 60, 64))

    return draw

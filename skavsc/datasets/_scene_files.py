"""The files of a generated set: its plan, one clip's media, the lists."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import soundfile

from skavsc.datasets._rendering import (
    PICTURE_TWINS,
    PICTURES,
    SOUND_TWINS,
    SOUNDS,
    render_pictures,
    render_sound,
)
from skavsc.media import write_clip

_RATE = 48_000
_CITIES = ("barcelona", "helsinki", "lisbon", "london", "lyon", "prague", "stockholm", "vienna")


class SceneClip(NamedTuple):
    """What is to be rendered: a row of ``meta.csv`` before its files exist."""

    stem: str
    scene: str
    identifier: str
    location: int
    segment: int
    held_out: bool


def plan_clips(
    scenes: list[str], n_locations: int, clips_per_location: int, seed: int
) -> Iterator[SceneClip]:
    """List the clips: a third of each scene's locations, at least one, is held out."""
    rng = np.random.default_rng([seed, 0])
    n_held_out = max(1, n_locations // 3)
    for number in range(len(scenes) * n_locations):
        scene, place = scenes[number // n_locations], number % n_locations
        city = _CITIES[rng.integers(len(_CITIES))]
        for k in range(clips_per_location):
            segment = number * clips_per_location + k
            stem = f"{scene}-{city}-{number}-{segment}"
            held_out = place >= n_locations - n_held_out
            yield SceneClip(stem, scene, f"{city}-{number}", number, segment, held_out)


def _blended(
    recipes: dict[str, dict[str, float]], twins: dict[str, str], scene: str, share: float
) -> dict[str, float]:
    """Mix a scene's recipe with its twin's, if it has one."""
    both_ways = twins | {other: one for one, other in twins.items()}
    own = recipes[scene]
    other = recipes[both_ways.get(scene, scene)]
    return {
        name: (1 - share) * own.get(name, 0.0) + share * other.get(name, 0.0)
        for name in sorted(own | other)
    }


def render_clip(
    root: Path,
    clip: SceneClip,
    seed: int,
    difficulty: float,
    duration: float,
    size: tuple[int, int],
    fps: float,
) -> None:
    def generators(stream: int) -> tuple[np.random.Generator, np.random.Generator]:
        place = np.random.default_rng([seed, 1, stream, clip.location])
        return place, np.random.default_rng([seed, 2, stream, clip.segment])

    # Each location leans towards its scene's twin by an amount of its own, the more the harder.
    leaning = np.random.default_rng([seed, 3, clip.location])
    shares = np.clip(difficulty * leaning.normal(0.5, 0.25, 2), 0, 0.75)
    colouring = 0.1 + 0.9 * difficulty

    place, own = generators(0)
    recipe = _blended(SOUNDS, SOUND_TWINS, clip.scene, shares[0])
    sound = render_sound(recipe, place, own, round(duration * _RATE), _RATE, colouring)
    soundfile.write(root / "audio" / f"{clip.stem}.wav", sound.T, _RATE, subtype="PCM_24")

    place, own = generators(1)
    family = PICTURES[clip.scene][0]
    things = {scene: recipe for scene, (_, recipe) in PICTURES.items()}
    recipe = _blended(things, PICTURE_TWINS, clip.scene, shares[1])
    n_frames = max(1, round(duration * fps))
    frames = render_pictures(family, recipe, place, own, n_frames, fps, size[::-1], colouring)
    write_clip(root / "video" / f"{clip.stem}.mp4", frames, fps)


def write_tables(root: Path, clips: list[SceneClip]) -> None:
    """Write the lists of the TAU layout; ``meta.csv`` last, as the sign of a whole set."""
    table = pd.DataFrame(
        {
            "filename_audio": [f"audio/{clip.stem}.wav" for clip in clips],
            "filename_video": [f"video/{clip.stem}.mp4" for clip in clips],
            "scene_label": [clip.scene for clip in clips],
            "identifier": [clip.identifier for clip in clips],
        }
    )
    held_out = np.array([clip.held_out for clip in clips])
    columns = list(table.columns)
    parts = {
        "evaluation_setup/fold1_train.csv": table.loc[~held_out, columns[:3]],
        "evaluation_setup/fold1_evaluate.csv": table.loc[held_out, columns[:3]],
        "evaluation_setup/fold1_test.csv": table.loc[held_out, columns[:2]],
        "meta.csv": table,
    }
    for name, part in parts.items():
        unfinished = root / f"{name}.part"
        part.to_csv(unfinished, sep="\t", index=False)
        unfinished.replace(root / name)

"""A small labelled audio-visual set, rendered to real files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from numbers import Integral, Real
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import soundfile
from sklearn.utils import Bunch, check_random_state

from skavsc._parallel import Parallel, delayed
from skavsc._sklearn_compat import Interval, validate_params
from skavsc.datasets._rendering import (
    PICTURE_TWINS,
    PICTURES,
    SOUND_TWINS,
    SOUNDS,
    render_pictures,
    render_sound,
)
from skavsc.datasets._tau import load_tau_urban_av
from skavsc.media import write_clip

# Raised whenever the same parameters give other files.
_VERSION = 1

_RATE = 48_000
_CITIES = ("barcelona", "helsinki", "lisbon", "london", "lyon", "prague", "stockholm", "vienna")

_DESCR = """\
Generated audio-visual scenes
{n_clips} clips of {n_locations} locations in {root}, made by skavsc.datasets.make_scenes with
{params}

Drawn pictures and synthetic sounds: good for tests, examples and teaching, and no evidence of
how well a method does on recordings.
"""


class _SceneClip(NamedTuple):
    """What is to be rendered: a row of ``meta.csv`` before its files exist."""

    stem: str
    scene: str
    identifier: str
    location: int
    segment: int
    held_out: bool


def _plan_clips(
    scenes: list[str], n_locations: int, clips_per_location: int, seed: int
) -> Iterator[_SceneClip]:
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
            yield _SceneClip(stem, scene, f"{city}-{number}", number, segment, held_out)


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


def _render_clip(
    root: Path,
    clip: _SceneClip,
    seed: int,
    difficulty: float,
    duration: float,
    size: tuple[int, int],
    fps: float,
) -> None:
    """Render a clip to its two files."""

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


def _write_tables(root: Path, clips: list[_SceneClip]) -> None:
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


def _claim(root: Path, params: dict[str, Any]) -> bool:
    """Use an empty directory, or one of the same parameters; return whether its set is complete."""
    note = root / "make_scenes.json"
    try:
        known = json.loads(note.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if root.exists() and any(root.iterdir()):
            raise FileExistsError(
                f"directory={os.fspath(root)!r} is not empty; give an empty or new one"
            ) from None
        for name in ("audio", "video", "evaluation_setup"):
            (root / name).mkdir(parents=True, exist_ok=True)
        note.write_text(json.dumps(params, indent=1), encoding="utf-8")
        return False
    if known != params:
        differing = sorted(k for k in known | params if known.get(k) != params.get(k))
        raise FileExistsError(
            f"directory={os.fspath(root)!r} holds scenes made with other parameters "
            f"({', '.join(f'{k}: {known.get(k)!r}, now {params.get(k)!r}' for k in differing)}); "
            f"give another directory, or delete this one"
        )
    return (root / "meta.csv").exists()


@validate_params(
    {
        "directory": [str, bytes, os.PathLike],
        "n_scenes": [Interval(Integral, 2, len(SOUNDS), closed="both")],
        "n_locations": [Interval(Integral, 2, None, closed="left")],
        "clips_per_location": [Interval(Integral, 1, None, closed="left")],
        "duration": [Interval(Real, 0.1, None, closed="left")],
        "size": [tuple, list],
        "fps": [Interval(Real, 0, 240, closed="right")],
        "difficulty": [Interval(Real, 0, 1, closed="both")],
        "random_state": ["random_state"],
        "n_jobs": [Integral, None],
        "verbose": ["verbose"],
    },
    prefer_skip_nested_validation=True,
)
def make_scenes(
    directory: str | bytes | os.PathLike[str],
    n_scenes: int = 4,
    n_locations: int = 6,
    clips_per_location: int = 3,
    *,
    duration: float = 4.0,
    size: tuple[int, int] = (320, 240),
    fps: float = 10.0,
    difficulty: float = 0.5,
    random_state: int | np.random.RandomState | None = 0,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> Bunch:
    """Render a small labelled set of audio-visual clips to real files.

    The files have the layout of TAU Urban Audio-Visual Scenes 2021: 48 kHz 24-bit stereo wav,
    H.264 mp4 without sound, ``meta.csv`` and the lists of one fold, in which a third of each
    scene's locations is held out. Scenes carry the names of that set and are told apart by what
    makes the sound (birds, rails, talkers, ...) and by what there is to be seen. Each location
    has its own frequency response, background noise, level, layout, colours and light, so that
    clips of one location resemble one another more than the scene does.

    Parameters
    ----------
    directory : path-like
        Where the files go: a new or empty directory. One that holds a set made with the same
        parameters is used again, and an interrupted one is made again.
    n_scenes : int, default=4
        The number of classes, in [2, 10], taken in the order park, public_square,
        street_pedestrian, street_traffic, bus, tram, metro, metro_station, airport,
        shopping_mall. Neighbours in this order (apart from metro and metro_station) tend to
        look alike or to sound alike, in turn, so that sound and picture need each other.
    n_locations : int, default=6
        The number of locations a scene, at least 2.
    clips_per_location : int, default=3
        The number of clips per location, at least 1.
    duration : float, default=4.0
        The length of each clip in seconds, at least 0.1.
    size : tuple of int, default=(320, 240)
        Width and height of the pictures in pixels, even and at least 32.
    fps : float, default=10.0
        Frames a second, in (0, 240].
    difficulty : float, default=0.5
        From 0 (scenes are plainly different and locations much alike) to 1 (scenes that look or
        sound alike are hardly told apart and locations differ widely).
    random_state : int, RandomState instance or None, default=0
        The seed. The same parameters and int give the same files on one machine; None gives
        another set at each call, which needs another directory.
    n_jobs : int, optional
        The number of joblib workers that render; the files do not depend on it.
    verbose : int, default=0
        The verbosity of joblib.

    Returns
    -------
    sklearn.utils.Bunch
        As ``load_tau_urban_av(directory, subset="all")`` gives it: ``X`` (clip table), ``y``,
        ``groups``, ``target_names``, ``cv`` and ``DESCR``.

    Raises
    ------
    FileExistsError
        If the directory holds anything else.
    ValueError
        If a parameter is out of its range.

    See Also
    --------
    load_tau_urban_av : Load the set again, or one of its parts.

    Notes
    -----
    One clip of 4 s at the default size takes about 0.2 s of one core to render and 1.6 MB on disk.

    How hard the default set is: logistic regression on band energies of the sound is right in
    0.72, on histograms of colour and edges in 0.78, and on both in 0.86 of the clips of held-out
    locations (chance: 0.25); with random folds, which share locations between training and test,
    the same classifiers seem to reach 0.85, 0.96 and 0.97.

    Examples
    --------
    >>> import tempfile
    >>> from skavsc.datasets import make_scenes
    >>> root = tempfile.TemporaryDirectory()
    >>> scenes = make_scenes(root.name, 2, n_locations=2, clips_per_location=1, duration=0.5)
    >>> scenes.X.shape, scenes.target_names
    ((4, 5), ['park', 'public_square'])
    >>> root.cleanup()
    """
    if len(size) != 2 or not all(isinstance(n, Integral) and n >= 32 and n % 2 == 0 for n in size):
        raise ValueError(
            f"size must be a width and a height in pixels, even and at least 32, got {size!r}"
        )
    if isinstance(random_state, Integral):
        seed = int(random_state)
    else:
        seed = int(check_random_state(random_state).randint(2**31 - 1))
    width, height = (int(n) for n in size)
    params = {
        "version": _VERSION,
        "n_scenes": int(n_scenes),
        "n_locations": int(n_locations),
        "clips_per_location": int(clips_per_location),
        "duration": float(duration),
        "size": [width, height],
        "fps": float(fps),
        "difficulty": float(difficulty),
        "random_state": seed,
    }
    root = Path(os.fsdecode(directory))
    clips = list(_plan_clips(list(SOUNDS)[:n_scenes], n_locations, clips_per_location, seed))
    if not _claim(root, params):
        Parallel(n_jobs=n_jobs, verbose=verbose)(
            delayed(_render_clip)(root, clip, seed, difficulty, duration, (width, height), fps)
            for clip in clips
        )
        _write_tables(root, clips)
    bunch = load_tau_urban_av(root, subset="all")
    bunch.DESCR = _DESCR.format(
        n_clips=len(clips), n_locations=n_scenes * n_locations, root=root, params=params
    )
    return bunch

"""The sounds of generated scenes: mixtures of textures, coloured by their location."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft, rfftfreq

from skavsc.datasets._rendering._textures import TEXTURES, Sound, stereo_noise

# The amplitude of each texture in a scene; "reverb" is the share of the wet signal.
SOUNDS: dict[str, dict[str, float]] = {
    "park": {"wind": 0.5, "birds": 1.0, "footsteps": 0.1},
    "public_square": {"water": 0.7, "voices": 0.6, "wind": 0.3, "reverb": 0.1},
    "street_pedestrian": {"footsteps": 0.8, "voices": 0.8, "music": 0.3, "reverb": 0.2},
    "street_traffic": {"cars": 1.0, "engine": 0.3, "wind": 0.2},
    "bus": {"engine": 1.0, "voices": 0.3, "ventilation": 0.3},
    "tram": {"rails": 0.9, "hum": 0.4, "bell": 0.5, "voices": 0.2},
    "metro": {"rails": 0.7, "hum": 0.5, "tunnel": 1.0},
    "metro_station": {"announcement": 0.7, "tunnel": 0.4, "footsteps": 0.3, "reverb": 0.6},
    "airport": {"announcement": 0.5, "voices": 0.5, "ventilation": 0.7, "reverb": 0.4},
    "shopping_mall": {"voices": 0.8, "music": 0.7, "ventilation": 0.3, "reverb": 0.3},
}
# Scenes that sound alike and look different.
SOUND_TWINS = {
    "public_square": "street_pedestrian",
    "street_traffic": "bus",
    "tram": "metro",
    "airport": "shopping_mall",
}


def _reverberated(rng: Generator, sound: Sound, rate: int, share: float) -> Sound:
    n = sound.shape[1]
    tail = int(1.2 * rate)
    room = rng.standard_normal((2, tail)) * np.exp(-np.arange(tail) / (0.25 * rate))
    room /= np.sqrt((room**2).sum(axis=1, keepdims=True))
    size = next_fast_len(n + tail, real=True)
    wet = irfft(rfft(sound, size) * rfft(room, size), size)[:, :n]
    return (1 - share) * sound + share * wet


def render_sound(
    recipe: dict[str, float],
    place: Generator,
    clip: Generator,
    n_samples: int,
    rate: int,
    colouring: float,
) -> NDArray[np.float32]:
    """Render a clip's sound.

    Parameters
    ----------
    recipe : dict of str to float
        The amplitude of each texture, and the share of reverberation.
    place : Generator
        In the same state for all clips of a location: pitch, balance of the sources,
        frequency response, background noise and level are drawn from it.
    clip : Generator
        What differs from clip to clip is drawn from it.
    n_samples : int
        The number of samples.
    rate : int
        The sampling rate in hertz.
    colouring : float
        How much locations differ, in [0, 1].

    Returns
    -------
    ndarray of shape (2, n_samples), float32, in [-1, 1]
    """
    pitch = 2 ** (0.3 * colouring * place.uniform(-1, 1))
    balance = {name: np.exp(0.7 * colouring * place.standard_normal()) for name in TEXTURES}
    octaves = 50 * 2.0 ** np.arange(9)
    response = place.normal(0, 7 * colouring, (1, 9)) + place.normal(0, 1.5 * colouring, (2, 9))
    edge = 100 * 2 ** place.uniform(0, 6)
    noise_level = 0.1 + 0.5 * colouring * place.random()
    level = -26 + 5 * colouring * place.uniform(-1, 1)

    sound = np.zeros((2, n_samples))
    for name, amplitude in recipe.items():
        if name != "reverb" and amplitude > 0.02:
            texture = TEXTURES[name](clip, n_samples, rate, pitch)
            texture /= texture.std() + 1e-9
            jitter = np.exp(0.25 * clip.standard_normal())
            sound += amplitude * balance[name] * jitter * texture
    if recipe.get("reverb", 0) > 0.02:
        sound = _reverberated(place, sound, rate, recipe["reverb"])
    background = stereo_noise(clip, n_samples, rate, 0.5 * edge, 4 * edge, 0.3)
    sound = sound / (sound.std() + 1e-9) + noise_level * background

    size = next_fast_len(n_samples, real=True)
    frequency = np.maximum(rfftfreq(size, 1 / rate), 1.0)
    gain = [np.interp(np.log(frequency), np.log(octaves), decibels) for decibels in response]
    sound = irfft(rfft(sound, size) * 10 ** (np.array(gain) / 20), size)[:, :n_samples]
    sound *= 10 ** ((level + clip.normal(0, 1)) / 20) / (sound.std() + 1e-9)
    return (sound / max(1.0, np.abs(sound).max() / 0.98)).astype(np.float32)

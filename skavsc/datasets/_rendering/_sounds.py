"""The sounds of generated scenes: mixtures of textures that follow how their sources make them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft, rfftfreq

Sound = NDArray[np.float64]
# Takes a generator, the number of samples, the rate in hertz and a factor of its pitch.
Texture = Callable[[Generator, int, int, float], Sound]

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


def _mono_noise(
    rng: Generator, n: int, rate: int, *bands: tuple[float, float]
) -> NDArray[np.float64]:
    """Generate unit noise in one or more bands (low, high) with soft edges, 12 dB an octave."""
    size = next_fast_len(n, real=True)
    frequency = np.maximum(rfftfreq(size, 1 / rate), 1.0)
    power = np.zeros(frequency.size)
    for low, high in bands:
        power += 1 / ((1 + (low / frequency) ** 4) * (1 + (frequency / high) ** 4))
    spectrum = rng.standard_normal(2 * frequency.size).view(np.complex128)
    noise = irfft(spectrum * np.sqrt(power), size)[:n]
    return noise / (noise.std() + 1e-9)


def stereo_noise(
    rng: Generator, n: int, rate: int, low: float, high: float, correlated: float = 0.5
) -> Sound:
    """Generate unit noise in a band, of a given correlation between left and right."""
    middle = np.sqrt((1 + correlated) / 2) * _mono_noise(rng, n, rate, (low, high))
    side = np.sqrt((1 - correlated) / 2) * _mono_noise(rng, n, rate, (low, high))
    return np.stack([middle + side, middle - side])


def _curve(rng: Generator, n: int, rate: int, hertz: float) -> NDArray[np.float64]:
    """Draw a smooth curve around 0 that turns about ``hertz`` times a second."""
    knots = rng.standard_normal(max(4, int(n / rate * hertz * 2) + 2))
    return np.interp(np.linspace(0, knots.size - 1, n), np.arange(knots.size), knots)


def _panned(mono: NDArray[np.float64], position: float | NDArray[np.float64]) -> Sound:
    """Place a source between left (0) and right (1) at constant power."""
    angle = np.asarray(position) * np.pi / 2
    return np.stack([mono * np.cos(angle), mono * np.sin(angle)])


def _harmonics(
    rng: Generator, n: int, rate: int, pitch: float, n_partials: int, wobble: float
) -> NDArray[np.float64]:
    frequency = pitch * (1 + wobble * _curve(rng, n, rate, 0.5))
    phase = 2 * np.pi * np.cumsum(frequency) / rate
    tones = (np.sin(k * phase + rng.uniform(0, 6)) / k**0.7 for k in range(1, n_partials + 1))
    return np.sum(list(tones), axis=0)


def _events(
    rng: Generator, n: int, rate: int, times: NDArray[np.float64], make: Callable[[], Sound]
) -> Sound:
    """Add up short sounds that begin at given times (seconds)."""
    track = np.zeros((2, n))
    for time in times:
        start = int(time * rate)
        if 0 <= start < n:
            event = make()[:, : n - start]
            track[:, start : start + event.shape[1]] += event
    return track


def _burst(rng: Generator, rate: int, decay: float, low: float, high: float) -> Sound:
    n = int(6 * decay * rate)
    mono = _mono_noise(rng, n, rate, (low, high)) * np.exp(-np.arange(n) / (decay * rate))
    return _panned(mono / (np.abs(mono).max() + 1e-9), rng.uniform(0.1, 0.9))


def _tone(rng: Generator, rate: int, pitch: float, seconds: float, decay: float) -> Sound:
    time = np.arange(int(seconds * rate)) / rate
    mono = sum(np.sin(2 * np.pi * k * pitch * time) / k**1.5 for k in (1, 2, 3))
    envelope = np.exp(-time / decay) * np.minimum(1, time / 0.01)
    return _panned(mono * envelope, rng.uniform(0.3, 0.7))


def _wind(rng: Generator, n: int, rate: int, pitch: float) -> Sound:
    gust = np.exp(0.6 * _curve(rng, n, rate, 0.7))
    return stereo_noise(rng, n, rate, 30, 350 * pitch, 0.2) * gust


def _birds(rng: Generator, n: int, rate: int, pitch: float) -> Sound:
    def chirp() -> Sound:
        time = np.arange(int(rng.uniform(0.05, 0.16) * rate)) / rate
        sweep = rng.uniform(2500, 5000) * pitch + rng.uniform(-12_000, 12_000) * time
        envelope = np.sin(np.pi * np.linspace(0, 1, time.size)) ** 2
        return _panned(np.sin(2 * np.pi * np.cumsum(sweep) / rate) * envelope, rng.random())

    starts = rng.uniform(-0.3, n / rate, int(np.ceil(1.3 * n / rate)))
    motifs = [start + rng.uniform(0.12, 0.25) * np.arange(rng.integers(2, 6)) for start in starts]
    return _events(rng, n, rate, np.concatenate(motifs), chirp)


def _water(rng: Generator, n: int, rate: int, pitch: float) -> Sound:
    ripple = np.exp(0.3 * _curve(rng, n, rate, 8))
    return stereo_noise(rng, n, rate, 900 * pitch, 7000 * pitch, 0.2) * ripple


def _voices(rng: Generator, n: int, rate: int, pitch: float) -> Sound:
    """Babble: the mouths of four talkers open and close some four times a second."""
    track = np.zeros((2, n))
    time = np.arange(n) / rate
    for _ in range(4):
        first, second = pitch * rng.uniform((350, 1100), (750, 2300))
        vowel = _mono_noise(
            rng, n, rate, (0.85 * first, 1.15 * first), (0.95 * second, 1.05 * second)
        )
        pulses = 1 + np.cos(2 * np.pi * rng.uniform(95, 230) * time)
        mouth = np.maximum(0, _curve(rng, n, rate, 4) + 0.3) * np.maximum(
            0.1, _curve(rng, n, rate, 0.7) + 0.5
        )
        track += _panned(vowel * pulses * mouth, rng.random())
    return track


def _footsteps(rng: Generator, n: int, rate: int, pitch: float) -> Sound:
    walks = [rng.uniform(0, 1) + np.arange(0, n / rate, rng.uniform(0.45, 0.6)) for _ in range(3)]
    return _events(
        rng, n, rate, np.concatenate(walks), lambda: _burst(rng, rate, 0.012, 400, 2500 * pitch)
    )


def _music(rng: Generator, n: int, rate: int, pitch: float) -> Sound:
    scale = 220 * pitch * 2 ** (np.array([0, 2, 4, 7, 9, 12, 14, 16]) / 12)
    beats = np.arange(rng.uniform(0, 0.3), n / rate, 0.3)
    return _events(rng, n, rate, beats, lambda: _tone(rng, rate, rng.choice(scale), 1.0, 0.3))


def _cars(rng: Generator, n: int, rate: int, pitch: float) -> Sound:
    """Pass by: the noise of tyres swells and falls while it crosses to the other side."""
    time = np.arange(n) / rate
    track = np.zeros((2, n))
    for _ in range(max(1, round(0.8 * n / rate))):
        passing = (time - rng.uniform(0, n / rate)) / rng.uniform(0.3, 0.7)
        side = 1 / (1 + np.exp(-2 * rng.choice([-1, 1]) * passing))
        tyres = _mono_noise(rng, n, rate, (150, 1800 * pitch))
        track += _panned(tyres / (1 + passing**2), side)
    return track


def _engine(rng: Generator, n: int, rate: int, pitch: float) -> Sound:
    tone = _harmonics(rng, n, rate, 38 * pitch, 10, 0.06)
    return _panned(tone, 0.5) + 0.7 * stereo_noise(rng, n, rate, 30, 300)


def _ventilation(rng: Generator, n: int, rate: int, pitch: float) -> Sound:
    return stereo_noise(rng, n, rate, 100, 700 * pitch, 0.4) + 0.05 * _panned(
        _harmonics(rng, n, rate, 100 * pitch, 4, 0.0), 0.5
    )


def _rails(rng: Generator, n: int, rate: int, pitch: float) -> Sound:
    """Roll, and knock twice with the axles over each joint."""
    joints = np.arange(rng.uniform(0, 0.8), n / rate, rng.uniform(0.75, 0.95))
    knocks = np.concatenate([joints, joints + 0.14])
    clicks = _events(rng, n, rate, knocks, lambda: _burst(rng, rate, 0.03, 300, 1100 * pitch))
    return 2 * clicks + 0.3 * stereo_noise(rng, n, rate, 120, 900 * pitch, 0.7)


def _hum(rng: Generator, n: int, rate: int, pitch: float) -> Sound:
    return _panned(_harmonics(rng, n, rate, 130 * pitch, 8, 0.08), 0.5)


def _bell(rng: Generator, n: int, rate: int, pitch: float) -> Sound:
    strokes = rng.uniform(0, max(0.1, n / rate - 0.5)) + np.array([0, 0.22])
    return _events(rng, n, rate, strokes, lambda: _tone(rng, rate, 1900 * pitch, 0.5, 0.15))


def _tunnel(rng: Generator, n: int, rate: int, pitch: float) -> Sound:
    roar = np.exp(0.4 * _curve(rng, n, rate, 0.5))
    return stereo_noise(rng, n, rate, 40, 2200 * pitch, 0.3) * roar


def _announcement(rng: Generator, n: int, rate: int, pitch: float) -> Sound:
    """Strike a chime, then speak with one voice."""
    start = rng.uniform(-0.5, 0.3 * n / rate)
    chime = _events(
        rng,
        n,
        rate,
        start + np.array([0.0, 0.35, 0.7]),
        lambda: _tone(rng, rate, pitch * rng.choice([523.0, 659.0, 784.0]), 0.6, 0.25),
    )
    speech = _voices(rng, n, rate, 1.2 * pitch)
    speech *= np.arange(n) / rate > start + 1.0
    return chime + speech / (speech.std() + 1e-9) * 0.3


TEXTURES: dict[str, Texture] = {
    "wind": _wind,
    "birds": _birds,
    "water": _water,
    "voices": _voices,
    "footsteps": _footsteps,
    "music": _music,
    "cars": _cars,
    "engine": _engine,
    "ventilation": _ventilation,
    "rails": _rails,
    "hum": _hum,
    "bell": _bell,
    "tunnel": _tunnel,
    "announcement": _announcement,
}

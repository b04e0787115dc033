"""The values of the features against the reference packages."""

import librosa
import numpy as np
import pytest
from gammatone.gtgram import gtgram
from hypothesis import given, settings
from hypothesis import strategies as st

from skavsc.audio import GammatoneMelTransformer
from skavsc.audio._filterbanks import FILTERBANKS
from skavsc.audio._kernels import MEDIAN_SIZE, sliding_median

RATE = 44_100


def scene(seconds=1.0, rate=RATE, seed=0, peak=0.3):
    """Stereo with a rumble, hiss, a chord in both channels and clicks in one."""
    rng = np.random.default_rng(seed)
    n_samples = round(seconds * rate)
    time = np.arange(n_samples) / rate
    rumble = np.cumsum(rng.standard_normal((2, n_samples)), axis=1)
    hiss = rng.standard_normal((2, n_samples))
    chord = sum(np.sin(2 * np.pi * f * time) for f in (220, 277, 330, 5000))
    sound = 0.02 * rumble / np.abs(rumble).max() + 0.003 * hiss + 0.2 * chord
    sound[0, :: rate // 7] += 1.0
    return (peak * sound / np.abs(sound).max()).astype(np.float32)


def gammatone_reference(signal, rate=RATE, n_bands=64, window=0.04, hop=0.02, f_min=0, f_max=None):
    bands = gtgram(np.asarray(signal, np.float64), rate, window, hop, n_bands, f_min, f_max)[::-1]
    with np.errstate(divide="ignore"):
        return 20 * np.log10(bands)


def mel_reference(signal=None, power=None, rate=RATE, n_fft=2048, **kwargs):
    bands = librosa.feature.melspectrogram(
        y=None if signal is None else np.asarray(signal, np.float64),
        S=power,
        sr=rate,
        n_fft=n_fft,
        win_length=round(0.04 * rate),
        hop_length=round(0.02 * rate),
        n_mels=64,
        **kwargs,
    )
    return librosa.power_to_db(bands, ref=np.max)


def separated(sound):
    spectrum = librosa.stft(
        sound.mean(axis=0, dtype=np.float64), n_fft=2048, hop_length=882, win_length=1764
    )
    return librosa.decompose.hpss(spectrum)


def features(sound, *args, rate=RATE, **kwargs):
    transformer = GammatoneMelTransformer(
        *args, sample_rate=rate, duration=np.shape(sound)[-1] / rate, **kwargs
    )
    return transformer.fit_transform([sound])[0]


@pytest.mark.parametrize("seed", [0, 1])
def test_gammatone_is_that_of_the_gammatone_package(seed):
    left, right = sound = scene(seed=seed)
    result = features(sound)
    assert result.shape == (64, 50, 3)
    assert result.dtype == np.float32
    difference = left.astype(np.float64) - right
    for channel, signal in enumerate((left, right, difference)):
        expected = gammatone_reference(signal)
        assert expected.shape == (64, 49)
        # The floor of -120 dB is far below this sound.
        assert expected.min() > -119
        np.testing.assert_allclose(result[:, :49, channel], expected, rtol=0, atol=1e-4)
        # The 50th frame has no whole window of its own.
        np.testing.assert_array_equal(result[:, 49, channel], result[:, 48, channel])


def test_gammatone_where_the_floor_acts():
    # A sine in float64 leaves hundreds of dB between the bands.
    signal = 1e-3 * np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE)
    expected = gammatone_reference(signal)
    for floor in (None, -60.0, -200.0):
        result = features(signal, floor_db=floor, channels="mono")[:, :49, 0]
        floor = -120.0 if floor is None else floor
        assert (expected < floor).any() == (floor > -190)
        np.testing.assert_allclose(result, np.maximum(expected, floor), rtol=0, atol=1e-4)
        assert (result == floor).any() == (floor > -190)


@given(
    rate=st.sampled_from([8_000, 16_000, 22_050, 48_000]),
    n_bands=st.sampled_from([1, 5, 8, 33, 64]),
    hop_and_window=st.sampled_from([(0.02, 0.04), (0.01, 0.025), (0.02, 0.02), (0.04, 0.02)]),
    f_min=st.sampled_from([0, 50]),
    f_max=st.sampled_from([None, 3000.0]),
)
@settings(max_examples=25, deadline=None)
def test_gammatone_for_any_parameters(rate, n_bands, hop_and_window, f_min, f_max):
    hop, window = hop_and_window
    if any(seconds * rate % 1 for seconds in hop_and_window):
        hop, window = 0.02, 0.04
    sound = scene(0.3, rate)
    parameters = {"n_bands": n_bands, "window": window, "hop": hop, "f_min": f_min, "f_max": f_max}
    result = features(sound, channels="stereo", rate=rate, **parameters)
    for channel, signal in enumerate(sound):
        expected = np.maximum(gammatone_reference(signal, rate, **parameters), -120)
        n_windows = min(expected.shape[1], result.shape[1])
        np.testing.assert_allclose(
            result[:, :n_windows, channel], expected[:, :n_windows], rtol=0, atol=1e-4
        )


def test_gain_shifts_gammatone_values():
    sound = scene().astype(np.float64)
    shifted = features(sound / 10, floor_db=-300.0)
    np.testing.assert_allclose(shifted, features(sound, floor_db=-300.0) - 20, atol=1e-4)


def test_energy_after_ringing_out_in_silence():
    # The filters' memory is set to 0 where it would become subnormal.
    signal = np.zeros(RATE)
    signal[0] = 1.0
    expected = gammatone_reference(signal)
    result = features(signal, channels="mono", floor_db=-2000.0)[:, :49, 0]
    audible = expected > -2000
    np.testing.assert_allclose(result[audible], expected[audible], atol=1e-4)


@pytest.mark.parametrize("seed", [0, 1])
def test_mel_is_that_of_librosa(seed):
    left, right = sound = scene(seed=seed)
    result = features(sound, "mel")
    assert result.shape == (64, 50, 3)
    for channel, signal in enumerate((left, right, left.astype(np.float64) - right)):
        expected = mel_reference(signal)
        assert expected.shape == (64, 51)
        np.testing.assert_allclose(result[..., channel], expected[:, :50], rtol=0, atol=1e-4)
        assert result[..., channel].min() >= -80


@given(
    rate=st.sampled_from([8_000, 16_000, 22_050, 48_000]),
    f_min=st.sampled_from([0.0, 40.0]),
    f_max=st.sampled_from([None, 3000.0]),
    seconds=st.floats(0.1, 0.4),
)
@settings(max_examples=25, deadline=None)
@pytest.mark.filterwarnings("ignore:Empty filters:UserWarning")
def test_mel_for_any_rate_and_length(rate, f_min, f_max, seconds):
    sound = scene(seconds, rate)[0]
    result = features(sound, "mel", "mono", rate=rate, f_min=f_min, f_max=f_max)[..., 0]
    n_fft = 2 ** int(np.ceil(np.log2(0.04 * rate)))
    expected = mel_reference(sound, rate=rate, n_fft=n_fft, fmin=f_min, fmax=f_max)
    n_frames = result.shape[1]
    np.testing.assert_allclose(result, expected[:, :n_frames], rtol=0, atol=1e-4)


def test_harmonic_and_percussive_mel_are_those_of_librosa():
    left, right = sound = scene(2.0)
    result = features(sound, "mel", "hpd")
    harmonic, percussive = separated(sound)
    expected = [
        mel_reference(power=np.abs(harmonic) ** 2),
        mel_reference(power=np.abs(percussive) ** 2),
        mel_reference(left.astype(np.float64) - right),
    ]
    np.testing.assert_allclose(result, np.stack(expected, axis=-1)[:, :100], rtol=0, atol=1e-4)


def test_harmonic_and_percussive_gammatone_are_those_of_the_separated_signals():
    left, right = sound = scene(2.0)
    result = features(sound, "gammatone", "hpd")
    parts = [
        librosa.istft(part, hop_length=882, win_length=1764, length=sound.shape[1])
        for part in separated(sound)
    ]
    parts.append(left.astype(np.float64) - right)
    for channel, part in enumerate(parts):
        np.testing.assert_allclose(
            result[:, :99, channel], gammatone_reference(part), rtol=0, atol=1e-4
        )


@pytest.mark.parametrize("filterbank", FILTERBANKS)
def test_channels_agree_with_each_other(filterbank):
    sound = scene()
    lrd = features(sound, filterbank, "lrd")
    np.testing.assert_array_equal(features(sound, filterbank, "stereo"), lrd[..., :2])
    mixed = features(sound.mean(axis=0), filterbank, "mono")
    np.testing.assert_allclose(features(sound, filterbank, "mono"), mixed, atol=1e-4)
    hpd = features(sound, filterbank, "hpd")
    np.testing.assert_allclose(hpd[..., 2], lrd[..., 2], atol=1e-4)
    swapped = features(sound[::-1], filterbank, "lrd")
    np.testing.assert_allclose(swapped, lrd[..., [1, 0, 2]], atol=1e-4)


@pytest.mark.parametrize("filterbank", FILTERBANKS)
@pytest.mark.parametrize("channels", ["lrd", "hpd"])
def test_a_mono_clip_has_its_difference_at_the_floor(filterbank, channels):
    floor = FILTERBANKS[filterbank].floor_db
    result = features(scene()[0], filterbank, channels)
    assert (result[..., 2] == floor).all()
    assert (result[..., 0] > floor).any()
    if channels == "lrd":
        np.testing.assert_array_equal(result[..., 0], result[..., 1])
    two = features(scene()[[0, 0]], filterbank, channels)
    np.testing.assert_array_equal(two, result)


@pytest.mark.parametrize("filterbank", FILTERBANKS)
@pytest.mark.parametrize("channels", ["lrd", "hpd", "mono", "stereo"])
def test_silence_is_at_the_floor(filterbank, channels):
    result = features(np.zeros(RATE), filterbank, channels)
    assert (result == FILTERBANKS[filterbank].floor_db).all()


def test_floors_are_those_of_the_reference_packages():
    assert {name: FILTERBANKS[name].floor_db for name in ("gammatone", "mel")} == {
        "gammatone": -120,
        "mel": -80,
    }


@given(n_rows=st.integers(1, 70), n_columns=st.integers(1, 140), seed=st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_sliding_median(n_rows, n_columns, seed):
    # With many equal values, for each of which one must leave the window.
    values = np.random.default_rng(seed).integers(0, 9, (n_rows, n_columns)).astype(np.float32)
    half = MEDIAN_SIZE // 2
    padded = np.pad(values, ((half, half), (0, 0)), mode="symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(padded, MEDIAN_SIZE, axis=0)
    np.testing.assert_array_equal(sliding_median(values), np.median(windows, axis=-1))

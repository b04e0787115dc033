"""What crops go through in training."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras.ops import convert_to_numpy

from skavsc.audio import GammatoneMelTransformer
from skavsc.networks import BlockScaling
from skavsc.training._augmentation import mix_power, scale_blocks
from skavsc.training.augmentation import (
    Batch,
    Brightness,
    FilterAugment,
    HorizontalFlip,
    Mixup,
    ModalityDropout,
    SpecAugment,
)


def applied(augmentation, values, seed=0, weights=None):
    """The values, which are of one modality, after an augmentation; and the targets."""
    name = "audio" if augmentation.modality == "audio" or values.ndim == 4 else "visual"
    batch = Batch({name: values}, np.eye(len(values), dtype="float32"), weights)
    before = values.copy()
    after = augmentation(batch, np.random.default_rng(seed))
    np.testing.assert_array_equal(values, before)
    return after.inputs[name], after


def blocks_of(n_examples=5, n_bands=8, n_frames=12, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(-40, 9, size=(n_examples, n_bands, n_frames, 3)).astype("float32")


def mask(blocks, seed=0, time_mask=4, frequency_mask=3):
    return applied(SpecAugment(time_mask=time_mask, frequency_mask=frequency_mask), blocks, seed)[0]


def longest_run(hidden):
    """The number of true values, which must be in one run."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], hidden.astype(int), [0]])))
    assert len(edges) <= 2
    return hidden.sum()


def test_scaling_is_that_of_the_networks_first_layer():
    blocks = blocks_of()
    blocks[1] = -80
    np.testing.assert_allclose(
        scale_blocks(blocks), convert_to_numpy(BlockScaling()(blocks)), atol=1e-6
    )


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    max_frames=st.integers(0, 11),
    max_bands=st.integers(0, 7),
)
def test_masks_hide_one_run_within_the_limits_and_leave_the_rest(seed, max_frames, max_bands):
    blocks = blocks_of(seed=seed)
    masked = mask(blocks, seed, time_mask=max_frames, frequency_mask=max_bands)
    for before, after in zip(blocks, masked, strict=True):
        changed = after != before
        # All channels of a band and frame together.
        assert (changed.all(axis=-1) == changed.any(axis=-1)).all()
        hidden = changed.any(axis=-1)
        assert longest_run(hidden.all(axis=0)) <= max_frames
        assert longest_run(hidden.all(axis=1)) <= max_bands
        # A band or frame is hidden whole or only where the other mask crosses it.
        expected = hidden.all(axis=1)[:, None] | hidden.all(axis=0)[None, :]
        np.testing.assert_array_equal(hidden, expected)
        means = np.broadcast_to(before.mean(axis=(0, 1)), before.shape)
        np.testing.assert_allclose(after[changed], means[changed], rtol=1e-5)


def power_of(blocks):
    power = 10 ** (blocks.astype(float) / 10)
    return power / power.mean(axis=(1, 2, 3), keepdims=True)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), gain=st.floats(-60, 60))
def test_powers_add_up_as_those_of_sounds_that_have_nothing_in_common(seed, gain):
    blocks = blocks_of(seed=seed)
    share = np.random.default_rng(seed).random(5)
    partners = np.roll(np.arange(5), 1)
    mixed = mix_power(blocks, partners, share)
    assert mixed.dtype == np.float32
    weights = np.stack([share**2, (1 - share) ** 2])[..., None, None, None]
    expected = weights[0] * power_of(blocks) + weights[1] * power_of(blocks)[partners]
    np.testing.assert_allclose(power_of(mixed), expected / weights.sum(axis=0), rtol=1e-4)
    # How loud either was recorded does not matter.
    louder = blocks.copy()
    louder[2] += np.float32(gain)
    np.testing.assert_allclose(mix_power(louder, partners, share), mixed, atol=1e-3)


def test_a_share_of_all_is_the_sound_itself():
    blocks = blocks_of()
    alone = mix_power(blocks, np.roll(np.arange(5), 1), np.ones(5))
    np.testing.assert_allclose(scale_blocks(alone), scale_blocks(blocks), atol=1e-5)
    blocks[1:3] = -120
    assert np.isfinite(mix_power(blocks, np.array([1, 2, 1, 1, 0]), np.full(5, 0.5))).all()


def test_noises_mixed_as_waves_have_the_mixed_power():
    rng = np.random.default_rng(0)
    white = rng.normal(size=10 * 44100)
    brown = np.convolve(rng.normal(size=10 * 44100), np.ones(200), mode="same")
    transformer = GammatoneMelTransformer(channels="mono")

    def band_powers(waves):
        features = transformer.fit_transform([(wave, 44100) for wave in waves])
        return features, (10 ** (features.astype(float) / 10)).mean(axis=(2, 3))

    powers = band_powers([white, brown])[1].mean(axis=1)
    waves = np.stack([white, brown]) / np.sqrt(powers)[:, None]
    features, _ = band_powers(waves)
    found = mix_power(features, np.array([1, 0]), np.array([0.7, 0.3]))
    expected = band_powers([0.7 * waves[0] + 0.3 * waves[1]])[1][0]
    difference = 10 * np.log10((10 ** (found.astype(float) / 10)).mean(axis=(2, 3)) / expected)
    # The same up to a gain, and up to chance in the narrow lowest bands.
    np.testing.assert_allclose(difference - np.median(difference), 0, atol=0.7)


def test_every_width_and_place_occurs():
    blocks = blocks_of(n_examples=2000)
    hidden = (mask(blocks, time_mask=4, frequency_mask=0) != blocks).all(axis=(1, 3))
    assert set(hidden.sum(axis=1)) == {0, 1, 2, 3, 4}
    assert hidden.any(axis=0).all()


def test_masks_move_with_the_gain():
    blocks = blocks_of()
    np.testing.assert_allclose(mask(blocks + 30), mask(blocks) + 30, rtol=1e-5)


def test_a_constant_channel_stays_constant():
    blocks = blocks_of()
    blocks[..., 2] = -120
    assert (mask(blocks)[..., 2] == -120).all()


def filtered(blocks, gain=0.1):
    return applied(FilterAugment(gain=gain), blocks)[0]


def test_a_filter_is_smooth_over_bands_and_the_same_at_all_times():
    blocks = blocks_of(n_examples=400, n_bands=33)
    gains = filtered(blocks) - blocks
    assert gains.dtype == np.float32
    np.testing.assert_allclose(gains, np.broadcast_to(gains[:, :, :1, :1], gains.shape), atol=1e-4)
    gains = gains[:, :, 0, 0] / np.ptp(blocks, axis=(1, 2, 3))[:, None]
    # Knots are 8 bands apart: straight in between, independent from one to the next.
    np.testing.assert_allclose(np.diff(gains, 2, axis=1)[:, 1:7], 0, atol=1e-5)
    knots = gains[:, ::8]
    np.testing.assert_allclose(knots.std(axis=0), 0.1, rtol=0.2)
    assert np.abs(knots.mean(axis=0)).max() < 0.02
    assert np.abs(np.corrcoef(knots.T) - np.eye(5)).max() < 0.2


def test_filters_go_with_gain_and_scaling():
    blocks = blocks_of()
    np.testing.assert_allclose(filtered(blocks + 30), filtered(blocks) + 30, atol=1e-4)
    np.testing.assert_allclose(
        scale_blocks(filtered(scale_blocks(blocks))), scale_blocks(filtered(blocks)), atol=1e-5
    )


def test_filters_leave_a_constant_channel_constant():
    blocks = blocks_of()
    blocks[..., 2] = -120
    changed = filtered(blocks)
    assert (changed[..., 2] == -120).all()
    assert (changed[..., 0] != blocks[..., 0]).mean() > 0.9


@given(alpha=st.floats(0.05, 5), seed=st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_mixup_mixes_inputs_targets_and_weights_alike(alpha, seed):
    values = np.broadcast_to(np.arange(6, dtype="float32")[:, None, None], (6, 5, 3)).copy()
    weights = np.arange(6, dtype="float32")
    inputs, mixed = applied(Mixup(alpha=alpha), values, seed, weights)
    np.testing.assert_allclose(mixed.targets.sum(axis=1), 1, rtol=1e-6)
    # The value and the weight of a clip are its number, so a mixture's is its mean number.
    expected = mixed.targets @ np.arange(6)
    np.testing.assert_allclose(inputs[:, 2, 1], expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(mixed.weights, expected, rtol=1e-5, atol=1e-5)


def test_mixup_of_decibels_does_not_depend_on_gain():
    loud = blocks_of()
    quiet = loud.copy()
    quiet[::2] -= 40
    np.testing.assert_allclose(applied(Mixup(), loud)[0], applied(Mixup(), quiet)[0], atol=1e-5)
    assert not np.allclose(applied(Mixup(), loud)[0], scale_blocks(loud))


def test_mixup_in_the_power_domain():
    blocks = blocks_of()
    rng = np.random.default_rng(0)
    share, partners = rng.beta(0.4, 0.4, size=5), rng.permutation(5)
    mixed, batch = applied(Mixup(domain="power"), blocks)
    np.testing.assert_array_equal(mixed, mix_power(blocks, partners, share))
    np.testing.assert_allclose(batch.targets.sum(axis=1), 1, rtol=1e-6)


def test_mixup_of_alpha_0_is_off():
    blocks = blocks_of()
    assert applied(Mixup(alpha=0), blocks)[0] is blocks


@pytest.mark.parametrize(("name", "extent"), [("time_mask", 12), ("frequency_mask", 8)])
def test_a_mask_over_everything_is_refused(name, extent):
    shapes = {"audio": (8, 12, 3)}
    SpecAugment(**{"time_mask": 11, "frequency_mask": 7}).check(shapes)
    augmentation = SpecAugment(**{"time_mask": 0, "frequency_mask": 0, name: extent})
    with pytest.raises(ValueError, match=rf"{name}={extent} .* may mask all of the {extent}"):
        augmentation.check(shapes)


@pytest.mark.parametrize(
    "augmentation",
    [Mixup(alpha=-1), Mixup(domain="waves"), SpecAugment(time_mask=-1), FilterAugment(gain=-1),
     HorizontalFlip(probability=2), Brightness(limit=2), ModalityDropout(rate=1.0)],
    ids=str,
)  # fmt: skip
def test_parameters_out_of_range_are_named(augmentation):
    (name,) = (key for key in augmentation.get_params() if f"{key}=" in repr(augmentation))
    with pytest.raises(ValueError, match=f"'{name}' parameter of {type(augmentation).__name__}"):
        augmentation.check({"audio": (8, 12, 3)})


def frames_of(n_examples=200):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, size=(n_examples, 5, 4, 6, 3)).astype("float32")


def test_examples_are_flipped_whole():
    frames = frames_of()
    flipped = applied(HorizontalFlip(probability=0.3), frames)[0]
    same = (flipped == frames).all(axis=(1, 2, 3, 4))
    mirrored = (flipped == frames[:, :, :, ::-1]).all(axis=(1, 2, 3, 4))
    assert (same ^ mirrored).all()
    assert 0.2 < mirrored.mean() < 0.4


def test_brightness_stays_within_its_limit_and_the_range_of_pixels():
    frames = frames_of()
    frames[0, 2] = -1
    changed = applied(Brightness(limit=0.3), frames)[0]
    assert (changed[0, 2] == -1).all()
    assert changed.max() <= 255
    for before, after in zip(frames[1:], changed[1:], strict=True):
        factors = after[(before > 0) & (after < 255)] / before[(before > 0) & (after < 255)]
        assert 0.7 <= factors.min() <= factors.max() <= 1.3
        np.testing.assert_allclose(factors, factors[0], rtol=1e-5)


@given(rate=st.floats(0, 0.9), seed=st.integers(0, 2**31), on_frames=st.booleans())
@settings(max_examples=20, deadline=None)
def test_modalities_are_dropped_whole_and_never_both(rate, seed, on_frames):
    shape = (400, 2, 1, 1, 3) if on_frames else (400, 2, 3)
    inputs = {"audio": np.ones((400, 3, 4, 2), "float32"), "visual": np.ones(shape, "float32")}
    batch = Batch(inputs, np.ones((400, 2), "float32"))
    dropped = ModalityDropout(rate=rate)(batch, np.random.default_rng(seed)).inputs
    gone = {}
    for name, values in dropped.items():
        blank = (values == (-1 if values.ndim == 5 else 0)).reshape(400, -1)
        gone[name] = blank.all(axis=1)
        assert (gone[name] == blank.any(axis=1)).all()
    assert not (gone["audio"] & gone["visual"]).any()
    share = (gone["audio"] | gone["visual"]).mean()
    assert abs(share - rate) < 0.13

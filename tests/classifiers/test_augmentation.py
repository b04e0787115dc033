"""What crops go through in training."""

import functools
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras.ops import convert_to_numpy

from skavsc.audio import GammatoneMelTransformer
from skavsc.classifiers._augmentation import (
    brighten_frames,
    colour_blocks,
    drop_streams,
    flip_frames,
    mask_blocks,
    mix_power,
    scale_blocks,
)
from skavsc.classifiers._batches import CropBatches
from skavsc.classifiers._streams import ClipStreams, Stream
from skavsc.networks import BlockScaling


def blocks_of(n_examples=5, n_bands=8, n_frames=12, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(-40, 9, size=(n_examples, n_bands, n_frames, 3)).astype("float32")


def mask(blocks, seed=0, **options):
    rng = np.random.default_rng(seed)
    options = {"max_frames": 4, "max_bands": 3, **options}
    return mask_blocks({"audio": blocks}, rng, stream="audio", **options)["audio"]


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
    masked = mask(blocks, seed, max_frames=max_frames, max_bands=max_bands)
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
    hidden = (mask(blocks, max_frames=4, max_bands=0) != blocks).all(axis=(1, 3))
    assert set(hidden.sum(axis=1)) == {0, 1, 2, 3, 4}
    assert hidden.any(axis=0).all()


def test_masks_move_with_the_gain():
    blocks = blocks_of()
    np.testing.assert_allclose(mask(blocks + 30), mask(blocks) + 30, rtol=1e-5)


def test_a_constant_channel_stays_constant():
    blocks = blocks_of()
    blocks[..., 2] = -120
    assert (mask(blocks)[..., 2] == -120).all()


def colour(blocks, deviation=0.1):
    rng = np.random.default_rng(0)
    return colour_blocks({"audio": blocks}, rng, stream="audio", deviation=deviation)["audio"]


def test_a_filter_is_smooth_over_bands_and_the_same_at_all_times():
    blocks = blocks_of(n_examples=400, n_bands=33)
    gains = colour(blocks) - blocks
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
    np.testing.assert_allclose(colour(blocks + 30), colour(blocks) + 30, atol=1e-4)
    np.testing.assert_allclose(
        scale_blocks(colour(scale_blocks(blocks))), scale_blocks(colour(blocks)), atol=1e-5
    )


def test_filters_leave_a_constant_channel_constant():
    blocks = blocks_of()
    blocks[..., 2] = -120
    coloured = colour(blocks)
    assert (coloured[..., 2] == -120).all()
    assert (coloured[..., 0] != blocks[..., 0]).mean() > 0.9


def batches(augmentations=(), **options):
    data = blocks_of(n_examples=9, n_frames=40)
    clips = ClipStreams({"audio": Stream(data, 10, block_scaled=True)})
    return CropBatches(
        clips,
        np.arange(9),
        np.eye(9, dtype="float32"),
        None,
        **{"batch_size": 4, "mixup_alpha": 0.4, "mixed": ("audio",), "seed": 3, **options},
        augmentations=augmentations,
    )


MASK = functools.partial(mask_blocks, stream="audio", max_frames=3, max_bands=2)


def test_augmented_batches_follow_from_seed_epoch_and_index():
    forward, backward = batches((MASK,)), pickle.loads(pickle.dumps(batches((MASK,))))
    there = [forward[index] for index in range(3)]
    back = [backward[index] for index in reversed(range(3))][::-1]
    for (a, b), (c, d) in zip(there, back, strict=True):
        np.testing.assert_array_equal(a, c)
        np.testing.assert_array_equal(b, d)
    next_epoch = forward[forward.steps_per_epoch]
    assert not np.array_equal(next_epoch[0], there[0][0])


def test_augmentation_leaves_crops_mixtures_and_targets_as_they_are():
    plain, masked = batches()[1], batches((MASK,))[1]
    np.testing.assert_array_equal(plain[1], masked[1])
    assert 0.3 < (plain[0] == masked[0]).mean() < 1


@pytest.mark.parametrize(
    "options",
    [{"time_mask": 20, "frequency_mask": 4}, {"band_gain": 0.2}, {"mixup_domain": "power"}],
)
def test_the_classifier_changes_crops_where_asked(features, fitted, small_audio, options):
    X, y, groups = features
    masked = small_audio(epochs=1, **options).fit(X, y, groups=groups)
    plain = fitted["audio"].history_["loss"][0]
    assert masked.history_["loss"][0] != plain
    assert small_audio(epochs=1).fit(X, y, groups=groups).history_["loss"][0] == plain


def test_clean_statistics_are_those_of_the_training_clips_as_they_are(features, small_audio):
    X, y, _ = features
    options = {"epochs": 2, "band_gain": 0.5, "validation_fraction": 0}
    usual = small_audio(**options).fit(X, y).keras_classifier_.model_
    clean = small_audio(**options, clean_statistics=True).fit(X, y).keras_classifier_.model_
    for one, other in zip(usual.trainable_variables, clean.trainable_variables, strict=True):
        np.testing.assert_array_equal(convert_to_numpy(one), convert_to_numpy(other))
    # What the first of them sees follows from the crops alone: here, from the whole clips.
    name = "audio_block1_shortcut"
    rows = np.concatenate([X["audio"][:, :, start : start + 50] for start in range(0, 51, 5)])
    maps = convert_to_numpy(clean.get_layer(name)(clean.get_layer("audio_scaling")(rows)))
    for network, tolerance in ((clean, 0.02), (usual, None)):
        norm = network.get_layer(f"{name}_norm")
        mean, variance = map(convert_to_numpy, (norm.moving_mean, norm.moving_variance))
        off = np.abs(mean - maps.mean(axis=(0, 1, 2))) / maps.std(axis=(0, 1, 2))
        assert (off < 0.02).all() == (network is clean)
        if tolerance:
            np.testing.assert_allclose(variance, maps.var(axis=(0, 1, 2)), rtol=tolerance)
        assert norm.momentum == usual.get_layer(f"{name}_norm").momentum > 0


@pytest.mark.parametrize(("name", "extent"), [("time_mask", 50), ("frequency_mask", 16)])
def test_a_mask_over_everything_is_refused(features, small_audio, name, extent):
    X, y, _ = features
    with pytest.raises(ValueError, match=rf"{name}={extent} may hide all of the {extent}"):
        small_audio(**{name: extent}).fit(X, y)


def frames_of(n_examples=200):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, size=(n_examples, 5, 4, 6, 3)).astype("float32")


def test_half_of_the_examples_are_mirrored_whole():
    frames = frames_of()
    given_back = flip_frames({"visual": frames}, np.random.default_rng(0), stream="visual")
    same = (given_back["visual"] == frames).all(axis=(1, 2, 3, 4))
    mirrored = (given_back["visual"] == frames[:, :, :, ::-1]).all(axis=(1, 2, 3, 4))
    assert (same ^ mirrored).all()
    assert 0.4 < mirrored.mean() < 0.6


def test_brightness_stays_within_its_limit_and_the_range_of_pixels():
    frames = frames_of()
    frames[0, 2] = -1
    changed = brighten_frames(
        {"visual": frames}, np.random.default_rng(0), stream="visual", limit=0.3
    )["visual"]
    assert (changed[0, 2] == -1).all()
    assert changed.max() <= 255
    for before, after in zip(frames[1:], changed[1:], strict=True):
        factors = after[(before > 0) & (after < 255)] / before[(before > 0) & (after < 255)]
        assert 0.7 <= factors.min() <= factors.max() <= 1.3
        np.testing.assert_allclose(factors, factors[0], rtol=1e-5)


@given(rate=st.floats(0, 0.9), seed=st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_streams_are_dropped_whole_and_never_both(rate, seed):
    inputs = {"audio": np.ones((400, 3, 4, 2), "float32"), "visual": np.ones((400, 5), "float32")}
    blanks = {"audio": 0.0, "visual": -1.0}
    dropped = drop_streams(inputs, np.random.default_rng(seed), rate=rate, blanks=blanks)
    gone = {}
    for name, blocks in dropped.items():
        blank = (blocks == blanks[name]).reshape(400, -1)
        gone[name] = blank.all(axis=1)
        assert (gone[name] == blank.any(axis=1)).all()
    assert not (gone["audio"] & gone["visual"]).any()
    share = (gone["audio"] | gone["visual"]).mean()
    assert abs(share - rate) < 0.13

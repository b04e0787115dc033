"""Random crops, mixup and the seconds of held-out clips."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skavsc.classifiers._batches import CropBatches, SecondBatches
from skavsc.classifiers._streams import ClipStreams, Stream


def clips_of(n_clips, n_frames=20):
    """Every value of a clip is the clip's number."""
    data = np.broadcast_to(np.arange(float(n_clips))[:, None, None], (n_clips, n_frames, 3)).copy()
    return ClipStreams({"visual": Stream(data, 5)})


def batches(clips, rows=None, **options):
    rows = np.arange(clips.n_clips) if rows is None else rows
    targets = np.eye(clips.n_clips, dtype="float32")
    defaults = {"batch_size": 4, "mixup_alpha": 0.0, "mixed": ("visual",), "seed": 0}
    weights = options.pop("weights", None)
    return CropBatches(clips, rows, targets, weights, **{**defaults, **options})


@given(n_clips=st.integers(1, 40), batch_size=st.integers(1, 12))
def test_an_epoch_takes_every_clip_once(n_clips, batch_size):
    epoch = batches(clips_of(n_clips), batch_size=batch_size)
    seen, sizes = [], []
    for index in range(len(epoch)):
        inputs, targets = epoch[index]
        np.testing.assert_array_equal(inputs[:, 0, 0], targets.argmax(axis=1))
        seen += targets.argmax(axis=1).tolist()
        sizes.append(len(targets))
    assert sorted(seen) == list(range(n_clips))
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1


def test_batches_follow_from_the_seed_in_any_order():
    clips = clips_of(10)
    forward, backward = batches(clips), batches(clips)
    there = [forward[index] for index in range(3)]
    back = [backward[index] for index in reversed(range(3))][::-1]
    for (a, b), (c, d) in zip(there, back, strict=True):
        np.testing.assert_array_equal(a, c)
        np.testing.assert_array_equal(b, d)


def test_epochs_differ():
    both = batches(clips_of(12), epochs=2)
    clips = np.concatenate([both[step][1] for step in range(len(both))]).argmax(axis=1)
    assert clips[:12].tolist() != clips[12:].tolist()
    assert sorted(clips[:12]) == sorted(clips[12:]) == list(range(12))


@given(first_epoch=st.integers(0, 5), epoch=st.integers(0, 5))
def test_an_epoch_is_the_same_wherever_training_begins(first_epoch, epoch):
    clips = clips_of(10)
    whole = batches(clips, mixup_alpha=0.4)
    later = batches(clips, mixup_alpha=0.4, first_epoch=first_epoch)
    for step in range(3):
        index = (first_epoch + epoch) * whole.steps_per_epoch + step
        ours = later[epoch * later.steps_per_epoch + step]
        for a, b in zip(whole[index], ours, strict=True):
            np.testing.assert_array_equal(a, b)


def test_crops_start_anywhere_usable_and_nowhere_else():
    data = np.broadcast_to(np.arange(20.0)[None, :, None], (1, 20, 3)).copy()
    data[0, 8] = np.nan
    clips = ClipStreams({"visual": Stream(data, 5)})
    epochs = batches(clips)
    starts = set()
    for epoch in range(200):
        starts.add(int(epochs[epoch][0][0, 0, 0]))
    assert starts == {0, 1, 2, 3, 9, 10, 11, 12, 13, 14, 15}


def test_mixup_mixes_inputs_targets_and_weights_alike():
    clips = clips_of(6)
    weights = np.arange(6, dtype="float32")
    mixed = batches(clips, mixup_alpha=0.4, batch_size=6, weights=weights)
    inputs, targets, mixed_weights = mixed[0]
    np.testing.assert_allclose(targets.sum(axis=1), 1, rtol=1e-6)
    # The value and the weight of a clip are its number, so a mixture's is its mean number.
    np.testing.assert_allclose(inputs[:, 2, 1], targets @ np.arange(6), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(mixed_weights, targets @ weights, rtol=1e-5, atol=1e-6)
    assert ((targets > 0).sum(axis=1) == 2).any()


def test_mixup_of_decibels_does_not_depend_on_gain():
    rng = np.random.default_rng(0)
    loud = rng.normal(-20, 5, size=(4, 8, 50, 3)).astype("float32")
    quiet = loud.copy()
    quiet[::2] -= 40

    def mixed(data):
        clips = ClipStreams({"audio": Stream(data, 50, block_scaled=True)})
        return batches(clips, mixup_alpha=0.4, mixed=("audio",))[0][0]

    np.testing.assert_allclose(mixed(loud), mixed(quiet), atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_seconds_come_in_order_without_the_missing(batch_size):
    data = np.broadcast_to(np.arange(20.0)[None, :, None], (2, 20, 3)).copy()
    data[1, 7] = np.nan
    clips = ClipStreams({"visual": Stream(data, 5)})
    seconds = SecondBatches(clips, np.array([0, 1]), batch_size=batch_size)
    starts = np.concatenate([seconds[i][0][:, 0, 0] for i in range(len(seconds))])
    assert starts.tolist() == [0, 5, 10, 15, 0, 10, 15]


def test_seconds_that_overlap():
    data = np.broadcast_to(np.arange(24.0)[None, :, None], (2, 24, 3)).copy()
    data[1, 7] = np.nan
    clips = ClipStreams({"visual": Stream(data, 6)})
    seconds = SecondBatches(clips, np.array([1, 0]), per_second=3)
    assert seconds[0][0][:, 0, 0].tolist() == [0, 8, 10, 12, 14, 16, 18, *range(0, 19, 2)]
    with pytest.raises(ValueError, match="starts_per_second=4 does not divide the 6 frames"):
        SecondBatches(clips, np.array([0]), per_second=4)

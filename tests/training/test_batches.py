"""Random crops of clips, and the segments of clips that are held out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skavsc.training._batches import CropBatches, SegmentBatches
from skavsc.training._segments import ClipFeatures, LabelledClips, ModalityFeatures
from skavsc.training.augmentation import Mixup


def labelled(data, rows=None, weights=None, segment_frames=5):
    """Clips of which each has a label of its own, its number."""
    features = ClipFeatures({"visual": ModalityFeatures(data, segment_frames)})
    labels = np.arange(len(data))
    return LabelledClips(features, labels, weights, labels if rows is None else rows)


def clips_of(n_clips, n_frames=20):
    """Every value of a clip is the clip's number."""
    return np.broadcast_to(np.arange(float(n_clips))[:, None, None], (n_clips, n_frames, 3)).copy()


def batches(data, weights=None, **options):
    clips = labelled(data, weights=weights)
    return CropBatches(clips, np.arange(len(data)), **{"batch_size": 4, "seed": 0, **options})


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
    whole = batches(clips, augmentation=[Mixup()])
    later = batches(clips, augmentation=[Mixup()], first_epoch=first_epoch)
    for step in range(3):
        index = (first_epoch + epoch) * whole.steps_per_epoch + step
        ours = later[epoch * later.steps_per_epoch + step]
        for a, b in zip(whole[index], ours, strict=True):
            np.testing.assert_array_equal(a, b)


def test_crops_start_anywhere_usable_and_nowhere_else():
    data = np.broadcast_to(np.arange(20.0)[None, :, None], (1, 20, 3)).copy()
    data[0, 8] = np.nan
    epochs = batches(data, epochs=200)
    starts = set()
    for epoch in range(len(epochs)):
        starts.add(int(epochs[epoch][0][0, 0, 0]))
    assert starts == {0, 1, 2, 3, 9, 10, 11, 12, 13, 14, 15}


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_segments_are_in_order_without_the_missing(batch_size):
    data = np.broadcast_to(np.arange(20.0)[None, :, None], (2, 20, 3)).copy()
    data[1, 7] = np.nan
    segments = SegmentBatches(labelled(data), np.arange(2), batch_size=batch_size)
    starts = np.concatenate([segments[i][0][:, 0, 0] for i in range(len(segments))])
    assert starts.tolist() == [0, 5, 10, 15, 0, 10, 15]
    targets = np.concatenate([segments[i][1] for i in range(len(segments))])
    assert targets.argmax(axis=1).tolist() == [0] * 4 + [1] * 3

"""Which seconds and crops of a clip can be used, and that both streams are cut together."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skavsc.classifiers._streams import ClipStreams, Stream


def numbered_clips(n_clips, n_frames, per_second):
    """Features whose values are the numbers of their frames."""
    frames = np.arange(n_frames, dtype="float32")
    audio = np.broadcast_to(frames[None, None, :, None], (n_clips, 4, n_frames, 2)).copy()
    return Stream(audio, per_second, 1)


@settings(max_examples=60, deadline=None)
@given(
    n_frames=st.integers(5, 40),
    per_second=st.integers(1, 5),
    missing=st.lists(st.integers(0, 39), max_size=6),
)
def test_usable_is_what_holds_no_nan(n_frames, per_second, missing):
    stream = numbered_clips(1, n_frames, per_second)
    for frame in missing:
        stream.data[0, 1, frame % n_frames, 0] = np.nan
    clips = ClipStreams({"audio": stream})
    for start, usable in enumerate(clips.usable_starts[0]):
        assert usable == np.isfinite(stream.take(0, start)).all()
    for second, usable in enumerate(clips.usable_seconds[0]):
        assert usable == np.isfinite(stream.take(0, second * per_second)).all()
    assert clips.usable_starts.shape[1] == n_frames - per_second + 1
    assert clips.usable_seconds.shape[1] == n_frames // per_second


def test_crops_of_both_streams_begin_at_the_same_moment():
    audio = numbered_clips(2, 500, 50)
    picture = np.broadcast_to(np.arange(50.0)[None, :, None], (2, 50, 3)).copy()
    clips = ClipStreams(
        {"audio": Stream(audio.data, 50, stride=10), "visual": Stream(picture, 5, stride=1)}
    )
    assert clips.usable_starts.shape == (2, 46)
    starts = np.arange(46)
    crops = clips.crops(np.zeros(46, dtype=int), starts)
    np.testing.assert_array_equal(crops["audio"][:, 0, 0, 0], 10 * starts)
    np.testing.assert_array_equal(crops["visual"][:, 0, 0], starts)
    assert crops["audio"].shape == (46, 4, 50, 2)
    assert crops["visual"].shape == (46, 5, 3)


def test_a_second_is_usable_only_where_every_stream_is():
    audio = numbered_clips(1, 150, 50)
    picture = np.zeros((1, 15, 3))
    audio.data[0, :, :50] = np.nan
    picture[0, 14] = np.nan
    clips = ClipStreams({"audio": Stream(audio.data, 50, 10), "visual": Stream(picture, 5, 1)})
    assert clips.usable_seconds.tolist() == [[False, True, False]]
    assert np.flatnonzero(clips.usable_starts[0]).tolist() == [5, 6, 7, 8, 9]


def test_infinity_is_an_error_that_names_the_clip():
    stream = numbered_clips(3, 10, 5)
    stream.data[2, 0, 3, 1] = -np.inf
    with pytest.raises(ValueError, match="clip 2 hold infinity"):
        ClipStreams({"audio": stream})


def test_memory_mapped_features_give_the_same_crops(tmp_path):
    data = np.random.default_rng(0).normal(size=(3, 4, 100, 2)).astype("float32")
    np.save(tmp_path / "X.npy", data)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    rows, starts = np.array([0, 2]), np.array([3, 7])
    here = ClipStreams({"audio": Stream(data, 50)}).crops(rows, starts)["audio"]
    there = ClipStreams({"audio": Stream(mapped, 50)}).crops(rows, starts)["audio"]
    np.testing.assert_array_equal(here, there)
    assert not isinstance(there, np.memmap)

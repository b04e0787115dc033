"""Which segments and crops of a clip can be used, and that all modalities are cut together."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skavsc.training._segments import ClipFeatures, FrameFeatures, ModalityFeatures


def numbered_clips(n_clips, n_frames):
    """Features whose values are the numbers of their frames."""
    frames = np.arange(n_frames, dtype="float32")
    return np.broadcast_to(frames[None, None, :, None], (n_clips, 4, n_frames, 2)).copy()


@settings(max_examples=60, deadline=None)
@given(
    n_frames=st.integers(5, 40),
    segment_frames=st.integers(1, 5),
    missing=st.lists(st.integers(0, 39), max_size=6),
)
def test_usable_is_what_holds_no_nan(n_frames, segment_frames, missing):
    data = numbered_clips(1, n_frames)
    for frame in missing:
        data[0, 1, frame % n_frames, 0] = np.nan
    part = ModalityFeatures(data, segment_frames)
    clips = ClipFeatures({"audio": part})
    for start, usable in enumerate(clips.usable_starts[0]):
        assert usable == np.isfinite(part.segment(0, start)).all()
    for second, usable in enumerate(clips.usable_segments[0]):
        assert usable == np.isfinite(part.segment(0, second * segment_frames)).all()
    assert clips.usable_starts.shape[1] == n_frames - segment_frames + 1
    assert clips.usable_segments.shape[1] == n_frames // segment_frames


def test_crops_of_both_modalities_begin_at_the_same_moment():
    audio = numbered_clips(2, 500)
    picture = np.broadcast_to(np.arange(50.0)[None, :, None], (2, 50, 3)).copy()
    clips = ClipFeatures(
        {"audio": ModalityFeatures(audio, 50, stride=10), "visual": ModalityFeatures(picture, 5)}
    )
    assert clips.usable_starts.shape == (2, 46)
    starts = np.arange(46)
    crops = clips.crops(np.zeros(46, dtype=int), starts)
    np.testing.assert_array_equal(crops["audio"][:, 0, 0, 0], 10 * starts)
    np.testing.assert_array_equal(crops["visual"][:, 0, 0], starts)
    assert crops["audio"].shape == (46, 4, 50, 2)
    assert crops["visual"].shape == (46, 5, 3)


def test_a_segment_is_usable_only_where_every_modality_is():
    audio, picture = numbered_clips(1, 150), np.zeros((1, 15, 3))
    audio[0, :, :50] = np.nan
    picture[0, 14] = np.nan
    clips = ClipFeatures(
        {"audio": ModalityFeatures(audio, 50, 10), "visual": ModalityFeatures(picture, 5)}
    )
    assert clips.usable_segments.tolist() == [[False, True, False]]
    assert np.flatnonzero(clips.usable_starts[0]).tolist() == [5, 6, 7, 8, 9]


def test_starts_per_second_must_divide_the_frames_of_a_segment():
    clips = ClipFeatures({"visual": ModalityFeatures(np.zeros((1, 12, 3)), 6)})
    assert [clips.starts_between(n) for n in (1, 2, 3, 6)] == [6, 3, 2, 1]
    with pytest.raises(ValueError, match="starts_per_second=4 does not divide the 6 frames"):
        clips.starts_between(4)


def test_infinity_is_an_error_that_names_the_clip():
    data = numbered_clips(3, 10)
    data[2, 0, 3, 1] = -np.inf
    with pytest.raises(ValueError, match="clip 2 hold infinity"):
        ModalityFeatures(data, 5)


def test_memory_mapped_features_give_the_same_crops(tmp_path):
    data = np.random.default_rng(0).normal(size=(3, 4, 100, 2)).astype("float32")
    np.save(tmp_path / "X.npy", data)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    rows, starts = np.array([0, 2]), np.array([3, 7])
    here = ClipFeatures({"audio": ModalityFeatures(data, 50)}).crops(rows, starts)["audio"]
    there = ClipFeatures({"audio": ModalityFeatures(mapped, 50)}).crops(rows, starts)["audio"]
    np.testing.assert_array_equal(here, there)
    assert not isinstance(there, np.memmap)


class Film:
    """Frames whose values are their numbers, and how often they were read."""

    def __init__(self, n_frames):
        self.shape = (n_frames, 2, 3, 3)
        self.reads = 0

    def __array__(self, dtype=None, copy=None):
        self.reads += 1
        frames = np.broadcast_to(np.arange(self.shape[0])[:, None, None, None], self.shape)
        return frames.astype(dtype or "uint8")


def test_frames_are_cut_where_their_embeddings_are_and_each_film_is_read_once():
    films = [Film(15), Film(15)]
    embeddings = np.zeros((2, 15, 4), dtype="float32")
    embeddings[1, 12] = np.nan
    clips = ClipFeatures({"visual": ModalityFeatures(embeddings, 5, frames=films)}).on_frames()
    assert clips.usable_segments.tolist() == [[True] * 3, [True, True, False]]
    cut = clips.crops(np.array([0, 0, 0, 1, 1]), np.array([0, 5, 10, 0, 5]))["visual"]
    assert cut.shape == (5, 5, 2, 3, 3)
    assert cut[:, 0, 0, 0, 0].tolist() == [0, 5, 10, 0, 5]
    assert [film.reads for film in films] == [1, 1]


def test_what_is_missing_is_blank():
    audio = np.ones((2, 4, 10, 1), dtype="float32")
    audio[1] = np.nan
    embeddings = np.zeros((2, 10, 4), dtype="float32")
    embeddings[0] = np.nan
    frames = FrameFeatures(embeddings, 5, frames=[None, Film(10)])
    clips = ClipFeatures({"audio": ModalityFeatures(audio, 5), "visual": frames}, any_modality=True)
    assert clips.usable_segments.all()
    cut = clips.crops(np.array([0, 1]), np.array([5, 5]))
    assert (cut["audio"][0] == 1).all()
    assert (cut["audio"][1] == 0).all()
    assert (cut["visual"][0] == -1).all()
    assert cut["visual"][1, 0, 0, 0, 0] == 5

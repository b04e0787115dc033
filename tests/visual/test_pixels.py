"""Frames as a few large pixels."""

import numpy as np
import pytest
from sklearn.utils.estimator_checks import (
    check_estimator_cloneable,
    check_no_attributes_set_in_init,
)

from skavsc.exceptions import ClipTableError
from skavsc.visual import PixelEmbedder, VideoFrameSampler


def test_pixels_are_means_over_areas():
    frames = np.random.default_rng(0).integers(0, 255, (2, 3, 8, 8, 3), dtype=np.uint8)
    features = PixelEmbedder(size=2).fit_transform(frames)
    expected = frames.reshape(2, 3, 2, 4, 2, 4, 3).mean(axis=(3, 5)).reshape(2, 3, 12) / 255
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, expected, atol=0.5 / 255 + 1e-6)


def test_files_missing_clips_and_the_end_of_a_video(video_path, tmp_path):
    frames = VideoFrameSampler(duration=2.0, size=32).fit_transform([str(video_path), None])
    embedder = PixelEmbedder(size=4, memory=tmp_path)
    features = embedder.fit_transform(frames)
    assert features.shape == (2, 10, 48)
    assert np.isfinite(features[0, :5]).all()
    assert np.isnan(features[0, 5:]).all()
    assert np.isnan(features[1]).all()
    assert np.array_equal(embedder.transform(frames), features, equal_nan=True)


def test_paths_are_no_frames(video_path):
    with pytest.raises(ClipTableError, match="VideoFrameSampler"):
        PixelEmbedder().fit([str(video_path)])


@pytest.mark.parametrize("check", [check_estimator_cloneable, check_no_attributes_set_in_init])
def test_parameters_follow_scikit_learn(check):
    check("PixelEmbedder", PixelEmbedder())

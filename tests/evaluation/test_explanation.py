"""Explanations of generated clips in which the telling band, time, frame or region is known."""

import numpy as np
import pandas as pd
import pytest
import soundfile
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skavsc import (
    AudioSceneClassifier,
    GammatoneMelTransformer,
    SECRNNClassifier,
    VideoFrameSampler,
    VisualSceneClassifier,
)
from skavsc.evaluation import TrainingDisplay, complexity_report, grad_cam, occlusion_importance
from skavsc.media import write_clip

RATE = 16_000


def write_tones(path, hertz, rng):
    """Write noise with bursts of a tone, whose pitch is given for each second."""
    time = np.arange(RATE) / RATE
    tone = np.concatenate([np.sin(2 * np.pi * pitch * time) for pitch in hertz])
    on = np.arange(len(tone)) // (RATE // 4) % 2 == 0
    soundfile.write(path, 0.05 * rng.normal(size=len(tone)) + 0.2 * on * tone, RATE)
    return str(path)


@pytest.fixture(scope="module")
def tones(tmp_path_factory):
    """Files of two seconds, 300 Hz in "park" and 3 kHz in "tram"; the last one has both."""
    folder = tmp_path_factory.mktemp("tones")
    rng = np.random.default_rng(0)
    y = np.array(["park", "tram"])[np.arange(24) % 2]
    pitches = [[300, 300], [3000, 3000]] * 12 + [[3000, 300]]
    paths = [write_tones(folder / f"{n}.wav", hertz, rng) for n, hertz in enumerate(pitches)]
    return pd.DataFrame({"audio": paths}), y


@pytest.fixture(scope="module")
def hearing(tones):
    """A pipeline of files, features and the audio network."""
    clips, y = tones
    pipeline = make_pipeline(
        GammatoneMelTransformer("mel", channels="mono", duration=2.0, n_bands=16, f_max=8000),
        AudioSceneClassifier(
            filters=(4, 4, 8),
            learning_rate=0.02,
            epochs=15,
            batch_size=8,
            validation_fraction=0,
            random_state=0,
        ),
    )
    return pipeline.fit(clips[:24], y)


@pytest.fixture(scope="module")
def drawn_fields():
    """Drawn features of sound and picture, told by low or high bands and by the fourth frame."""
    rng = np.random.default_rng(0)
    y = np.array(["bus", "park"])[np.arange(24) % 2]
    X = np.zeros(24, dtype=[("audio", "f4", (16, 100, 1)), ("visual", "f4", (10, 6))])
    X["audio"] = rng.normal(-40, 4, size=X["audio"].shape)
    X["audio"][y == "bus", 2:4] += 30
    X["audio"][y == "park", 12:14] += 30
    X["visual"] = np.abs(rng.normal(size=X["visual"].shape))
    X["visual"][y == "bus", 3::5, :3] += 6
    return X, y


@pytest.fixture(scope="module")
def both(drawn_fields):
    """The framework, fitted on these features."""
    X, y = drawn_fields
    framework = SECRNNClassifier(
        AudioSceneClassifier(filters=(4, 4, 4), learning_rate=0.02, epochs=12),
        VisualSceneClassifier(units=4, learning_rate=0.02, epochs=25, scale_frames=True),
        units=4,
        learning_rate=0.01,
        epochs=4,
        random_state=0,
    )
    return framework.fit(X, y), X, y


def test_grad_cam_of_sound_from_files(hearing, tones):
    clips, _ = tones
    tram = clips[1:24:2]
    assert set(hearing.predict(tram)) == {"tram"}
    maps = grad_cam(hearing, tram)
    assert list(maps) == ["audio"]
    assert maps["audio"].shape == (12, 16, 100)
    assert (maps["audio"] >= 0).all()
    bands = maps["audio"].mean(axis=(0, 2))
    tone = np.abs(hearing[0].centre_frequencies_ - 3000).argmin()
    # The six convolutions in a row see six bands to each side.
    assert abs(bands.argmax() - tone) <= 6
    other = grad_cam(hearing, tram, targets=["park"] * 12)
    assert not np.allclose(other["audio"], maps["audio"])


def band_means(features):
    return np.nanmean(features, axis=(2, 3)) / 10


def test_occlusion_of_bands_and_seconds(hearing, tones):
    clips, y = tones
    features = hearing[0].transform(clips)
    model = make_pipeline(FunctionTransformer(band_means), LogisticRegression())
    model.fit(features[:24], y)
    bands = occlusion_importance(model, features[1:24:2], axis=1).mean(axis=0)
    assert bands.shape == (16,)
    centres = hearing[0].centre_frequencies_
    telling = [np.abs(centres - hertz).argmin() for hertz in (300, 3000)]
    assert bands.argmax() in telling
    # The last clip has 3 kHz in its first second and 300 Hz in its second one.
    seconds = occlusion_importance(
        model, features[24:], axis=2, size=50, fill=np.nan, targets=["tram"]
    )
    assert seconds[0, 0] > 0.05
    assert seconds[0, 1] < -0.05
    regions = occlusion_importance(model, features[:24], axis=(1, 2), size=(8, 50))
    assert regions.shape == (24, 2, 2)


@pytest.mark.slow
def test_grad_cam_of_both_modalities(both):
    framework, X, y = both
    assert (framework.predict(X) == y).all()
    maps = grad_cam(framework, X)
    assert maps["audio"].shape == (24, 16, 100)
    assert maps["visual"].shape == (24, 10)
    frames = maps["visual"][y == "bus"].mean(axis=0)
    assert sorted(np.argsort(frames)[-2:]) == [3, 8]
    low, high = maps["audio"][:, :8].mean(axis=(1, 2)), maps["audio"][:, 8:].mean(axis=(1, 2))
    # The bands that tell, and those around them that convolutions mix with them.
    assert (low > high)[y == "bus"].all()
    assert (high > low)[y == "park"].all()


@pytest.mark.slow
def test_grad_cam_of_picture_alone_with_missing_and_broken_segments(both):
    framework, X, y = both
    visual = X["visual"][y == "bus"].copy()
    visual[0, 5:] = np.nan
    longer = np.concatenate([visual, visual[:, :3]], axis=1)
    maps = grad_cam(framework.visual_, longer, batch_size=5)["visual"]
    assert maps.shape == (12, 13)
    assert np.isnan(maps[0, 5:]).all()
    assert np.isnan(maps[:, 10:]).all()
    assert np.isfinite(maps[1:, :10]).all()
    # The batch has no part in it.
    np.testing.assert_allclose(
        grad_cam(framework.visual_, longer)["visual"], maps, rtol=1e-4, atol=1e-5
    )


class SoundAlone(ClassifierMixin, BaseEstimator):
    """Logistic regression of the mean of each band; silence where there is no sound."""

    def means(self, X):
        return np.nan_to_num(X["audio"].mean(axis=(2, 3)), nan=-40.0) / 10

    def fit(self, X, y):
        self.model_ = LogisticRegression(C=0.01).fit(self.means(X), y)
        self.classes_ = self.model_.classes_
        return self

    def predict(self, X):
        return self.model_.predict(self.means(X))

    def predict_proba(self, X):
        return self.model_.predict_proba(self.means(X))


def test_occlusion_of_a_whole_modality(drawn_fields):
    X, y = drawn_fields
    model = SoundAlone().fit(X, y)
    bus = X[y == "bus"]
    assert occlusion_importance(model, bus, field="audio").mean() > 0.1
    np.testing.assert_allclose(occlusion_importance(model, bus, field="visual"), 0)
    bands = occlusion_importance(model, bus, field="audio", axis=1, size=2).mean(axis=0)
    assert bands.argmax() == 1


def test_occlusion_of_regions_of_real_pictures(tmp_path):
    rng = np.random.default_rng(0)
    y = np.array(["day", "night"])[np.arange(12) % 2]
    paths = []
    for number, label in enumerate(y):
        frames = rng.integers(90, 110, size=(10, 64, 96, 3)).astype(np.uint8)
        # The sky is in the upper right.
        frames[:, :32, 64:] = 220 if label == "day" else 20
        paths.append(str(write_clip(tmp_path / f"{number}.mp4", frames, 10)))
    frames = VideoFrameSampler(size=(16, 24), duration=1.0, fps=2).fit_transform(paths)
    stacked = FunctionTransformer(
        lambda X: np.stack([np.asarray(item, dtype=float).mean(axis=(0, 3)).ravel() for item in X])
    )
    model = make_pipeline(stacked, LogisticRegression(C=1e-6)).fit(frames, y)
    regions = occlusion_importance(model, frames, axis=(2, 3), size=(8, 8)).mean(axis=0)
    assert regions.shape == (2, 3)
    assert np.unravel_index(regions.argmax(), regions.shape) == (0, 2)


def test_occlusion_of_a_column_of_a_clip_table(scenes, media_pipeline):
    clips, y = scenes.X[::2], scenes.y[::2]
    model = media_pipeline.fit(clips, y)
    drops = occlusion_importance(model, clips, field="video")
    assert drops.shape == (len(clips),)
    assert drops.mean() > 0
    with pytest.raises(ValueError, match="DataFrame, of whose columns no part"):
        occlusion_importance(model, clips, field="video", axis=1)


@pytest.mark.slow
def test_a_fitted_framework_has_its_training_and_size(both):
    framework, X, _ = both
    stages = TrainingDisplay.from_estimator(framework).histories
    assert list(stages) == ["audio", "visual", "fusion"]
    table = complexity_report(framework, X[:2], n_repeats=1)
    assert table.index.tolist() == ["whole", "audio", "visual"]
    parts = table["parameters"]
    assert parts["whole"] > parts["audio"] + parts["visual"]
    assert table.loc["whole", "ms_per_clip"] > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"axis": 1, "size": 0}, "size=0"),
        ({"axis": (1, 2), "size": (1,)}, "for each of axis"),
        ({"axis": 5}, "from 1 to 1"),
        ({}, "name it by field="),
        ({"field": "audio"}, "'audio' is no column or field"),
        ({"axis": 1, "targets": ["quay"] * 90}, "quay"),
        ({"axis": 1, "targets": ["bus"]}, "1 labels for 90 clips"),
    ],
)
def test_unusable_input_is_explained(drawn, options, message):
    X, y, _ = drawn
    with pytest.raises(ValueError, match=message):
        occlusion_importance(LogisticRegression().fit(X, y), X, **options)


def test_what_has_no_network_has_no_gradient(drawn):
    X, y, _ = drawn
    with pytest.raises(ValueError, match="use occlusion_importance"):
        grad_cam(LogisticRegression().fit(X, y), X)

"""The transformer as scikit-learn and its users see it."""

import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
import soundfile
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

from skavsc.audio import GammatoneMelTransformer
from skavsc.audio._filterbanks import FILTERBANKS
from skavsc.exceptions import ClipTableError, MediaError, MissingClipWarning

NO_COLUMNS = "X has no features of which number or name could be kept: a row is a clip's sound"
# In the checks a row of numbers is a waveform. At 50 Hz a window is 2 samples and a hop 1.
TINY = {"sample_rate": 50, "duration": 0.04, "n_bands": 2}


def expected_failures(estimator):
    return {
        "check_n_features_in": NO_COLUMNS,
        "check_n_features_in_after_fitting": NO_COLUMNS,
        "check_dataframe_column_names_consistency": NO_COLUMNS,
        "check_estimators_empty_data_messages": "no clips give no rows; twin below",
        "check_complex_data": "complex numbers are refused by transform, which reads X; twin below",
        "check_estimators_nan_inf": "NaN is refused by transform, which reads X; twin below",
    }


@parametrize_with_checks(
    [
        GammatoneMelTransformer(**TINY),
        *(GammatoneMelTransformer(name, "mono", **TINY) for name in FILTERBANKS),
    ],
    expected_failed_checks=expected_failures,
)
def test_sklearn_contract(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, make_tones, clip_path):
    path = tmp_path_factory.mktemp("sounds")
    for number in range(4):
        sound = make_tones(1.0, 16_000, frequency=200.0 * (number + 1))
        soundfile.write(path / f"{number}.wav", sound.T, 16_000)
    return path


@pytest.fixture(scope="module")
def paths(folder):
    return sorted(map(str, folder.glob("*.wav")))


@pytest.fixture
def transformer():
    return GammatoneMelTransformer(sample_rate=16_000, duration=1.0)


class TestClipTwins:
    """The contract for clips, where the common checks use rows of numbers."""

    def test_forms_of_input_give_equal_features(self, transformer, paths):
        expected = transformer.fit_transform(paths)
        assert expected.shape == (4, 64, 50, 3)
        assert expected.dtype == np.float32
        table = pd.DataFrame({"audio": paths, "city": ["a", "b", "a", "b"]}, index=[7, 5, 3, 1])
        waveforms = [soundfile.read(path, dtype="int16")[0].T for path in paths]
        forms = [
            table,
            table["audio"],
            np.array(paths, dtype=object),
            np.array(paths),
            waveforms,
            np.stack(waveforms),
            [wave / 2**15 for wave in waveforms],
            [(wave, 16_000) for wave in waveforms],
        ]
        for form in forms:
            np.testing.assert_array_equal(transformer.transform(form), expected)

    def test_rows_of_an_array_are_mono_waveforms(self, transformer):
        noise = np.random.default_rng(0).uniform(-0.5, 0.5, (3, 16_000))
        expected = transformer.transform([row[None] for row in noise])
        np.testing.assert_array_equal(transformer.transform(noise), expected)
        np.testing.assert_array_equal(transformer.transform(noise.tolist()), expected)

    def test_rates_of_pairs(self, transformer, make_tones):
        expected = transformer.transform([make_tones(1.0, 16_000)])
        for rate in (8_000, 44_100, 192_000):
            # The hiss differs, so compare the bands that hold the tones.
            result = transformer.transform([(make_tones(1.0, rate), rate)])
            loud = expected > -30
            assert loud.any()
            assert np.abs(result - expected)[loud].max() < 0.5

    def test_rows_are_independent_and_in_order(self, transformer, paths):
        whole = transformer.transform(paths)
        np.testing.assert_array_equal(transformer.transform(paths[::-1]), whole[::-1])
        for row, path in enumerate(paths):
            np.testing.assert_array_equal(transformer.transform([path])[0], whole[row])

    def test_no_clips(self, transformer):
        assert transformer.fit_transform([]).shape == (0, 64, 50, 3)

    def test_stateless(self, transformer, paths):
        result = transformer.transform(paths)
        np.testing.assert_array_equal(clone(transformer).fit(paths[:1]).transform(paths), result)
        assert not [name for name in vars(transformer) if name.endswith("_")]
        loaded = pickle.loads(pickle.dumps(transformer.fit(paths)))
        np.testing.assert_array_equal(loaded.transform(paths), result)

    def test_in_a_pipeline(self, transformer, paths):
        pipeline = make_pipeline(transformer, FunctionTransformer(lambda X: X.mean(axis=(2, 3))))
        assert pipeline.fit_transform(paths).shape == (4, 64)

    @pytest.mark.parametrize(
        "X",
        [np.zeros(100), [0.0, 1.0], [3], ["a.wav", 3], np.float64(3) * np.ones(3)],
        ids=str,
    )
    def test_what_is_no_sequence_of_clips(self, transformer, X):
        with pytest.raises(ClipTableError, match="not a path, a waveform or None"):
            transformer.fit(X)

    def test_single_path_and_missing_column(self, transformer, paths):
        with pytest.raises(ClipTableError, match="single path"):
            transformer.fit_transform(paths[0])
        with pytest.raises(ClipTableError, match=r"no column 'audio'.*add the column with None"):
            transformer.fit_transform(pd.DataFrame({"video": paths}))


class TestFrames:
    @pytest.mark.parametrize("filterbank", FILTERBANKS)
    @pytest.mark.parametrize(
        ("n_samples", "n_frames"),
        [(640, 2), (8_000, 25), (15_839, 49), (15_840, 50), (16_000, 50), (17_000, 50)],
    )
    def test_short_clips_have_missing_frames(self, transformer, filterbank, n_samples, n_frames):
        noise = np.random.default_rng(0).uniform(-0.5, 0.5, (2, n_samples))
        transformer.set_params(filterbank=filterbank)
        [result] = transformer.transform([noise])
        assert result.shape == (64, 50, 3)
        assert np.isfinite(result[:, :n_frames]).all()
        assert np.isnan(result[:, n_frames:]).all()

    def test_a_long_clip_is_cut(self, transformer):
        noise = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 40_000))
        np.testing.assert_array_equal(
            transformer.transform([noise]), transformer.transform([noise[:, :16_000]])
        )

    def test_a_short_clip_begins_like_a_long_one(self, transformer):
        noise = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 16_000))
        [long], [short] = transformer.transform([noise]), transformer.transform([noise[:, :8_000]])
        np.testing.assert_array_equal(short[:, :24], long[:, :24])

    def test_ten_seconds_of_the_published_set(self, tmp_path, make_wav):
        # 48 kHz, 24 bit, stereo, resampled to 44.1 kHz: 499 windows and the last once more.
        path = make_wav(tmp_path / "a.wav", 10.0)
        [result] = GammatoneMelTransformer().fit_transform([path])
        assert result.shape == (64, 500, 3)
        assert np.isfinite(result).all()
        np.testing.assert_array_equal(result[:, 499], result[:, 498])
        assert not np.array_equal(result[:, 498], result[:, 497])

    @pytest.mark.parametrize("filterbank", FILTERBANKS)
    def test_frame_times_are_those_of_a_click(self, filterbank):
        transformer = GammatoneMelTransformer(filterbank, "mono", duration=1.0).fit([])
        # Spectra are padded, so that the middle of the first window is the beginning of the sound.
        begin = 0.02 if FILTERBANKS[filterbank].triangles is None else 0.0
        np.testing.assert_allclose(transformer.frame_times_, begin + np.arange(50) / 50)
        assert transformer.frames_per_second_ == 50.0
        clicks = np.zeros(44_100)
        clicks[22_050] = 1.0
        [result] = transformer.transform([clicks])
        band = np.abs(transformer.centre_frequencies_ - 4000).argmin()
        heard = transformer.frame_times_[result[band, :, 0] > result[band].max() - 10]
        assert (np.abs(heard - 0.5) <= 0.0201).all()

    @pytest.mark.parametrize("filterbank", FILTERBANKS)
    @pytest.mark.parametrize("frequency", [300.0, 1000.0, 6000.0])
    def test_centre_frequencies_are_those_of_tones(self, filterbank, frequency):
        transformer = GammatoneMelTransformer(filterbank, "mono", duration=1.0).fit([])
        tone = 0.3 * np.sin(2 * np.pi * frequency * np.arange(44_100) / 44_100)
        [result] = transformer.transform([tone])
        centre = transformer.centre_frequencies_[result[:, 25, 0].argmax()]
        assert abs(centre / frequency - 1) < 0.09

    def test_orders_of_bands(self):
        gammatone = GammatoneMelTransformer().fit([]).centre_frequencies_
        mel = GammatoneMelTransformer("mel").fit([]).centre_frequencies_
        assert gammatone.shape == mel.shape == (64,)
        assert (np.diff(gammatone) < 0).all()
        assert gammatone[-1] == 0.0
        assert (np.diff(mel) > 0).all()


class TestChannels:
    @pytest.mark.parametrize(
        ("channels", "names"),
        [
            ("lrd", ("left", "right", "left - right")),
            ("hpd", ("harmonic", "percussive", "left - right")),
            ("mono", ("mono",)),
            ("stereo", ("left", "right")),
        ],
    )
    def test_names_and_shapes(self, transformer, paths, channels, names):
        transformer.set_params(channels=channels)
        assert transformer.fit_transform(paths).shape == (4, 64, 50, len(names))
        assert transformer.channel_names_ == names

    def test_surround_sound_gives_its_front_channels(self, transformer, tmp_path, make_wav):
        noise = np.random.default_rng(0).uniform(-0.5, 0.5, (6, 16_000))
        np.testing.assert_array_equal(
            transformer.transform([noise]), transformer.transform([noise[:2]])
        )
        path = make_wav(tmp_path / "a.wav", 1.0, 48_000, 6)
        assert np.isfinite(transformer.transform([path])).all()


class TestSound:
    def test_the_track_of_a_video(self, transformer, clip_path, make_tones):
        [result] = transformer.transform([clip_path])
        [expected] = transformer.transform([(make_tones(), 48_000)])
        loud = expected > -30
        assert np.abs(result - expected)[loud].max() < 1.0

    @pytest.fixture
    def table(self, tmp_path, paths, video_path):
        (tmp_path / "empty.wav").write_bytes(b"")
        (tmp_path / "text.wav").write_text("This is not a sound. " * 50)
        soundfile.write(tmp_path / "short.wav", np.zeros(1), 16_000)
        bad = [tmp_path / name for name in ("empty.wav", "text.wav", "short.wav", "none.wav")]
        return pd.DataFrame({"audio": [paths[0], None, *bad, video_path, np.nan, paths[1]]})

    def test_errors_name_file_stage_and_cause(self, transformer, table):
        causes = [
            "0 bytes",
            "not a sound",
            "less than one window",
            "no such file",
            "no sound track",
        ]
        for path, cause in zip(table["audio"][2:7], causes, strict=True):
            with pytest.raises(MediaError, match=cause) as caught:
                transformer.transform([path])
            assert caught.value.path == str(path)
            assert caught.value.stage in {"open", "read sound"}

    @pytest.mark.parametrize("n_jobs", [None, 2])
    def test_missing_clips_keep_their_rows(self, transformer, table, paths, n_jobs):
        transformer.set_params(on_error="missing", n_jobs=n_jobs)
        with pytest.warns(MissingClipWarning, match="5 of 9 clips") as caught:
            result = transformer.transform(table)
        assert len(caught) == 1
        np.testing.assert_array_equal(result[[0, 8]], transformer.transform(paths[:2]))
        assert np.isnan(result[1:8]).all()

    @pytest.mark.parametrize(
        ("waveform", "cause"),
        [
            (np.full(16_000, np.nan), "NaN or infinite"),
            (np.full(16_000, np.inf), "NaN or infinite"),
            (np.zeros(0), "must be"),
            (np.zeros((16_000, 2)), "channels first"),
            (np.zeros((2, 2, 16_000)), "channels first"),
            (np.zeros(16_000, dtype=np.uint8), "signed integers"),
            (np.zeros(16_000, dtype=complex), "signed integers"),
            (np.zeros(1), "less than one window"),
            ((np.zeros(16_000), 0), "must be positive"),
            (np.array([0.5, object()], dtype=object), "not an array of numbers"),
        ],
    )
    def test_unusable_waveforms(self, transformer, waveform, cause):
        with pytest.raises(MediaError, match=cause):
            transformer.transform([waveform])
        transformer.set_params(on_error="missing")
        with pytest.warns(MissingClipWarning):
            assert np.isnan(transformer.transform([waveform])).all()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"filterbank": "no such"}, "filterbank"),
        ({"channels": "ms"}, "channels"),
        ({"sample_rate": 44_100.0}, "sample_rate"),
        ({"sample_rate": 0}, "sample_rate"),
        ({"duration": 0}, "duration"),
        ({"duration": 0.03}, "duration=0.03 must be at least window"),
        ({"n_bands": 0}, "n_bands"),
        ({"window": -1}, "window"),
        ({"hop": 0.0201}, r"hop=0.0201 s is 886.41 samples at sample_rate=44100"),
        ({"window": 1e-9}, "whole number of samples"),
        ({"f_min": -1}, "f_min"),
        ({"f_min": 30_000}, "f_min=30000 and f_max=None must satisfy"),
        ({"f_max": 30_000}, "half of sample_rate=44100"),
        ({"floor_db": 0}, "floor_db"),
        ({"on_error": "skip"}, "on_error"),
        ({"memory": 3}, "memory"),
        ({"mmap_mode": "w"}, "mmap_mode"),
    ],
)
def test_parameters_are_checked(parameters, message):
    transformer = GammatoneMelTransformer(**parameters)
    with pytest.raises(ValueError, match=message):
        transformer.fit([])
    with pytest.raises(ValueError, match=message):
        transformer.transform([np.zeros(44_100)])


def kept(folder):
    """The files with features of clips: which they are and when they were written."""
    files = folder.rglob("sound-v*/??/*.npy")
    return {str(file): (file.stat().st_ino, file.stat().st_mtime_ns) for file in files}


class TestCache:
    def test_features_are_computed_once(self, transformer, paths, tmp_path):
        expected = transformer.transform(paths)
        transformer.set_params(memory=tmp_path)
        np.testing.assert_array_equal(transformer.transform(paths), expected)
        before = kept(tmp_path)
        assert len(before) == 4
        np.testing.assert_array_equal(transformer.transform(paths[::-1]), expected[::-1])
        transformer.set_params(memory=joblib.Memory(tmp_path, verbose=0))
        np.testing.assert_array_equal(transformer.transform(paths), expected)
        # Features that are computed again would be written again, as new files.
        assert kept(tmp_path) == before

    def test_parameters_have_keys_of_their_own(self, transformer, paths, tmp_path):
        others = [name for name in FILTERBANKS if name != transformer.filterbank]
        variants = [
            {},
            *({"filterbank": name} for name in others),
            {"channels": "mono"},
            {"sample_rate": 8_000},
            {"duration": 0.5},
            {"n_bands": 32},
            {"window": 0.02},
            {"hop": 0.04},
            {"f_min": 50.0},
            {"f_max": 4000.0},
            {"floor_db": -90.0},
        ]
        for variant in variants:
            changed = clone(transformer).set_params(**variant)
            expected = changed.transform(paths[:1])
            changed.set_params(memory=tmp_path)
            for _ in range(2):
                np.testing.assert_array_equal(changed.transform(paths[:1]), expected)
        before = kept(tmp_path)
        assert len(before) == len(variants)
        # Defaults that are written out, and those that do not matter, share the key.
        for same in (
            {"f_max": 8000.0},
            {"floor_db": -120.0},
            {"n_jobs": 1},
            {"on_error": "missing"},
        ):
            clone(transformer).set_params(memory=tmp_path, **same).transform(paths[:1])
        assert kept(tmp_path) == before

    def test_memory_mapped_result(self, transformer, paths, tmp_path):
        expected = transformer.transform(paths)
        transformer.set_params(memory=tmp_path, mmap_mode="r")
        result = transformer.transform(paths)
        assert isinstance(result, np.memmap)
        assert not result.flags.writeable
        np.testing.assert_array_equal(result, expected)
        with pytest.raises(ValueError, match="memory="):
            transformer.set_params(memory=None).transform(paths)

    def test_jobs_give_equal_features(self, transformer, paths):
        expected = transformer.transform(paths)
        transformer.set_params(n_jobs=2)
        np.testing.assert_array_equal(transformer.transform(paths), expected)
        with joblib.parallel_config("threading"):
            np.testing.assert_array_equal(transformer.transform(paths), expected)


def test_progress_is_shown(transformer, paths, capsys):
    transformer.set_params(verbose=1).transform(paths)
    assert "sound: 100%" in capsys.readouterr().err

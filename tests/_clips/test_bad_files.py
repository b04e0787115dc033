"""Bad and odd files from the clip table to the features: an error, or a row; never another."""

import tempfile
import warnings
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import soundfile
from sklearn.pipeline import make_pipeline

from skavsc.audio import GammatoneMelTransformer
from skavsc.exceptions import MediaError, MissingClipWarning, UntrainedWeightsWarning
from skavsc.media import write_clip
from skavsc.visual import ImageEmbedder, VideoFrameSampler

# Each with a part of the cause; one list a modality, in which "good" and None come in between.
BAD_SOUND = {
    "empty.wav": r"0 bytes",
    "text.mp4": "not a sound or video file",
    "cut.mp4": "not a sound or video file|cut off",
    "header.wav": "no samples",
    "nan.wav": "NaN or infinite",
    "inf.wav": "NaN or infinite",
    "one sample.wav": "less than one window",
    "picture only.mp4": "no sound track",
    "folder": "directory",
    "secret.wav": "Permission denied",
    "none.wav": "no such file",
}
BAD_PICTURE = {
    "empty.wav": r"0 bytes",
    "text.mp4": "Invalid data",
    "cut.mp4": "Invalid data|truncated",
    "sound only.m4a": "no video stream",
    "good.wav": "no video stream",
    "folder": "directory",
    "secret.mp4": "Permission denied",
}


@pytest.fixture(scope="module")
def folder(make_tones, make_frames):
    # Not in pytest's own folder, which only its user can reach.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        fill(folder, make_tones, make_frames)
        yield folder


def fill(folder, make_tones, make_frames):
    sound, frames = make_tones(0.5, 16_000), make_frames(0.5)

    def wav(name, samples, rate=16_000, subtype="PCM_24"):
        soundfile.write(folder / name, np.transpose(samples), rate, subtype=subtype)

    wav("good.wav", sound)
    wav("header.wav", np.zeros((2, 0)))
    wav("nan.wav", np.where(np.arange(8000) == 99, np.nan, 0.1), subtype="FLOAT")
    wav("inf.wav", np.where(np.arange(8000) == 99, np.inf, 0.1), subtype="FLOAT")
    wav("one sample.wav", sound[:, :1])
    wav("zeros.wav", 0 * sound)
    wav("8 kHz.wav", make_tones(0.5, 8_000), 8_000)
    wav("192 kHz.wav", make_tones(0.5, 192_000), 192_000)
    wav("5.1.wav", make_tones(0.5, 16_000, 6))
    write_clip(folder / "good.mp4", frames, 25, sound=make_tones(0.5))
    write_clip(folder / "picture only.mp4", frames, 25)
    write_clip(folder / "sound only.m4a", sound=make_tones(0.5))
    write_clip(
        folder / "1x1.mkv",
        frames[:, :1, :1],
        25,
        picture_codec="ffv1",
        pixel_format="bgr0",
    )
    write_clip(folder / "4K.mp4", np.full((2, 2160, 3840, 3), 150, np.uint8), 5)
    content = (folder / "good.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(content[: len(content) // 2])
    (folder / "empty.wav").touch()
    (folder / "text.mp4").write_text("Dear diary, today I took the tram.\n" * 99)
    (folder / "folder").mkdir()
    for suffix in (".wav", ".mp4"):
        secret = folder / f"secret{suffix}"
        secret.write_bytes((folder / f"good{suffix}").read_bytes())
        secret.chmod(0)
        odd = folder / f"a  b: 音 ü #1 %20{suffix}"
        odd.write_bytes((folder / f"good{suffix}").read_bytes())


@pytest.fixture
def without_rights(folder, as_nobody):
    """Without the rights of root, who may read everything."""
    for kind in (Sound(), Picture()):  # all that is imported is imported before
        kind.transform(table_of(kind, folder, [kind.good]))
    with as_nobody():
        yield


class Sound:
    """The transformer of sound for tables, and what is bad for it."""

    column = "audio"
    bad = BAD_SOUND
    good = "good.wav"
    stages = ("open", "read sound")

    def transform(self, table, **options):
        on_error = options.pop("on_error", "raise")
        transformer = GammatoneMelTransformer(
            sample_rate=16_000, duration=1.0, on_error=on_error, **options
        )
        return transformer.fit_transform(table)


class Picture:
    """Sampler and embedder, and what is bad for them."""

    column = "video"
    bad = BAD_PICTURE
    good = "good.mp4"
    stages = ("open", "read picture")

    def transform(self, table, **options):
        options = {"weights": None, **options}
        embedder = ImageEmbedder("squeezenet11", **options)
        pipeline = make_pipeline(VideoFrameSampler(5, 32, 1.0), embedder)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UntrainedWeightsWarning)
            return pipeline.fit_transform(table)


def table_of(kind, folder, names):
    return pd.DataFrame({kind.column: [name and str(folder / name) for name in names]})


@pytest.mark.usefixtures("without_rights")
@pytest.mark.parametrize("kind", [Sound(), Picture()], ids=["sound", "picture"])
def test_errors_name_file_stage_and_cause(kind, folder):
    for name, cause in kind.bad.items():
        table = table_of(kind, folder, [kind.good, name])
        with pytest.raises(MediaError, match=cause) as caught:
            kind.transform(table)
        assert caught.value.path == str(folder / name)
        assert caught.value.stage in kind.stages
        assert str(caught.value).startswith(f"{folder / name}: {caught.value.stage}: ")


@pytest.mark.usefixtures("without_rights")
@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("kind", [Sound(), Picture()], ids=["sound", "picture"])
def test_rows_neither_vanish_nor_move(kind, folder, open_folder, cached):
    names = [None]
    for name in kind.bad:
        names += [name, kind.good]
    memory = open_folder / "cache" if cached else None
    [expected] = kind.transform(table_of(kind, folder, [kind.good]))
    for _ in range(2):
        message = (
            f"{len(kind.bad)} of {len(names)} clips could not be read .*{next(iter(kind.bad))}"
        )
        with pytest.warns(MissingClipWarning, match=message) as caught:
            features = kind.transform(
                table_of(kind, folder, names), on_error="missing", memory=memory
            )
        assert sum(issubclass(w.category, MissingClipWarning) for w in caught) == 1
        assert len(features) == len(names)
        for name, row in zip(names, features, strict=True):
            if name == kind.good:
                np.testing.assert_array_equal(row, expected)
            else:
                assert np.isnan(row).all()


def test_odd_sound_is_sound(folder):
    names = ["zeros.wav", "8 kHz.wav", "192 kHz.wav", "5.1.wav", "a  b: 音 ü #1 %20.wav"]
    names += ["sound only.m4a", "good.mp4"]
    features = Sound().transform(table_of(Sound, folder, names))
    assert features.shape == (7, 64, 50, 3)
    assert np.isfinite(features[:, :, :25]).all()
    assert (features[0, :, :25] == -120).all()
    [expected] = Sound().transform(table_of(Sound, folder, ["good.wav"]))
    np.testing.assert_array_equal(features[4], expected)


def test_odd_picture_is_picture(folder):
    names = ["1x1.mkv", "4K.mp4", "a  b: 音 ü #1 %20.mp4", "picture only.mp4"]
    features = Picture().transform(table_of(Picture, folder, names))
    assert features.shape == (4, 5, 512)
    # 0.5 s are frames 0 to 2 of 5 a second, and 2 frames of 4K are 0 and 1.
    assert [int(np.isfinite(row).all(axis=1).sum()) for row in features] == [3, 2, 3, 3]
    [expected] = Picture().transform(table_of(Picture, folder, ["good.mp4"]))
    np.testing.assert_array_equal(features[2], expected)


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize(
    ("kind", "step"),
    [(Sound(), (soundfile.SoundFile, "read")), (Picture(), (cv2, "cvtColor"))],
    ids=["sound", "picture"],
)
def test_a_file_that_is_still_written(kind, step, folder, tmp_path, monkeypatch, cached):
    path = tmp_path / kind.good
    path.write_bytes((folder / kind.good).read_bytes())
    table = table_of(kind, tmp_path, [kind.good])
    memory = tmp_path / "cache" if cached else None
    real = getattr(*step)

    def with_another_writer(*args, **kwargs):
        with path.open("ab") as file:
            file.write(b"more")
        return real(*args, **kwargs)

    # Not a stand-in: the real reader, with another writer at work between two of its steps.
    monkeypatch.setattr(*step, with_another_writer)
    with pytest.raises(MediaError, match="changed while it was read") as caught:
        kind.transform(table, memory=memory)
    assert caught.value.path == str(path)
    with pytest.warns(MissingClipWarning, match="1 of 1 clips"):
        assert np.isnan(kind.transform(table, memory=memory, on_error="missing")).all()
    assert not list(tmp_path.rglob("*.npy"))

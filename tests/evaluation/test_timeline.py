"""Scenes over time: where a scene ends, what is missing, flat memory."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import soundfile
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skavsc
from skavsc import GammatoneMelTransformer, LateFusionClassifier, ModalityUnion, VideoFrameSampler
from skavsc.evaluation import scene_segments, scene_timeline, write_edl
from skavsc.exceptions import MediaNotFoundError, MissingTrackError
from skavsc.media import write_clip

RATE = 8000


def sound(frequency, seconds):
    rng = np.random.default_rng(0)
    time = np.arange(round(seconds * RATE)) / RATE
    return 0.3 * np.sin(2 * np.pi * frequency * time) + 0.01 * rng.uniform(-1, 1, len(time))


def picture(brightness, seconds, fps=5):
    return np.full((round(seconds * fps), 32, 48, 3), brightness, dtype=np.uint8)


def branch():
    return make_pipeline(skavsc.TimePooling(["mean"]), StandardScaler(), LogisticRegression())


def features():
    return GammatoneMelTransformer(channels="mono", sample_rate=RATE, duration=4.0, n_bands=8)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Clips of 4 s of a low and dark scene, and of a high and bright one."""
    root = tmp_path_factory.mktemp("timeline")
    rows, labels = [], []
    for number in range(4):
        for label, frequency, brightness in (("cellar", 200, 40), ("roof", 1500, 200)):
            path = root / f"{label}_{number}.mp4"
            frames = picture(brightness + 5 * number, 4)
            write_clip(path, frames, 5, sound=sound(frequency + 20 * number, 4), rate=RATE)
            rows.append({"audio": str(path), "video": str(path)})
            labels.append(label)
    return pd.DataFrame(rows), labels


@pytest.fixture(scope="module")
def by_sound(clips):
    return make_pipeline(features(), branch()).fit(*clips)


@pytest.fixture(scope="module")
def by_both(clips):
    frames = make_pipeline(VideoFrameSampler(1.0, 16, 4.0), skavsc.PixelEmbedder())
    union = ModalityUnion([("audio", features()), ("visual", frames)])
    fusion = LateFusionClassifier([("audio", branch()), ("visual", branch())], cv=2)
    return make_pipeline(union, fusion).fit(*clips)


@pytest.fixture(scope="module")
def joined(tmp_path_factory):
    """8.5 s of one scene, then 8 s of the other."""
    path = tmp_path_factory.mktemp("joined") / "joined.mp4"
    frames = np.concatenate([picture(40, 8.6), picture(210, 8)])
    both = np.concatenate([sound(210, 8.6), sound(1550, 8)])
    return write_clip(path, frames, 5, sound=both, rate=RATE)


def by_two_pictures(clips, **changed):
    """A fusion of two branches of the picture whose samplers differ in what is changed."""
    sampler = {"fps": 1.0, "size": 16, "duration": 4.0}
    branches = [
        (
            name,
            make_pipeline(
                VideoFrameSampler(**sampler | changed.get(name, {})),
                skavsc.PixelEmbedder(),
                branch(),
            ),
        )
        for name in ("first", "second")
    ]
    return LateFusionClassifier(branches, final_estimator="mean").fit(*clips)


@pytest.mark.parametrize("other", [{"fps": 2.0}, {"size": 24}, {"interpolation": "cubic"}])
def test_samplers_that_differ_are_named(other, clips, joined):
    model = by_two_pictures(clips, second=other)
    [(name, value)] = other.items()
    with pytest.raises(ValueError, match="2 VideoFrameSamplers that differ") as caught:
        scene_timeline(model, joined)
    assert "first__videoframesampler: fps=1.0, size=16" in str(caught.value)
    assert f"{name}={value!r}" in str(caught.value).partition("second__videoframesampler: ")[2]


def test_of_samplers_of_two_durations_the_longer_one_makes_the_clip(clips, joined):
    longer_last = scene_timeline(by_two_pictures(clips, first={"duration": 2.0}), joined)
    longer_first = scene_timeline(by_two_pictures(clips, second={"duration": 2.0}), joined)
    assert not longer_first.isna().any(axis=None)
    pd.testing.assert_frame_equal(longer_first, longer_last)


@pytest.mark.parametrize("kind", ["by_sound", "by_both"])
def test_the_cut_between_two_scenes_is_found(kind, joined, request):
    model = request.getfixturevalue(kind)
    timeline = scene_timeline(model, joined)
    assert timeline.columns.tolist() == ["start", "end", "cellar", "roof"]
    assert timeline["start"].tolist() == list(range(17))
    assert timeline["end"].iloc[:-1].tolist() == list(range(1, 17))
    assert timeline["end"].iloc[-1] == pytest.approx(16.6, abs=0.5)
    assert timeline[["cellar", "roof"]].sum(axis=1).to_numpy() == pytest.approx(1)
    segments = scene_segments(timeline)
    assert segments["scene"].tolist() == ["cellar", "roof"]
    assert segments["end"].iloc[0] == segments["start"].iloc[1] == pytest.approx(8.6, abs=1)
    assert (segments["probability"] > 0.7).all()


def test_a_row_is_the_prediction_of_the_clip_around_it(by_sound, joined):
    timeline = scene_timeline(by_sound, joined, hop=2)
    assert timeline["start"].tolist() == [0, 2, 4, 6, 8, 10, 12, 14]
    wave, rate = skavsc.media.read_sound(joined)
    end = timeline["end"].iloc[-1]
    for row in timeline.itertuples():
        start = min(max(row.start + 1 - 2, 0), end - 4)
        clip = wave[:, round(start * rate) : round((start + 4) * rate)], rate
        expected = by_sound.predict_proba(pd.DataFrame({"audio": [clip]}))[0]
        assert [row.cellar, row.roof] == pytest.approx(expected.tolist(), abs=1e-6)


def test_short_and_half_recordings(by_both, by_sound, tmp_path):
    short = write_clip(tmp_path / "short.mp4", picture(40, 1), 5, sound=sound(210, 1), rate=RATE)
    assert scene_timeline(by_both, short)[["start", "end"]].round().to_numpy().tolist() == [[0, 1]]
    # The sound ends long before the picture; the fusion goes on with what is there.
    half = write_clip(tmp_path / "half.mp4", picture(210, 10), 5, sound=sound(1500, 2), rate=RATE)
    assert len(scene_timeline(by_both, half)) == 10
    assert scene_segments(scene_timeline(by_both, half))["scene"].tolist() == ["roof"]
    silent = write_clip(tmp_path / "silent.mp4", picture(210, 5), 5)
    assert scene_segments(scene_timeline(by_both, silent))["scene"].tolist() == ["roof"]
    with pytest.raises(MissingTrackError, match="no sound track"):
        scene_timeline(by_sound, silent)
    with pytest.raises(MediaNotFoundError):
        scene_timeline(by_sound, tmp_path / "gone.mp4")


def test_wrong_arguments(by_sound, joined):
    with pytest.raises(ValueError, match="does not take clip tables"):
        scene_timeline(by_sound[-1], joined)
    with pytest.raises(ValueError, match="'hop' parameter"):
        scene_timeline(by_sound, joined, hop=0)
    with pytest.raises(ValueError, match="shortest=-1 must be at least 0"):
        scene_segments(pd.DataFrame({"start": [], "end": [], "a": []}), shortest=-1)


def timeline_of(*park, hop=1):
    rows = [(hop * k, hop * (k + 1), p, 1 - p) for k, p in enumerate(park)]
    return pd.DataFrame(rows, columns=["start", "end", "park", "tram"])


def test_segments_are_runs_of_one_scene():
    segments = scene_segments(timeline_of(0.9, 0.8, 0.2, np.nan, 0.7))
    assert segments[["start", "end", "scene"]].to_numpy().tolist() == [
        [0, 2, "park"],
        [2, 3, "tram"],
        [4, 5, "park"],
    ]
    assert segments["probability"].tolist() == pytest.approx([0.85, 0.8, 0.7])


def test_short_segments_are_absorbed():
    timeline = timeline_of(0.9, 0.8, 0.4, 0.9, 0.1, 0.2, 0.1, 0.2)
    assert len(scene_segments(timeline)) == 4
    segments = scene_segments(timeline, shortest=2)
    assert segments[["start", "end", "scene"]].to_numpy().tolist() == [
        [0, 4, "park"],
        [4, 8, "tram"],
    ]
    assert segments["probability"].tolist() == pytest.approx([0.75, 0.85])
    # The only one stays, however short it is.
    assert len(scene_segments(timeline_of(0.9), shortest=5)) == 1
    assert scene_segments(timeline_of()).empty


def test_edit_decision_list(tmp_path):
    segments = scene_segments(timeline_of(0.9, 0.1, hop=3605.4))
    write_edl(tmp_path / "a.edl", segments, clip="a.mp4", fps=25, title="day")
    text = (tmp_path / "a.edl").read_text(encoding="utf-8").splitlines()
    assert text[:2] == ["TITLE: day", "FCM: NON-DROP FRAME"]
    times = "00:00:00:00 01:00:05:10"
    assert text[3] == f"001  AX       AA/V  C        {times} {times}"
    assert text[6].endswith("01:00:05:10 02:00:10:20")
    assert text[7:] == ["* FROM CLIP NAME: a.mp4", "* COMMENT: tram 0.90"]
    with pytest.raises(ValueError, match="999; merge them by shortest="):
        write_edl(tmp_path / "b.edl", timeline_of(*[0.1] * 1000), clip="a.mp4")
    with pytest.raises(ValueError, match="fps=0 must be at least 1"):
        write_edl(tmp_path / "b.edl", segments, clip="a.mp4", fps=0)
    assert not (tmp_path / "b.edl").exists()


@pytest.mark.slow
def test_an_hour_in_flat_memory(clips, by_sound, tmp_path):
    # As sound of 8 kHz and as picture of one frame a second, in a process of its own.
    wave = np.concatenate([sound(210, 1800), sound(1550, 1800)])
    soundfile.write(tmp_path / "hour.wav", wave, RATE)
    skavsc.save(by_sound, tmp_path / "model.skops")
    soundfile.write(tmp_path / "minute.wav", wave[: 60 * RATE], RATE)
    program = (
        "import resource, sys, skavsc\n"
        "from skavsc.evaluation import scene_segments, scene_timeline\n"
        "model = skavsc.load('model.skops')\n"
        "scene_timeline(model, 'minute.wav')\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "segments = scene_segments(scene_timeline(model, 'hour.wav'))\n"
        "after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print(*segments['end'], (after - before) / 1024)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    cut, end, mib = map(float, run.stdout.split())
    assert cut == pytest.approx(1800, abs=1)
    assert end == pytest.approx(3600, abs=1)
    # The samples alone are 110 MiB.
    assert mib < 40, f"{mib:.0f} MiB more for an hour than for a minute"

import hashlib
import os

import av
import cv2
import numpy as np
import pytest
import soundfile
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skavsc.datasets import load_tau_urban_av, make_scenes

TINY = {"n_scenes": 2, "n_locations": 2, "clips_per_location": 1, "duration": 0.5, "size": (64, 48)}
SCENES = [
    "airport",
    "bus",
    "metro",
    "metro_station",
    "park",
    "public_square",
    "shopping_mall",
    "street_pedestrian",
    "street_traffic",
    "tram",
]


def frames_of(path):
    with av.open(path) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


def content(clips):
    """Bytes of the sounds and decoded pixels, by file name."""
    digests = {}
    for audio, video in zip(clips.X["audio"], clips.X["video"], strict=True):
        with open(audio, "rb") as file:
            digests[os.path.basename(audio)] = hashlib.file_digest(file, "sha256").hexdigest()
        digests[os.path.basename(video)] = hashlib.sha256(frames_of(video).tobytes()).hexdigest()
    return digests


@pytest.fixture(scope="module")
def all_scenes(tmp_path_factory):
    return make_scenes(
        tmp_path_factory.mktemp("all"), 10, n_locations=2, clips_per_location=1, duration=1.0
    )


def test_files_have_the_promised_format(all_scenes):
    assert all_scenes.target_names == SCENES
    for audio, video in zip(all_scenes.X["audio"], all_scenes.X["video"], strict=True):
        info = soundfile.info(audio)
        assert (info.samplerate, info.channels, info.subtype) == (48_000, 2, "PCM_24")
        assert info.frames == 48_000
        with av.open(video) as container:
            (stream,) = container.streams
            assert (stream.codec_context.name, stream.average_rate) == ("h264", 10)
        assert frames_of(video).shape == (10, 240, 320, 3)


def test_sounds_are_stereo_and_neither_silent_nor_clipped(all_scenes):
    for path in all_scenes.X["audio"]:
        sound, _ = soundfile.read(path)
        assert np.abs(sound).max() < 0.99
        assert sound.std(axis=0).min() > 1e-3
        assert (sound[:, 0] - sound[:, 1]).std() > 0.05 * sound.std()


def test_pictures_move(all_scenes):
    for path in all_scenes.X["video"]:
        gray = frames_of(path).mean(axis=3)
        # Blurred, so that grain alone does not count as motion.
        change = np.abs(cv2.blur(gray[-1], (9, 9)) - cv2.blur(gray[0], (9, 9)))
        assert np.percentile(change, 98) > 8, path


def test_locations_are_disjoint_and_the_layout_loads(all_scenes):
    ((train, test),) = all_scenes.cv
    groups, y = all_scenes.groups, all_scenes.y
    assert not set(groups[train]) & set(groups[test])
    assert set(y[train]) == set(y[test]) == set(SCENES)
    assert sorted([*train, *test]) == list(range(len(y)))
    assert all(len(set(y[groups == group])) == 1 for group in groups)
    root = os.path.dirname(os.path.dirname(all_scenes.X["audio"][0]))
    evaluate = load_tau_urban_av(root, fold=1, subset="evaluate")
    assert evaluate.X.equals(all_scenes.X.iloc[test].reset_index(drop=True))
    assert load_tau_urban_av(root, subset="test").y is None


def test_equal_parameters_give_equal_files_in_any_order_of_work(tmp_path):
    one = content(make_scenes(tmp_path / "a", **TINY, random_state=5))
    two = content(make_scenes(tmp_path / "b", **TINY, random_state=5, n_jobs=2))
    other = content(make_scenes(tmp_path / "c", **TINY, random_state=6))
    assert one == two
    assert len(one) == 8
    assert not set(one.values()) & set(other.values())


def test_a_longer_plan_keeps_the_clips_it_shares(tmp_path):
    # Each clip has a seed of its own: one more scene does not change those before it.
    few = content(make_scenes(tmp_path / "few", **TINY))
    more = content(make_scenes(tmp_path / "more", **TINY | {"n_scenes": 3}))
    assert few.items() <= more.items()


def test_a_complete_set_is_used_again(tmp_path):
    first = make_scenes(tmp_path / "set", **TINY)
    times = [os.stat(path).st_mtime_ns for path in first.X["audio"]]
    again = make_scenes(tmp_path / "set", **TINY)
    assert [os.stat(path).st_mtime_ns for path in again.X["audio"]] == times
    assert again.X.equals(first.X)


def test_an_interrupted_set_is_made_anew(tmp_path):
    whole = make_scenes(tmp_path / "set", **TINY)
    expected = content(whole)
    (tmp_path / "set" / "meta.csv").unlink()
    os.truncate(whole.X["audio"][0], 100)
    os.unlink(whole.X["video"][1])
    assert content(make_scenes(tmp_path / "set", **TINY)) == expected


def test_other_content_is_never_overwritten(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match=r"directory='.*' is not empty; give an empty"):
        make_scenes(tmp_path, **TINY)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    make_scenes(tmp_path / "set", **TINY)
    with pytest.raises(FileExistsError, match=r"\(difficulty: 0.5, now 0.7\); give another"):
        make_scenes(tmp_path / "set", **TINY, difficulty=0.7)
    with pytest.raises(FileExistsError, match="random_state: 0, now "):
        make_scenes(tmp_path / "set", **TINY, random_state=None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_scenes": 11}, "'n_scenes' parameter of make_scenes must be an int in the range"),
        ({"n_scenes": 1}, "'n_scenes'"),
        ({"n_locations": 1}, "'n_locations'"),
        ({"clips_per_location": 0}, "'clips_per_location'"),
        ({"duration": 0.0}, "'duration'"),
        ({"fps": 0.0}, "'fps'"),
        ({"difficulty": 1.1}, "'difficulty'"),
        ({"size": (63, 48)}, r"size must be .* got \(63, 48\)"),
        ({"size": (64, 48, 3)}, "size must be"),
        ({"random_state": "x"}, "'random_state'"),
    ],
)
def test_bad_parameters(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        make_scenes(tmp_path / "set", **TINY | change)
    assert not (tmp_path / "set").exists()


def sound_features(path):
    """Mean and deviation over time of the log energy in 40 bands, mono."""
    sound, rate = soundfile.read(path)
    mono = sound.mean(axis=1)
    blocks = mono[: mono.size // 2048 * 2048].reshape(-1, 2048) * np.hanning(2048)
    power = np.abs(np.fft.rfft(blocks)) ** 2
    frequency = np.fft.rfftfreq(2048, 1 / rate)
    edges = np.geomspace(40, 20_000, 41)
    bands = np.digitize(frequency, edges)
    energy = np.stack([power[:, bands == k].sum(axis=1) for k in range(1, 41)])
    log_energy = np.log(energy + 1e-6)
    return np.concatenate([log_energy.mean(axis=1), log_energy.std(axis=1)])


def picture_features(path):
    """Histograms of colour, and of the directions of edges in three heights."""
    rows = []
    for frame in frames_of(path)[::5]:
        colour = cv2.cvtColor(frame, cv2.COLOR_RGB2HSV)
        histogram = cv2.calcHist([colour], [0, 1], None, [12, 4], [0, 180, 0, 256]).ravel()
        gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
        strength, angle = cv2.cartToPolar(cv2.Sobel(gray, 5, 1, 0), cv2.Sobel(gray, 5, 0, 1))
        edges = [
            np.histogram(a % np.pi, 8, (0, np.pi), weights=s, density=True)[0]
            for a, s in zip(np.split(angle, 3), np.split(strength, 3), strict=True)
        ]
        rows.append(np.concatenate([np.sqrt(histogram / histogram.sum()), *edges]))
    return np.mean(rows, axis=0)


def accuracies(clips, splitter=StratifiedGroupKFold):
    """Accuracy of sound, picture and both, with locations held out, or with clips held out."""
    features = {
        "sound": np.array([sound_features(path) for path in clips.X["audio"]]),
        "picture": np.array([picture_features(path) for path in clips.X["video"]]),
    }
    features["both"] = np.hstack(list(features.values()))
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.05, max_iter=500))
    groups = clips.groups if splitter is StratifiedGroupKFold else None

    def mean(X):
        cvs = [splitter(3, shuffle=True, random_state=seed) for seed in range(3)]
        scores = [cross_val_score(classifier, X, clips.y, groups=groups, cv=cv) for cv in cvs]
        return float(np.mean(scores))

    return {name: mean(X) for name, X in features.items()}


@pytest.mark.slow
def test_sound_and_picture_need_each_other_and_locations_must_be_held_out(tmp_path):
    clips = make_scenes(tmp_path, duration=2.0, fps=5.0)
    by_location, by_clip = accuracies(clips), accuracies(clips, StratifiedKFold)
    for name in ("sound", "picture"):
        assert 0.45 < by_location[name] < 0.85, by_location  # chance is 0.25
        assert by_clip[name] > by_location[name] + 0.08, (by_location, by_clip)
        assert by_location["both"] > by_location[name] + 0.04, by_location


def test_difficulty_zero_is_plain_and_one_is_hard(tmp_path):
    form = {"duration": 1.0, "fps": 5.0, "size": (160, 120)}
    form |= {"n_locations": 4, "clips_per_location": 2}
    plain = accuracies(make_scenes(tmp_path / "0", **form, difficulty=0.0))
    hard = accuracies(make_scenes(tmp_path / "1", **form, difficulty=1.0))
    for name in ("sound", "picture"):
        assert plain[name] > 0.9, plain
        assert hard[name] < plain[name] - 0.2, (plain, hard)

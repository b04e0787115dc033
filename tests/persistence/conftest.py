import hashlib
import io
import json
import sys
import warnings
import zipfile

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skavsc
from skavsc.media import write_clip


@pytest.fixture(scope="session")
def features():
    """Real features of twelve noises, of two kinds: (n_clips, n_features)."""
    rng = np.random.default_rng(0)
    sound = np.stack([rng.standard_normal(8000) * (1 + clip % 2) for clip in range(12)])
    front_end = skavsc.GammatoneMelTransformer(
        "mel", "mono", sample_rate=8000, duration=1.0, n_bands=8
    )
    return make_pipeline(front_end, skavsc.TimePooling()).fit_transform(sound)


@pytest.fixture(scope="session")
def labels():
    return np.array(["park", "tram"] * 6)


@pytest.fixture(scope="session")
def good_file(features, labels, tmp_path_factory):
    """The bytes of a good file."""
    path = tmp_path_factory.mktemp("good") / "good.skops"
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(features, labels)
    skavsc.save(model, path, sample=features[:1])
    return path.read_bytes()


@pytest.fixture(scope="session")
def table(tmp_path_factory):
    """Six clips of one second with sound and picture."""
    folder = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    rows = []
    for number, label in enumerate(["park", "tram"] * 3):
        level = 0.02 if label == "park" else 0.3
        sound = level * rng.uniform(-1, 1, (1, 16_000))
        frames = rng.integers(0, 128 if label == "park" else 256, (25, 16, 16, 3), dtype=np.uint8)
        path = write_clip(folder / f"{number}.mkv", frames, 25, sound=sound, rate=16_000)
        rows.append({"audio": str(path), "video": str(path)})
    return pd.DataFrame(rows)


@pytest.fixture(scope="session")
def image_network(tmp_path_factory):
    import keras

    network = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Conv2D(6, 3, strides=2)])
    path = tmp_path_factory.mktemp("networks") / "images.onnx"
    skavsc.to_onnx(network, path)
    return path


@pytest.fixture(scope="session")
def remade():
    return _remade


@pytest.fixture
def canary(tmp_path, monkeypatch):
    """A module that leaves a trace when it is imported or called; the path of the trace."""
    trace = tmp_path / "trace"
    (tmp_path / "canary_of_skavsc.py").write_text(
        f"open({str(trace)!r}, 'w').close()\n"
        f"def run(*args, **kwargs):\n    open({str(trace)!r}, 'w').close()\n"
        "class Thing:\n    def __new__(cls, *args):\n        run()\n"
        "        return super().__new__(cls)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield trace
    sys.modules.pop("canary_of_skavsc", None)


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=RuntimeWarning)
        yield


def signed(data):
    """The bytes with a comment and checksum of skavsc at their end, in place of their own."""
    content = data[:-64]
    return content + hashlib.sha256(content).hexdigest().encode()


def _remade(data, change=None, infos=None, extra=(), comment=b"skavsc-model 1 sha256:"):
    """A file remade with other members and signed again.

    ``change(schema, description, members)`` alters them in place; ``infos`` maps a name to a
    function of its ZipInfo; ``extra`` holds further pairs of ZipInfo and content.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(members["schema.json"])
    description = json.loads(members["skavsc.json"])
    if change is not None:
        change(schema, description, members)
        if "schema.json" in members and members["schema.json"][:1] == b"{":
            members["schema.json"] = json.dumps(schema).encode()
        if "skavsc.json" in members and members["skavsc.json"][:1] == b"{":
            members["skavsc.json"] = json.dumps(description).encode()
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w") as archive:
        warnings.simplefilter("ignore")  # of names that are there twice
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = 0o600 << 16
            if infos and name in infos:
                infos[name](info)
            archive.writestr(info, content)
        for info, content in extra:
            archive.writestr(info, content)
        archive.comment = comment + b"0" * 64
    return signed(buffer.getvalue())

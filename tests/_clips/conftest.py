"""Clips and extractors for the machinery, and processes to be disturbed."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from skavsc._clips import ClipCache

from ..conftest import run_in_workers

run_in_workers(__name__)

SHAPE = (5, 3)


def sums(path):
    """Features that depend on every byte of a file."""
    content = np.frombuffer(Path(path).read_bytes(), dtype=np.uint8)
    weights = np.arange(15)[:, None] * np.arange(content.size) % 251
    return (weights * content).sum(axis=1).astype(np.float32).reshape(SHAPE)


@pytest.fixture
def make_cache(tmp_path):
    """The function ``make_cache(**params)``, on one location."""
    return lambda location=tmp_path / "cache", **params: ClipCache(location, "sums", 1, params)


@pytest.fixture
def cache(make_cache):
    return make_cache()


@pytest.fixture
def files(tmp_path):
    """Eight small files, left alone for long enough for their digests to be remembered."""
    folder = tmp_path / "files"
    folder.mkdir()
    paths = [folder / f"{number}.bin" for number in range(8)]
    for number, path in enumerate(paths):
        path.write_bytes(bytes([number]) * 1000)
    return [str(path) for path in paths]


@pytest.fixture
def settled(monkeypatch):
    """A clock ahead of that of the files, so that they count as left alone at once."""
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() + 10_000_000_000)


@pytest.fixture(scope="session")
def sounds(tmp_path_factory):
    """Forty different sounds of half a second."""
    folder = tmp_path_factory.mktemp("sounds")
    rng = np.random.default_rng(0)
    paths = [folder / f"{number:02}.wav" for number in range(40)]
    for path in paths:
        soundfile.write(path, rng.uniform(-0.5, 0.5, (8000, 2)), 16_000, subtype="PCM_24")
    return [str(path) for path in paths]


@pytest.fixture
def start():
    """The function ``start(code, *arguments)``: a Python process with a session of its own."""
    processes = []

    def run(code, *arguments):
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        processes.append(process)
        return process

    yield run
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.fixture
def as_nobody():
    """A context without the rights of root, who may read and write everything."""

    @contextlib.contextmanager
    def demoted():
        if os.geteuid() != 0:
            yield
            return
        os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(0)

    return demoted


@pytest.fixture
def open_folder():
    """A folder that everybody can reach, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)

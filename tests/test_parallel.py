"""Worker processes: their warnings reach whoever asked for the work, and they end with it."""

import os
import subprocess
import sys
import textwrap
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from skavsc import GammatoneMelTransformer, ModalityUnion, TimePooling
from skavsc._parallel import Parallel, delayed
from skavsc.evaluation import cross_validate_scenes
from skavsc.exceptions import CacheWarning, DamagedMediaWarning, MediaError, MissingClipWarning

from .conftest import run_in_workers

run_in_workers(__name__)


@pytest.fixture(scope="module")
def clips(tmp_path_factory, make_wav):
    """Six short clips, one of which is cut off and one of which is no sound."""
    folder = tmp_path_factory.mktemp("clips")
    paths = [make_wav(folder / f"{number}.wav", 0.3, 16_000) for number in range(6)]
    paths[2].write_bytes(paths[2].read_bytes()[:20_000])
    paths[4].write_bytes(b"no sound")
    return pd.DataFrame({"audio": [str(path) for path in paths]})


def make_sound(n_jobs=None):
    return GammatoneMelTransformer(
        sample_rate=16_000, duration=0.3, on_error="missing", n_jobs=n_jobs
    )


def kinds(caught):
    """The categories and the files that the warnings name."""
    return sorted(
        (warning.category.__name__, name)
        for warning in caught
        for name in ("2.wav", "4.wav")
        if name in str(warning.message)
    )


EXPECTED = [("DamagedMediaWarning", "2.wav"), ("MissingClipWarning", "4.wav")]


def test_warnings_of_an_extraction_in_workers(clips):
    with pytest.warns() as caught:
        make_sound(n_jobs=2).transform(clips)
    assert kinds(caught) == EXPECTED


def test_warnings_of_a_union_in_workers(clips):
    union = ModalityUnion([("audio", make_sound()), ("again", make_sound())], n_jobs=2)
    with pytest.warns() as caught:
        union.fit_transform(clips)
    assert kinds(caught) == EXPECTED
    (missing,) = [w.message for w in caught if w.category is MissingClipWarning]
    assert [error.path for error in missing.errors] == [clips.audio[4]]


def test_warnings_of_a_cross_validation_in_workers(clips):
    model = make_pipeline(make_sound(), TimePooling(), LogisticRegression())
    rows = [0, 1, 2, 3, 5]  # all but the missing one
    with pytest.warns(DamagedMediaWarning, match=r"2\.wav") as caught:
        cross_validate_scenes(model, clips.iloc[rows], ["a", "b", "a", "b", "b"], cv=2, n_jobs=2)
    assert len(caught) == 1


def warn(number):
    warnings.warn(f"number {number % 2}", CacheWarning, stacklevel=1)
    warnings.warn("of another package", UserWarning, stacklevel=1)
    return number


@pytest.mark.parametrize(
    "backend", ["loky", pytest.param("multiprocessing", marks=pytest.mark.slow)]
)
def test_each_warning_is_given_once(backend):
    with joblib.parallel_config(backend, n_jobs=2), pytest.warns(CacheWarning) as caught:
        assert Parallel()(delayed(warn)(number) for number in range(6)) == list(range(6))
    assert sorted(str(warning.message) for warning in caught) == ["number 0", "number 1"]


@pytest.mark.parametrize("backend", ["sequential", "threading"])
def test_warnings_of_this_process_are_its_own(backend):
    with joblib.parallel_config(backend, n_jobs=2), pytest.warns() as caught:
        Parallel()(delayed(warn)(number) for number in range(2))
    assert len(caught) == 4


def mark(folder, number):
    """Fail in the first call, and leave a file in the others."""
    if number == 0:
        raise MediaError("0.wav", "read sound", "damaged")
    (folder / str(number)).touch()


def test_an_error_does_not_end_a_pool_amid_its_work(tmp_path):
    with (
        joblib.parallel_config("multiprocessing", n_jobs=2),
        pytest.raises(MediaError, match=r"0\.wav: read sound: damaged") as caught,
    ):
        Parallel()(delayed(mark)(tmp_path, number) for number in range(20))
    assert len(list(tmp_path.iterdir())) == 19
    assert "in mark" in str(caught.value.__cause__)


def test_results_as_they_come():
    results = Parallel(2, return_as="generator")(delayed(np.square)(n) for n in range(5))
    assert next(results) == 0
    assert list(results) == [1, 4, 9, 16]


ORPHAN = """
    import multiprocessing, os, sys, time
    from pathlib import Path
    from skavsc._parallel import delayed

    def work(parent, call):
        while os.getppid() == parent:
            time.sleep(0.01)
        function, args, kwargs = call
        Path(sys.argv[1]).touch()
        function(*args, **kwargs)
        Path(sys.argv[2]).touch()

    context = multiprocessing.get_context("fork")
    call = delayed(time.sleep)(60)
    context.Process(target=work, args=(os.getpid(), call)).start()
    os._exit(0)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_a_worker_that_starts_after_its_parent_was_killed_ends(tmp_path):
    began, ended = tmp_path / "began", tmp_path / "ended"
    # The pipe is closed when the worker is gone.
    code = textwrap.dedent(ORPHAN)
    subprocess.run([sys.executable, "-c", code, began, ended], stdout=subprocess.PIPE, check=True)
    assert began.exists()
    assert not ended.exists()


FORK_SERVER = """
    import joblib
    from skavsc._parallel import Parallel, delayed

    with joblib.parallel_config("multiprocessing", n_jobs=2):
        print(Parallel()(delayed(abs)(number) for number in range(-4, 0)))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no fork server")
def test_workers_of_a_fork_server_work():
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FORK_SERVER)],
        env=os.environ | {"JOBLIB_START_METHOD": "forkserver"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == "[4, 3, 2, 1]\n"

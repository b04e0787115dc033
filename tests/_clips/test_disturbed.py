"""Extractions that are killed, interrupted, or share their cache with others."""

import os
import random
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from skavsc._clips import ClipCache, map_clips
from skavsc.audio import GammatoneMelTransformer
from skavsc.audio._features import FEATURE_VERSION

OPTIONS = {"sample_rate": 16_000, "duration": 0.5}

# Each clip that is computed leaves a line in the log. A line of input starts an extraction in a
# copy of this process, so that it can be killed before many clips are done; the next line waits
# for its end.
EXTRACT = """
    import os, sys
    import numpy as np
    from skavsc.audio import GammatoneMelTransformer
    from skavsc.audio._features import SoundFeatures

    memory, log, result, mmap_mode, *paths = sys.argv[1:]
    compute = SoundFeatures.__call__

    def logged(self, path):
        with open(log, "a") as file:
            file.write(f"{path}\\n")
        return compute(self, path)

    transformer = GammatoneMelTransformer(sample_rate=16_000, duration=0.5)
    transformer.transform(paths[:1])  # compiled or loaded now, and not in each copy
    SoundFeatures.__call__ = logged
    transformer.set_params(memory=memory, mmap_mode=mmap_mode or None)
    print("ready", flush=True)
    while sys.stdin.readline():
        pid = os.fork()
        if not pid:
            np.save(result, transformer.transform(paths))
            os._exit(0)
        print(pid, flush=True)
        sys.stdin.readline()
        print(os.waitpid(pid, 0)[1], flush=True)
"""


@pytest.fixture(scope="module")
def undisturbed(sounds):
    return GammatoneMelTransformer(**OPTIONS).transform(sounds)


def kept(memory):
    """The names of the clips' files in a cache."""
    return {path.name for path in Path(memory).glob(f"skavsc/sound-v{FEATURE_VERSION}/??/*.npy")}


def wait_until(condition, process=None):
    """Wait for something that happens in another process."""
    limit = time.monotonic() + 60
    while not condition():
        assert process is None or process.poll() is None, process.communicate()
        assert time.monotonic() < limit
        time.sleep(0.002)


@pytest.mark.slow
@pytest.mark.parametrize("mmap_mode", ["", "r"])
def test_killed_again_and_again(start, sounds, undisturbed, tmp_path, mmap_mode):
    memory, log, result = tmp_path / "memory", tmp_path / "log", tmp_path / "result.npy"
    moments = random.Random(0)
    process = start(EXTRACT, memory, log, result, mmap_mode, *sounds)
    assert process.stdout.readline() == "ready\n"
    n_kills = 0
    status = None
    while status != 0:
        before = kept(memory)
        print(file=process.stdin, flush=True)
        pid = int(process.stdout.readline())
        # Ever later, so that slow machines come to an end too.
        time.sleep(moments.uniform(0, 0.003) + 0.0002 * n_kills)
        os.kill(pid, signal.SIGKILL)
        print(file=process.stdin, flush=True)
        status = int(process.stdout.readline())
        assert n_kills < 500
        assert status in {0, signal.SIGKILL}
        n_kills += status != 0
        # Nothing is lost, and what the dead have left does not pile up.
        assert before <= kept(memory)
        assert len(list((memory / "skavsc").glob("unfinished/*"))) <= 3
    assert n_kills > 3
    np.testing.assert_array_equal(np.load(result), undisturbed)
    computed = log.read_text().splitlines()
    assert set(computed) == set(sounds)
    # At most the clip in flight is computed again after each kill.
    assert len(computed) <= len(sounds) + n_kills
    assert len(kept(memory)) == len(sounds)
    assert len(list(memory.rglob("arrays/*"))) == (mmap_mode == "r")


@pytest.mark.slow
def test_processes_share_a_cache(start, sounds, undisturbed, tmp_path):
    memory = tmp_path / "memory"
    orders = [sounds, sounds, sounds[::-1]]
    processes = [
        start(EXTRACT, memory, tmp_path / f"log{n}", tmp_path / f"{n}.npy", "r", *order)
        for n, order in enumerate(orders)
    ]
    # All at once, so that they meet at the same clips.
    assert [process.stdout.readline() for process in processes] == ["ready\n"] * 3
    for process in processes:
        print("\n", file=process.stdin, flush=True)
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    for number, step in enumerate([1, 1, -1]):
        np.testing.assert_array_equal(np.load(tmp_path / f"{number}.npy"), undisturbed[::step])
    # No torn file: all of them are used, and none is written again.
    transformer = GammatoneMelTransformer(**OPTIONS, memory=memory)
    times = {path: path.stat().st_mtime_ns for path in memory.rglob("*.npy")}
    np.testing.assert_array_equal(transformer.transform(sounds), undisturbed)
    assert times == {path: path.stat().st_mtime_ns for path in memory.rglob("*.npy")}
    assert len(kept(memory)) == len(sounds)
    assert not list((memory / "skavsc/unfinished").iterdir())


INTERRUPTED = """
    import signal, sys, time
    import numpy as np
    from skavsc._clips import ClipCache, map_clips

    # A shell makes what it starts in the background deaf to Ctrl-C, and with it these tests.
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def extract(path):
        time.sleep(0.05)
        return np.full(3, float(path.split("/")[-1][:2]), np.float32)

    def prepare(path):
        time.sleep(0.05)
        return path

    memory, way, *paths = sys.argv[1:]
    map_clips(
        extract,
        paths,
        shape=(3,),
        cache=ClipCache(memory, "numbers", 1, {}),
        n_jobs=None if way == "serial" else 2,
        prepare=prepare if way == "ahead" else None,
        mmap_mode="r",
    )
    print("finished")
"""


def processes_of(session):
    """The processes of a session that are not dead."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, its_session = path.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(its_session) == session and state != "Z":
            found.append(int(path.parent.name))
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize(
    ("way", "group"),
    [
        pytest.param("serial", False, marks=pytest.mark.slow),
        pytest.param("serial", True, marks=pytest.mark.slow),
        pytest.param("processes", False, marks=pytest.mark.slow),
        ("processes", True),
        ("ahead", False),
        pytest.param("ahead", True, marks=pytest.mark.slow),
    ],
)
def test_interrupted(start, sounds, tmp_path, way, group):
    process = start(INTERRUPTED, tmp_path, way, *sounds)
    wait_until(lambda: len(list(tmp_path.glob("skavsc/numbers-v1/??/*.npy"))) > 2, process)
    # A terminal sends Ctrl-C to all processes, a notebook to one.
    (os.killpg if group else os.kill)(process.pid, signal.SIGINT)
    output, errors = process.communicate(timeout=30)
    assert "finished" not in output
    # joblib's resource tracker may outlive the program, and complain of what went with it.
    assert "\nKeyboardInterrupt\n" in errors
    wait_until(lambda: not processes_of(process.pid))
    n_kept = len(list(tmp_path.glob("skavsc/numbers-v1/??/*.npy")))
    assert 2 < n_kept < len(sounds)
    # The cache is sound: an extraction goes on from there.
    numbers = map_clips(
        lambda path: np.full(3, float(Path(path).stem), np.float32),
        sounds,
        shape=(3,),
        cache=ClipCache(tmp_path, "numbers", 1, {}),
    )
    np.testing.assert_array_equal(numbers[:, 0], np.arange(len(sounds)))
    assert not list((tmp_path / "skavsc/unfinished").iterdir())


# Folds, or branches, whose fits are slow and leave a file as they begin.
FITTING = """
    import os, sys, time
    import numpy as np
    from pathlib import Path
    from sklearn.dummy import DummyClassifier
    from skavsc import LateFusionClassifier
    from skavsc.evaluation import cross_validate_scenes

    class Slow(DummyClassifier):
        def fit(self, X, y):
            Path(folder, f"{os.getpid()}.npy").touch()
            time.sleep(60)

    folder, way = sys.argv[1:3]
    X = np.zeros(8, dtype=[("audio", "f4", 2), ("visual", "f4", 2)])
    y = ["bus", "tram"] * 4
    if way == "folds":
        cross_validate_scenes(Slow(), X, y, cv=4, n_jobs=2)
    else:
        LateFusionClassifier([("audio", Slow()), ("visual", Slow())], cv=2, n_jobs=2).fit(X, y)
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize(
    ("code", "way"),
    [
        (INTERRUPTED, "processes"),
        pytest.param(FITTING, "folds", marks=pytest.mark.slow),
        pytest.param(FITTING, "branches", marks=pytest.mark.slow),
    ],
)
def test_workers_end_with_a_process_that_was_killed(start, sounds, tmp_path, code, way):
    process = start(code, tmp_path, way, *sounds)
    wait_until(lambda: len(list(tmp_path.rglob("*.npy"))) > 1, process)
    assert len(processes_of(process.pid)) > 2
    process.kill()
    process.wait()
    wait_until(lambda: not processes_of(process.pid))


CLUSTER = """
    import os, signal, sys, threading, time
    from pathlib import Path
    import joblib
    import numpy as np
    from distributed import Client, LocalCluster
    from skavsc.audio import GammatoneMelTransformer

    def kill_one(pids, memory):
        while len(list(Path(memory).rglob("*.npy"))) < 5:
            time.sleep(0.002)
        os.kill(pids[0], signal.SIGKILL)
        print("killed", flush=True)

    if __name__ == "__main__":
        memory, result, *paths = sys.argv[1:]
        options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
        with LocalCluster(**options, processes=True, local_directory=memory) as cluster:
            with Client(cluster) as client:
                pids = list(client.run(os.getpid).values())
                killer = threading.Thread(target=kill_one, args=(pids, memory))
                killer.start()
                transformer = GammatoneMelTransformer(
                    sample_rate=16_000, duration=0.5, memory=memory
                )
                with joblib.parallel_config("dask"):
                    features = transformer.transform(paths)
                killer.join()
        np.save(result, features)
"""


@pytest.mark.slow
def test_a_cluster_that_loses_a_worker(start, sounds, undisturbed, tmp_path):
    pytest.importorskip("distributed")
    process = start(CLUSTER, tmp_path / "memory", tmp_path / "result.npy", *sounds)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert output == "killed\n"
    np.testing.assert_array_equal(np.load(tmp_path / "result.npy"), undisturbed)

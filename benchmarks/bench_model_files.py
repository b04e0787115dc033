"""Model files: time to save and load one of 60 MB, and from a file to the answer for one clip.

The second measurement starts a new process for each turn. It loads the published audio network
with its features, and predicts a clip of 10 s; one file holds the Keras network, one its ONNX
model, which is run where neither Keras nor TensorFlow can be imported. A third process imports
the packages that no answer can do without, and does nothing else. A fourth ends by ``gc.freeze()``.
With ``--before`` a fifth loads a joblib file that another version of this package has written:

    git worktree add ../before 98778fe
    python benchmarks/bench_model_files.py --before ../before
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import skavsc

ANSWER = """
import sys, time
begin = time.perf_counter()
if sys.argv[3] == "onnxruntime":
    class Blocker:
        def find_spec(self, name, path=None, target=None):
            if name.split(".")[0] in ("keras", "tensorflow"):
                raise ImportError(name)
    sys.meta_path.insert(0, Blocker())
import skavsc
model = skavsc.load(sys.argv[1])
loaded = time.perf_counter()
model.predict_proba([sys.argv[2]])
print(loaded - begin, time.perf_counter() - begin, time.process_time())
"""

FIT_BEFORE = """
import sys
import joblib, skavsc
from sklearn.pipeline import make_pipeline
features = skavsc.GammatoneMelTransformer(duration=10.0)
network = skavsc.AudioSceneClassifier(epochs=1, validation_fraction=0, random_state=0)
joblib.dump(make_pipeline(features, network).fit(sys.argv[2:], ["a", "b"] * 2), sys.argv[1])
"""

ANSWER_BEFORE = """
import sys, time
begin = time.perf_counter()
import joblib
model = joblib.load(sys.argv[1])
loaded = time.perf_counter()
model.predict_proba([sys.argv[2]])
print(loaded - begin, time.perf_counter() - begin, time.process_time())
"""

IMPORTS = """
import time
begin = time.perf_counter()
import numba, onnxruntime, sklearn.base, skops.io
print(time.perf_counter() - begin, time.perf_counter() - begin, time.process_time())
"""


def large_file(folder: Path, megabytes: int, turns: int) -> None:
    """Print the times of a large file."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((10, megabytes * 1_000_000 // 80))
    model = LogisticRegression(max_iter=1).fit(X, np.arange(10))
    path = folder / "large.skops"
    begin = time.perf_counter()
    skavsc.save(model, path)
    print(f"saved {path.stat().st_size / 1e6:.0f} MB in {time.perf_counter() - begin:.2f} s")
    seconds = []
    for _ in range(turns):
        begin = time.perf_counter()
        skavsc.load(path)
        seconds.append(time.perf_counter() - begin)
    print(f"loaded in {statistics.median(seconds):.2f} s (median; slowest {max(seconds):.2f} s)")


def run(program: list[str], checkout: Path | None = None) -> list[float]:
    """Return the numbers that a program in a new process prints, and when the process ended.

    The package is that of another checkout if one is given.
    """
    environment = dict(os.environ, TF_CPP_MIN_LOG_LEVEL="3")
    if checkout is not None:
        environment["PYTHONPATH"] = str(checkout)
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", *program],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    ended = time.perf_counter() - begin
    return [*map(float, done.stdout.split()), ended]


def one_answer(folder: Path, turns: int, before: Path | None) -> None:
    """Print the times from the start of Python to the answer for a clip of 10 s."""
    scenes = skavsc.make_scenes(folder / "scenes", n_scenes=2, n_locations=2, clips_per_location=1)
    features = skavsc.GammatoneMelTransformer(duration=10.0)
    network = skavsc.AudioSceneClassifier(epochs=1, validation_fraction=0, random_state=0)
    model = make_pipeline(features, network).fit(scenes.X, scenes.y)
    clips = [str(path) for path in scenes.X["audio"]]
    files = {"keras": folder / "keras.skops", "onnxruntime": folder / "onnxruntime.skops"}
    skavsc.save(model, files["keras"])
    skavsc.save(model, files["onnxruntime"], runtime="onnxruntime")
    programs = {runtime: [ANSWER, str(path), clips[0], runtime] for runtime, path in files.items()}
    programs["imports alone"] = [IMPORTS]
    frozen = f"{ANSWER}import gc; gc.freeze()"
    programs["gc.freeze()"] = [frozen, *programs["onnxruntime"][1:]]
    if before is not None:
        files["before"] = folder / "before.joblib"
        run([FIT_BEFORE, str(files["before"]), *clips], before)
        programs["before"] = [ANSWER_BEFORE, str(files["before"]), clips[0]]
    ends: dict[str, list[list[float]]] = {name: [] for name in programs}
    for turn in range(turns + 1):
        for name, program in programs.items():
            times = run(program, before if name == "before" else None)
            if turn:  # the first reads the packages from the disk
                ends[name].append(times)
    medians = {}
    for name, values in ends.items():
        loaded, answered, processor, ended = np.median(values, axis=0)
        medians[name] = np.array([answered, processor])
        size = f"{files[name].stat().st_size / 1e6:.1f} MB, " if name in files else ""
        print(
            f"{name:>13}: {size}loaded after {loaded:.2f} s, answer after {answered:.2f} s, "
            f"{processor:.2f} s of processor, process ended after {ended:.2f} s"
        )
    for name in [name for name in files if name != "onnxruntime"]:
        answered, processor = medians[name] / medians["onnxruntime"]
        print(
            f"onnxruntime {answered:.1f} times sooner than {name}, {processor:.1f} times less "
            f"processor"
        )


def main() -> None:
    """Print the times of this machine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=60)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--before", type=Path, help="a checkout of the version to compare with")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        large_file(Path(folder), options.megabytes, options.turns)
        one_answer(Path(folder), options.turns, options.before)


if __name__ == "__main__":
    main()

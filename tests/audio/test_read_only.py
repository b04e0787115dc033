"""An installation that cannot be written, for a user without a home, as in a container."""

import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import librosa
import numpy as np
import pytest

import skavsc
from skavsc.audio import GammatoneMelTransformer
from skavsc.audio._filterbanks import FILTERBANKS

# Of both packages, and thus of all that numba compiles for the features.
FOLDERS = [str(Path(module.__file__).parents[1]) for module in (skavsc, librosa)]
READ_ONLY = 'for f in "$0" "$1"; do mount --bind "$f" "$f" && mount -o remount,ro,bind "$f"; done'


def run_read_only(code, **environment):
    """Run Python with both packages read-only and no home, and return the finished process."""
    if not shutil.which("unshare") or os.geteuid() != 0:
        pytest.skip("needs unshare and its rights, to mount folders read-only")
    kept = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    environment = {**kept, "HOME": "/proc/none", "PYTHONPATH": FOLDERS[0], **environment}
    command = ["unshare", "--mount", "sh", "-ec", f'{READ_ONLY}; shift; exec "$@"']
    return subprocess.run(
        [*command, *FOLDERS, sys.executable, "-O", "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_features_are_computed_with_one_warning(tmp_path):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 8_000))
    np.save(tmp_path / "noise.npy", noise)
    code = (
        "import numpy, pickle; from skavsc import GammatoneMelTransformer\n"
        f"for filterbank in {[*FILTERBANKS]}:\n"
        "    t = GammatoneMelTransformer(filterbank, sample_rate=8_000, duration=1.0)\n"
        f"    X = t.fit_transform([numpy.load(r'{tmp_path}/noise.npy')])\n"
        # numpy.save would warn that it drops the rate, which features carry in their dtype.
        f"    pickle.dump(X, open(rf'{tmp_path}/{{filterbank}}.pkl', 'wb'))\n"
    )
    done = run_read_only(code)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Warning:") == done.stderr.count("NUMBA_CACHE_DIR") == 1
    for filterbank in FILTERBANKS:
        transformer = GammatoneMelTransformer(filterbank, sample_rate=8_000, duration=1.0)
        np.testing.assert_array_equal(
            pickle.loads((tmp_path / f"{filterbank}.pkl").read_bytes()),
            transformer.transform([noise]),
        )


def test_nothing_is_warned_of_where_numba_has_a_folder(tmp_path):
    done = run_read_only("import skavsc.audio._kernels", NUMBA_CACHE_DIR=str(tmp_path))
    assert done.returncode == 0
    assert not done.stderr

"""Work over clips as in a container: no home, no locale, no assertions, nothing to write to."""

import os
import subprocess
import sys
import textwrap

PROGRAM = """
    import sys, warnings
    from pathlib import Path
    import numpy as np
    from skavsc import load_clip_table
    from skavsc._clips import ClipCache, clip_sources, map_clips
    from skavsc.exceptions import CacheWarning

    def size(path):
        return np.full(1, Path(path).stat().st_size, np.float32)

    assert False, "left out by -O"
    table, memory = sys.argv[1:]
    clips = load_clip_table(table, video=None)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CacheWarning)
        cache = ClipCache(memory, "sizes", 1, {})
        found = map_clips(size, clip_sources(clips.X, "audio"), shape=(1,), cache=cache, n_jobs=2)
    print(ascii(clips.target_names), found.tolist())
    print(*(w.message for w in caught if w.category is CacheWarning), sep="\\n")
"""


def test_without_home_locale_and_assertions(tmp_path):
    for number, name in enumerate(("Grüner Park", "音"), start=1):
        (tmp_path / f"{name}.wav").write_bytes(bytes(number))
    (tmp_path / "clips.csv").write_text("audio,label\nGrüner Park.wav,Café\n音.wav,電車\n", "utf-8")
    # Nobody, not even root, can make a folder beneath a file.
    (tmp_path / "file").touch()
    arguments = [tmp_path / "clips.csv", tmp_path / "file/cache"]
    kept = {"PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "OMP_NUM_THREADS"}
    env = {name: value for name, value in os.environ.items() if name in kept}
    done = subprocess.run(
        [sys.executable, "-O", "-c", textwrap.dedent(PROGRAM), *arguments],
        env=env | {"LANG": "C", "LC_ALL": "C", "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    result, warning = done.stdout.splitlines()
    assert result == ascii(["Café", "電車"]) + " [[1.0], [2.0]]"
    assert "2 of 2 clips are not kept" in warning
    assert "set memory= to another folder" in warning

"""Time to load a clip table by its number of columns: it must grow with them, not their square.

python benchmarks/bench_tables.py
"""

import tempfile
import time
from pathlib import Path

from skavsc import load_clip_table


def seconds(folder: Path, n_columns: int) -> float:
    """Return the processor time of loading a table of one row, the best of three."""
    names = ",".join(f"c{number}" for number in range(n_columns))
    path = folder / "clips.csv"
    path.write_text(f"audio,label,{names}\na.wav,a{',x' * n_columns}\n", encoding="utf-8")
    times = []
    for _ in range(3):
        start = time.process_time()
        load_clip_table(path, video=None)
        times.append(time.process_time() - start)
    return min(times)


def main() -> None:
    """Run the benchmark."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "a.wav").touch()
        seconds(folder, 100)
        first = None
        for n_columns in (2_000, 8_000, 32_000):
            found = seconds(folder, n_columns)
            first = first or found
            print(f"{n_columns:6} columns {found:6.2f} s, {found / first:5.1f} times the first")


if __name__ == "__main__":
    main()

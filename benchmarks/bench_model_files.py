"""Time to save and load a model file of 60 MB."""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

import skavsc


def main() -> None:
    """Print the times of this machine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=60)
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    n_features = options.megabytes * 1_000_000 // 80
    X = rng.standard_normal((10, n_features))
    model = LogisticRegression(max_iter=1).fit(X, np.arange(10))
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.skops"
        begin = time.perf_counter()
        skavsc.save(model, path)
        print(f"saved {path.stat().st_size / 1e6:.0f} MB in {time.perf_counter() - begin:.2f} s")
        for _ in range(options.turns):
            begin = time.perf_counter()
            skavsc.load(path)
            seconds.append(time.perf_counter() - begin)
    print(f"loaded in {statistics.median(seconds):.2f} s (median; slowest {max(seconds):.2f} s)")


if __name__ == "__main__":
    main()

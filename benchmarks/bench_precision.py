"""What bfloat16 does to embeddings, and to the accuracy of what is trained with it or on them.

``python benchmarks/bench_precision.py ROOT --weights squeezenet_places365.npz [--epochs 40]``
takes a set in the layout of TAU Urban Audio-Visual Scenes with official folds. The picture:
SqueezeNet's embeddings of one frame a second in both precisions, in turns, and a logistic
regression on each. The sound (``--epochs`` above 0): the audio network of half the filters,
trained in both. Nothing is chosen by the test clips.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from skavsc import (
    AudioSceneClassifier,
    GammatoneMelTransformer,
    ImageEmbedder,
    TimePooling,
    VideoFrameSampler,
    load_tau_urban_av,
    macro_log_loss,
)

PRECISIONS = ("float32", "bfloat16")


def embeddings(X: object, weights: str) -> dict[str, np.ndarray]:
    """Embed the frames in both precisions, and print by how much they differ."""
    frames = VideoFrameSampler(fps=1, duration=5.0).transform(X)
    frames = [np.asarray(clip) for clip in frames]
    embedders = {
        precision: ImageEmbedder("squeezenet11", weights=weights, precision=precision).fit(frames)
        for precision in PRECISIONS
    }
    found: dict[str, list[np.ndarray]] = {precision: [] for precision in PRECISIONS}
    seconds: dict[str, list[float]] = {precision: [] for precision in PRECISIONS}
    for first in range(0, len(frames), 24):
        for precision, embedder in embedders.items():
            begin = time.perf_counter()
            found[precision].append(embedder.transform(frames[first : first + 24]))
            seconds[precision].append(time.perf_counter() - begin)
    features = {precision: np.concatenate(parts) for precision, parts in found.items()}
    exact, lower = (features[precision].reshape(-1, 512) for precision in PRECISIONS)
    cosines = (exact * lower).sum(axis=1)
    cosines /= np.linalg.norm(exact, axis=1) * np.linalg.norm(lower, axis=1)
    # The first turn also traces.
    ratio = np.median(np.array(seconds["float32"][1:]) / seconds["bfloat16"][1:])
    print(
        f"SqueezeNet, {len(exact)} frames: smallest cosine {cosines.min():.6f}, largest deviation "
        f"{np.abs(exact - lower).max() / np.abs(exact).max():.1e} of the largest value, float32 "
        f"takes {ratio:.2f} times as long",
        flush=True,
    )
    return features


def on_embeddings(precision: str) -> Pipeline:
    """Build the classifier of the picture, the same for both."""
    return make_pipeline(TimePooling(), StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root")
    parser.add_argument("--weights", required=True)
    parser.add_argument("--epochs", type=int, default=40)
    options = parser.parse_args()
    clips = load_tau_urban_av(options.root, subset="all")
    X, y = clips.X, np.asarray(clips.y)
    models = {"picture": on_embeddings}
    features = {"picture": embeddings(X, options.weights)}
    if options.epochs:
        sound = GammatoneMelTransformer("mel", channels="mono", f_max=8000, duration=5.0)
        features["sound"] = dict.fromkeys(PRECISIONS, sound.fit_transform(X))
        models["sound"] = lambda precision: AudioSceneClassifier(
            filters=(16, 32, 64),
            batch_size=16,
            epochs=options.epochs,
            learning_rate=3e-3,
            rate_schedule="cosine",
            validation_fraction=0,
            precision=precision,
            random_state=0,
        )
    for name, make in models.items():
        scores: dict[str, list[tuple[float, float, float]]] = {p: [] for p in PRECISIONS}
        for train, test in clips.cv:
            for precision in PRECISIONS:
                given = features[name][precision]
                begin = time.perf_counter()
                model = make(precision).fit(given[train], y[train])
                taken = time.perf_counter() - begin
                probabilities = model.predict_proba(given[test])
                right = model.classes_[probabilities.argmax(axis=1)] == y[test]
                loss = macro_log_loss(y[test], probabilities, labels=model.classes_)
                scores[precision].append((right.mean(), loss, taken))
                print(f"  {name} {precision}: {right.mean():.4f}, {loss:.4f}", flush=True)
        for precision, rows in scores.items():
            accuracy, loss, _ = np.mean(rows, axis=0)
            print(f"{name}, {precision}: accuracy {accuracy:.4f}, macro log loss {loss:.4f}")
        taken = np.array([[row[2] for row in scores[precision]] for precision in PRECISIONS])
        print(
            f"  fit: float32 takes {np.median(taken[0] / taken[1]):.2f} times as long", flush=True
        )


if __name__ == "__main__":
    main()

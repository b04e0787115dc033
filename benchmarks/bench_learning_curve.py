"""How good few clips make a classifier: frozen networks against networks trained from scratch.

Takes a set in the layout of TAU Urban Audio-Visual Scenes with official folds. Of the training
clips of each fold 1, 2, 4, 8 and 16 a class are drawn, and all test clips are predicted::

    OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 \
        python benchmarks/bench_learning_curve.py ROOT --duration 5 --sound-model yamnet.onnx \
        --image-model mobilenet_v2.onnx --network squeezenet11 --weights squeezenet_places365.npz

Both ways have the same clips and the same fusion, the normalised product of both branches'
probabilities, which needs no clips of its own. Scores are kept in a table (``--work``), so that a
run that is cut short goes on where it was.
"""

import argparse
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline, make_pipeline

from skavsc import (
    AudioEmbedder,
    AudioSceneClassifier,
    GammatoneMelTransformer,
    ImageEmbedder,
    LateFusionClassifier,
    ModalityUnion,
    VideoFrameSampler,
    VisualSceneClassifier,
    load_tau_urban_av,
    macro_log_loss,
    make_scene_classifier,
)
from skavsc.training.augmentation import FilterAugment, Mixup

SIZES = (1, 2, 4, 8, 16)
PLACES = "frozen, the GRU's image network"
KEY = ["way", "n_clips", "fold", "draw"]


def frozen_features(options: argparse.Namespace) -> ModalityUnion:
    """Build the embeddings of sound and of one frame a second."""
    kept = {"memory": options.work / "features"}
    picture = make_pipeline(
        VideoFrameSampler(fps=1, duration=options.duration),
        ImageEmbedder(options.image_model, **kept),
    )
    sound = AudioEmbedder(options.sound_model, hop=0.25, duration=options.duration, **kept)
    return ModalityUnion([("audio", sound), ("visual", picture)])


def places_picture(options: argparse.Namespace) -> Pipeline:
    """Build the embeddings of five frames a second that the GRU takes."""
    return make_pipeline(
        VideoFrameSampler(duration=options.duration),
        ImageEmbedder(options.network, weights=options.weights, memory=options.work / "features"),
    )


def places_features(options: argparse.Namespace) -> ModalityUnion:
    """Build the embeddings of sound as for the frozen networks, of picture as for the GRU."""
    sound = frozen_features(options).transformers[0]
    return ModalityUnion([sound, ("visual", places_picture(options))])


def scratch_features(options: argparse.Namespace) -> ModalityUnion:
    """Build gammatone features, and the embeddings of picture for the GRU."""
    sound = GammatoneMelTransformer(
        channels="mono",
        f_max=8000.0,
        duration=options.duration,
        memory=options.work / "features",
    )
    return ModalityUnion([("audio", sound), ("visual", places_picture(options))])


def frozen_branches(options: argparse.Namespace, n_clips: int, seed: int) -> list[BaseEstimator]:
    """Build those of the recipe; one clip a class leaves nothing to choose the strength by."""
    shared = {"audio_model": options.sound_model, "image_model": options.image_model, "C": 0.1}
    return [
        make_scene_classifier("embeddings", modalities=[name], **shared)[-1].estimators[0][1]
        for name in ("audio", "visual")
    ]


def scratch_branches(options: argparse.Namespace, n_clips: int, seed: int) -> list[BaseEstimator]:
    """Build the audio network and the GRU, trained for a number of steps on all clips given."""
    n_batches = math.ceil(n_clips / 16)
    shared = {
        "batch_size": 16,
        "rate_schedule": "cosine",
        "validation_fraction": 0,
        "clip_average": "geometric",
        "random_state": seed,
    }
    audio = AudioSceneClassifier(
        filters=options.filters,
        epochs=min(options.most_epochs, math.ceil(options.audio_steps / n_batches)),
        learning_rate=3e-3,
        augmentation=[Mixup(0.4, domain="power"), FilterAugment(gain=0.15)],
        clean_statistics=True,
        **shared,
    )
    visual = VisualSceneClassifier(
        epochs=min(options.most_epochs, math.ceil(options.visual_steps / n_batches)),
        learning_rate=1e-3,
        **shared,
    )
    return [audio, visual]


def file_name(way: str) -> str:
    """Return the file in which the scores of a way are kept."""
    return re.sub(r"\W+", "-", way) + ".csv"


def draws(
    labels: np.ndarray, train: np.ndarray, size: int, n_draws: int, seed: int
) -> Iterator[np.ndarray]:
    """Draw training clips, as many of each class; once where that is all of them."""
    by_class = [train[labels[train] == label] for label in np.unique(labels)]
    n_draws = 1 if all(len(rows) <= size for rows in by_class) else n_draws
    rng = np.random.default_rng(seed)
    for _ in range(n_draws):
        yield np.concatenate([rng.permutation(rows)[:size] for rows in by_class])


def scores(fusion: LateFusionClassifier, X: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Score both branches and their fusion."""
    found = {}
    for name, classifier, given in (
        ("sound", fusion.named_estimators_["audio"], X["audio"]),
        ("picture", fusion.named_estimators_["visual"], X["visual"]),
        ("fused", fusion, X),
    ):
        probabilities = classifier.predict_proba(given)
        predicted = classifier.classes_[probabilities.argmax(axis=1)]
        found[f"{name} accuracy"] = float(np.mean(predicted == y))
        found[f"{name} loss"] = macro_log_loss(y, probabilities, labels=classifier.classes_)
    return found


def plot(means: pd.DataFrame, spread: pd.DataFrame, path: Path) -> None:
    """Draw accuracy by the number of clips, a panel for sound, picture and both."""
    import matplotlib

    matplotlib.use("Agg")
    # Letters stay letters, which keeps the file small, and its identifiers the same each time.
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "skavsc"})
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(9, 3), sharey=True, layout="constrained")
    for ax, name in zip(axes, ("sound", "picture", "fused"), strict=True):
        for way, style in (("frozen", "C0o-"), (PLACES, "C1^:"), ("from scratch", "C2s--")):
            if way not in means.index or (way == PLACES and name == "sound"):
                continue
            y = means.loc[way, f"{name} accuracy"]
            deviation = spread.loc[way, f"{name} accuracy"]
            ax.errorbar(y.index, y, deviation, fmt=style, capsize=2, label=way)
        ax.set(title=name, xlabel="clips per class", xscale="log", xticks=SIZES, ylim=(0, 1.02))
        ax.set_xticks(SIZES, [str(size) for size in SIZES])
        ax.minorticks_off()
        ax.grid(alpha=0.3)
    axes[0].set_ylabel("accuracy")
    axes[1].legend(loc="lower right", fontsize="small")
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("--sound-model", default="yamnet", help="the frozen network for sound")
    parser.add_argument("--image-model", required=True, help="the frozen network for frames")
    parser.add_argument("--network", choices=["vgg16", "squeezenet11"], default="vgg16")
    parser.add_argument("--weights", default="places365", help="of the GRU's image network")
    parser.add_argument("--duration", type=float, default=10.0, help="seconds of each clip")
    parser.add_argument("--ways", nargs="+", choices=["frozen", PLACES, "from scratch"])
    parser.add_argument("--draws", type=int, default=10, help="a fold, for the frozen networks")
    parser.add_argument("--scratch-draws", type=int, default=1, help="a fold")
    parser.add_argument("--filters", type=int, nargs=3, default=[16, 32, 64])
    parser.add_argument("--audio-steps", type=int, default=1000)
    parser.add_argument("--visual-steps", type=int, default=800)
    parser.add_argument("--most-epochs", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--figure", type=Path, help="an image file to draw the curves into")
    parser.add_argument("--work", type=Path, default=Path("skavsc-curve"), help="what is kept")
    options = parser.parse_args()

    clips = load_tau_urban_av(options.root, subset="all")
    options.work.mkdir(parents=True, exist_ok=True)
    ways = {
        "frozen": (frozen_features, frozen_branches, options.draws),
        PLACES: (places_features, frozen_branches, options.draws),
        "from scratch": (scratch_features, scratch_branches, options.scratch_draws),
    }
    for way in options.ways or ways:
        union, branches, n_draws = ways[way]
        path = options.work / file_name(way)
        known = pd.read_csv(path).to_dict("records") if path.is_file() else []
        done = {(row["n_clips"], row["fold"], row["draw"]) for row in known}
        X = union(options).fit_transform(clips.X)
        for fold, (train, test) in enumerate(clips.cv, start=1):
            for size in SIZES:
                # Seeds go by fold and size, so that both ways begin with the same draws.
                drawn = draws(clips.y, train, size, n_draws, options.seed + 100 * fold + size)
                for draw, rows in enumerate(drawn):
                    if (size, fold, draw) in done:
                        continue
                    parts = branches(options, len(rows), options.seed + draw)
                    fusion = LateFusionClassifier(
                        list(zip(("audio", "visual"), parts, strict=True)),
                        final_estimator="product",
                    ).fit(X[rows], clips.y[rows])
                    row = dict(zip(KEY, (way, size, fold, draw), strict=True))
                    known.append(row | scores(fusion, X[test], clips.y[test]))
                    pd.DataFrame(known).to_csv(path, index=False)
    files = [options.work / file_name(way) for way in ways]
    table = pd.concat([pd.read_csv(path) for path in files if path.is_file()])
    by_fold = table.groupby(["way", "n_clips", "fold"]).mean(numeric_only=True).drop(columns="draw")
    means = by_fold.groupby(["way", "n_clips"]).mean()
    # Over draws and folds: how far a single draw may be from the mean.
    spread = table.groupby(["way", "n_clips"]).std(numeric_only=True)
    print(means.round(3).to_string())
    print("\nstandard deviation over draws and folds")
    print(spread.drop(columns=["fold", "draw"]).round(3).to_string())
    if options.figure:
        plot(means, spread, options.figure)


if __name__ == "__main__":
    main()

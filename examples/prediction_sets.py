"""Answer with a set of scenes that holds the right one nine times of ten, or with none of them.

Renders scenes, or takes those that are there, and divides their recording locations in three: a
classifier of sound is trained on the first part, MAPIE (``pip install ".[conformal]"``) sets the
size of its answers on the second, and the third tells how often they are right. A detector rejects
clips that are unlike all that was trained on::

    python prediction_sets.py scenes

Coverage is guaranteed for clips that are drawn like those of the second part. Clips of one location
are alike, so that it holds over many locations, and need not hold for the clips of one.
"""

import argparse
from pathlib import Path

import numpy as np
from mapie.classification import SplitConformalClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skavsc import GammatoneMelTransformer, make_scenes
from skavsc.evaluation import SceneNoveltyDetector
from skavsc.pooling import TimePooling


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="of the rendered scenes")
    parser.add_argument("--confidence", type=float, default=0.9)
    options = parser.parse_args()

    scenes = make_scenes(options.folder, n_scenes=5, n_locations=9, duration=2.0, n_jobs=-1)
    pooled = make_pipeline(
        GammatoneMelTransformer(duration=2.0, memory=options.folder / "cache", n_jobs=-1),
        TimePooling(),
        StandardScaler(),
    )
    parts = StratifiedGroupKFold(3).split(scenes.X, scenes.y, scenes.groups)
    train, calibration, test = (rows for _, rows in parts)
    features = pooled.fit(scenes.X.iloc[train]).transform(scenes.X)
    y = scenes.y

    classifier = LogisticRegression(C=0.01, max_iter=1000).fit(features[train], y[train])
    sets = SplitConformalClassifier(classifier, confidence_level=options.confidence, prefit=True)
    sets.conformalize(features[calibration], y[calibration])
    _, members = sets.predict_set(features[test])
    members = members[..., 0]
    truth = np.searchsorted(classifier.classes_, y[test])
    print(f"accuracy of single answers: {classifier.score(features[test], y[test]):.2f}")
    print(f"sets hold the right scene:  {members[np.arange(len(test)), truth].mean():.2f}")
    print(f"scenes in a set:            {members.sum(axis=1).mean():.2f}")

    known = np.concatenate([train, calibration])
    detector = SceneNoveltyDetector().fit(features[known], y[known], scenes.groups[known])
    noise = np.random.default_rng(0).uniform(-1, 1, (1, 2 * 44_100))
    strange = pooled.transform([np.concatenate([noise, noise]), np.zeros((2, 2 * 44_100))])
    sure = classifier.predict_proba(strange).max(axis=1)
    rejected = (detector.predict(features[test]) < 0).mean()
    print(f"new clips of known scenes rejected: {rejected:.2f}")
    for name, found, p in zip(["noise", "silence"], detector.predict(strange), sure, strict=True):
        print(f"{name}: {'rejected' if found < 0 else 'accepted'}; {p:.2f} to the classifier")


if __name__ == "__main__":
    main()

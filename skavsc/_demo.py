"""What ``skavsc demo`` does: rendered scenes, features, results, a model, an unseen clip."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import Pipeline
from sklearn.utils import Bunch

from skavsc.audio import GammatoneMelTransformer
from skavsc.classifiers import AudioSceneClassifier, SECRNNClassifier, VisualSceneClassifier
from skavsc.datasets import make_scenes
from skavsc.evaluation import (
    SceneReport,
    cross_validate_scenes,
    cross_validate_secrnn,
    format_results,
)
from skavsc.exceptions import UntrainedWeightsWarning
from skavsc.fusion import ModalityUnion
from skavsc.persistence import save
from skavsc.pretrained import find_weights
from skavsc.recipes import LocationFolds, make_scene_classifier
from skavsc.visual import VGGPlacesEmbedder, VideoFrameSampler

KINDS = {"log-mel": "mel", "gammatone": "gammatone"}
N_SCENES, N_LOCATIONS, CLIPS_PER_LOCATION, DURATION, N_FOLDS = 4, 7, 3, 3.0, 3

_PREDICT = """
import sys, pandas, skavsc
model = skavsc.load(sys.argv[1])
clip = pandas.DataFrame({"audio": [sys.argv[2]], "video": [sys.argv[3]]})
for label, probability in zip(model.classes_, model.predict_proba(clip)[0]):
    print(label, repr(float(probability)))
"""

ROWS = {"sound": ["audio"], "picture": ["visual"], "sound and picture": ["audio", "visual"]}

# The share of the whole time that has passed after each part, as measured on two cores.
_PARTS = ["scenes", *ROWS, "report", "model"]
_DONE = {
    "statistics": dict(zip(_PARTS, (0.42, 0.51, 0.57, 0.69, 0.74, 0.80), strict=True)),
    "embeddings": dict(zip(_PARTS, (0.39, 0.51, 0.64, 0.75, 0.78, 0.84), strict=True)),
}


def run_demo(
    directory: str | Path,
    *,
    models: Mapping[str, str] | None = None,
    say: Callable[[str], None],
    verbose: int = 1,
) -> dict[str, SceneReport]:
    """Run the quick demonstration.

    Parameters
    ----------
    directory : path-like
        Where scenes, report and model go; made where it is missing.
    models : mapping with "audio_model" and "image_model", default=None
        Names or files of frozen networks; None classifies statistics of spectra and pixels.
    say : callable
        Called with each line of the output.
    verbose : int, default=1
        Whether to show progress bars.

    Returns
    -------
    dict of str to SceneReport
        The reports of sound, of picture and of both together.
    """
    directory = Path(directory)
    started = time.perf_counter()
    recipe = "embeddings" if models else "statistics"

    def to_go(part: str) -> str:
        """Estimate the remaining time from that of the finished parts."""
        elapsed = time.perf_counter() - started
        return f"about {elapsed * (1 / _DONE[recipe][part] - 1):.0f} s to go"

    scenes, unseen = render_scenes(directory, say, verbose)
    X, y, groups = scenes.X[~unseen], scenes.y[~unseen], scenes.groups[~unseen]

    say(f"2. Recipe {recipe}, {N_FOLDS} folds with whole locations held out; {to_go('scenes')}")
    say(f"   {'':18}{'accuracy %':>12}{'macro log loss':>17}")
    reports: dict[str, SceneReport] = {}
    for name, modalities in ROWS.items():
        pipeline = make_scene_classifier(
            recipe,
            modalities=modalities,
            duration=DURATION,
            C=0.1,
            memory=str(directory / "cache"),
            random_state=0,
            verbose=verbose,
            **models or {},
        )
        features = pipeline[:-1].fit_transform(X)
        report = cross_validate_scenes(
            pipeline[-1],
            features,
            y,
            groups=groups,
            cv=LocationFolds(N_FOLDS, random_state=0),
            modalities=features.dtype.names or (),
            clips=X,
            name=name,
        )
        reports[name] = report
        clips = report.summary().loc["clips"]
        figures = f"{100 * clips['accuracy']:12.1f}{clips['macro_log_loss']:17.3f}"
        say(f"   {name:18}{figures}   {to_go(name)}")
    say(f"   {'guessing':18}{100 / N_SCENES:12.1f}{np.log(N_SCENES):17.3f}")
    page = reports["sound and picture"].to_html(directory / "report.html")
    say(f"   report: {page}")

    say(f"3. Training on all {len(X)} clips; {to_go('report')}")
    pipeline[-1].fit(features, y, groups=groups)
    model = directory / "model.skops"
    save(pipeline, model)
    say(f"   model: {model}; {to_go('model')}")

    clip, truth = scenes.X[unseen].iloc[:1], scenes.y[unseen][0]
    say(f"4. Predicting an unseen clip in a fresh process: {clip['video'].iloc[0]}")
    fresh = predict_in_fresh_process(model, clip)
    say_probabilities(fresh, truth, say)

    say(f"Done in {time.perf_counter() - started:.0f} s. The scenes are drawn and synthesised.")
    say("Next, with your own clips, one folder per label:")
    say("   skavsc train FOLDER -o model.skops --report report.html")
    say("   skavsc predict model.skops FILE...")
    say("The published networks on these scenes, in some ten minutes: skavsc demo --full")
    return reports


def feature_union(filterbank: str, weights: str | None, verbose: int = 0) -> ModalityUnion:
    """Build the transformer from a clip table to the features of sound and picture."""
    if weights is None:
        # An untrained network sees colours best in tiny pictures and without preprocessing.
        sampler = VideoFrameSampler(size=32, duration=DURATION)
        embedder = VGGPlacesEmbedder(None, preprocessing="none", verbose=verbose)
    else:
        sampler = VideoFrameSampler(duration=DURATION)
        embedder = VGGPlacesEmbedder(weights, verbose=verbose)
    sound = GammatoneMelTransformer(filterbank, duration=DURATION, verbose=verbose)
    picture = Pipeline([("frames", sampler), ("embedding", embedder)])
    return ModalityUnion([("audio", sound), ("visual", picture)])


def small_set_framework() -> SECRNNClassifier:
    """Build the networks in full size, with rates and epochs for some seventy clips."""
    return SECRNNClassifier(
        AudioSceneClassifier(batch_size=16, epochs=60, patience=60),
        VisualSceneClassifier(learning_rate=1e-3, epochs=80, patience=80, scale_frames=True),
        learning_rate=1e-3,
        epochs=25,
        patience=25,
        random_state=0,
    )


def best_classifier(cell: str) -> Any:
    """Return the unfitted classifier of a cell of the table."""
    framework = small_set_framework()
    if cell in ("audio", "visual"):
        return getattr(framework, cell).set_params(random_state=0)
    return framework.set_params(fusion=cell)


def run_full_demo(
    directory: str | Path,
    *,
    weights: str | None = None,
    say: Callable[[str], None],
    verbose: int = 1,
) -> pd.DataFrame:
    """Run the demonstration and return its table.

    Parameters
    ----------
    directory : path-like
        Where scenes, report and model go; made where it is missing.
    weights : str or None, default=None
        The weights of VGG16: a path or ``"places365"``; None is an untrained network.
    say : callable
        Called with each line of the output.
    verbose : int, default=1
        Whether to show progress bars.

    Returns
    -------
    pandas.DataFrame
        The table of `cross_validate_secrnn`.
    """
    directory = Path(directory)
    started = time.perf_counter()
    if weights is not None:
        # Now, and not after minutes of rendering.
        find_weights("vgg16", weights)
    scenes, unseen = render_scenes(directory, say, verbose)
    X, y, groups = scenes.X[~unseen], scenes.y[~unseen], scenes.groups[~unseen]

    say("2. Turning the files into features: gammatone and log-mel, and VGG16 on frames")
    features = _features(X, weights, verbose)

    say(f"3. Training and testing with whole locations held out, in {N_FOLDS} folds")
    table = cross_validate_secrnn(
        small_set_framework(),
        features,
        y,
        groups=groups,
        cv=StratifiedGroupKFold(N_FOLDS),
        verbose=verbose,
    )
    text = format_results(table)
    say(f"\n{text}\n")

    best = min(table.reset_index().to_dict("records"), key=lambda row: row["macro_log_loss"])
    kind, cell = best["features"], best["classifier"]
    say(f"4. Fitting the best by log loss, {kind} with {cell}, on all {len(X)} clips")
    pipeline = _fit(kind, cell, weights, X, y, groups)
    model = directory / "model.skops"
    save(pipeline, model)
    say(f"   saved as {model}")

    clip, truth = scenes.X[unseen].iloc[:1], scenes.y[unseen][0]
    say(f"5. Loading it in a fresh process to predict an unseen clip, {clip['video'].iloc[0]}")
    fresh = predict_in_fresh_process(model, clip)
    say_probabilities(fresh, truth, say)
    _check_equal(fresh, pipeline, clip, model)
    say("   equal to what this process predicts")

    minutes = (time.perf_counter() - started) / 60
    table.to_csv(directory / "results.csv")
    report = directory / "report.md"
    report.write_text(_report(text, table, f"{kind}, {cell}", weights), encoding="utf-8")
    say(f"Done in {minutes:.1f} minutes: {report}, {directory / 'results.csv'}")
    return table


def render_scenes(
    directory: Path, say: Callable[[str], None], verbose: int
) -> tuple[Bunch, NDArray[np.bool_]]:
    """Render the scenes, and return them and which clips are kept unseen."""
    say(f"1. Rendering {N_SCENES} scenes at {N_LOCATIONS} locations each, as wav and mp4 files")
    scenes = make_scenes(
        directory / "scenes",
        N_SCENES,
        N_LOCATIONS,
        CLIPS_PER_LOCATION,
        duration=DURATION,
        size=(160, 120),
        n_jobs=-1,
        verbose=verbose,
    )
    unseen = _last_locations(scenes.X, scenes.y)
    n_known = np.count_nonzero(~unseen)
    say(f"   {n_known} clips of {DURATION:g} s to learn from; {unseen.sum()} are kept unseen")
    return scenes, unseen


def _last_locations(X: pd.DataFrame, y: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which clips are of the last location of their scene."""
    number = X["location"].astype(int).to_numpy()
    last = pd.Series(number).groupby(y).transform("max").to_numpy()
    return number == last


@contextlib.contextmanager
def _quiet_about_weights() -> Iterator[None]:
    # The demonstration says in its report what untrained weights mean.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UntrainedWeightsWarning)
        yield


def _features(X: pd.DataFrame, weights: str | None, verbose: int) -> dict[str, NDArray[Any]]:
    """Extract each kind of features; the picture once, as it is the same in all."""
    features: dict[str, NDArray[Any]] = {}
    with _quiet_about_weights():
        for kind, filterbank in KINDS.items():
            union = feature_union(filterbank, weights, verbose)
            if not features:
                features[kind] = union.fit_transform(X)
                continue
            first = next(iter(features.values()))
            features[kind] = first.copy()
            features[kind]["audio"] = union["audio"].fit_transform(X)
    return features


def _fit(
    kind: str,
    cell: str,
    weights: str | None,
    X: pd.DataFrame,
    y: NDArray[Any],
    groups: NDArray[Any],
) -> Pipeline:
    """Fit the features and the classifier of a cell of the table to all clips."""
    pipeline = Pipeline(
        [("features", feature_union(KINDS[kind], weights)), ("classifier", best_classifier(cell))]
    )
    with _quiet_about_weights():
        return pipeline.fit(X, y, classifier__groups=groups)


def predict_in_fresh_process(model: Path, clip: pd.DataFrame) -> dict[str, float]:
    """Return the probabilities that another process predicts from the files."""
    paths = clip[["audio", "video"]].iloc[0].tolist()
    run = subprocess.run(
        [sys.executable, "-c", _PREDICT, str(model), *paths],
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        raise RuntimeError(f"{model} could not be used in a fresh process:\n{run.stderr}")
    pairs = (line.rsplit(" ", 1) for line in run.stdout.splitlines())
    return {label: float(probability) for label, probability in pairs}


def _check_equal(
    fresh: dict[str, float], pipeline: Pipeline, clip: pd.DataFrame, model: Path
) -> None:
    """Raise if the model file predicts other probabilities than the pipeline that it holds."""
    here = dict(zip(pipeline.classes_, pipeline.predict_proba(clip)[0], strict=True))
    if any(here[label] != probability for label, probability in fresh.items()):
        raise RuntimeError(f"the reloaded {model} predicts {fresh}, this process {here}")


def say_probabilities(
    probabilities: dict[str, float], truth: str, say: Callable[[str], None]
) -> None:
    """Show the probabilities of a clip, the largest first, and which label is the true one."""
    for label, probability in sorted(probabilities.items(), key=lambda item: -item[1]):
        say(f"   {label:20} {probability:.3f}{'   <- true' if label == truth else ''}")


def _report(text: str, table: pd.DataFrame, best: str, weights: str | None) -> str:
    eyes = "untrained (random)" if weights is None else weights
    return f"""# Audio-visual scene classification of generated scenes

{N_SCENES} scenes, {N_LOCATIONS - 1} locations each, {CLIPS_PER_LOCATION} clips per location, \
{DURATION:g} s a clip; {N_FOLDS} folds with whole locations held out. Chance is \
{100 / N_SCENES:.0f} % accuracy and a log loss of {np.log(N_SCENES):.3f}.
Weights of VGG16: {eyes}.

```
{text}
```

95 % intervals of the accuracies (Wald, over {table["n_clips"].iloc[0]:.0f} clips):

| features | classifier | accuracy % | interval |
|---|---|---|---|
{_interval_rows(table)}

The best by log loss is {best}; it is in `model.skops`, fitted on all clips of the folds.
The scenes are drawn and synthesised: the figures show that the parts work together, and say
nothing of how well they do on recordings.
"""


def _interval_rows(table: pd.DataFrame) -> str:
    return "\n".join(
        f"| {row['features']} | {row['classifier']} | {100 * row['accuracy']:.1f} | "
        f"{100 * row['accuracy_low']:.1f} to {100 * row['accuracy_high']:.1f} |"
        for row in table.reset_index().to_dict("records")
    )

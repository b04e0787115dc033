"""The quick demonstration on rendered scenes: sound, picture and both, a report, a model."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from skavsc._full_demo import (
    DURATION,
    N_FOLDS,
    N_SCENES,
    predict_in_fresh_process,
    render_scenes,
    say_probabilities,
)
from skavsc.evaluation import SceneReport, cross_validate_scenes
from skavsc.persistence import save
from skavsc.recipes import LocationFolds, make_scene_classifier

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

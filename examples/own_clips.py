"""Measure a classifier of your own clips, train it, save it, and predict new files.

The folder holds one folder per label, with media files that have both sound and picture, or pairs
in ``audio/`` and ``video/``::

    clips/park/lake_1.mp4
    clips/park/lake_2.mp4
    clips/tram/line5_1.mp4
    ...

    python own_clips.py clips --duration 4 --predict new.mp4

Clips of one place must share the beginning of their names up to the last underscore
(``lake_1.mp4``, ``lake_2.mp4``), so that no place is in training and test at once. ``--groups``
sets another rule.
"""

import argparse

import pandas as pd

import skavsc

# Strengths that suit few recording locations, so that none has to be chosen by inner folds.
STRENGTHS = {"statistics": 0.01, "embeddings": 0.1}
SYSTEMS = {"sound": ["audio"], "picture": ["visual"], "sound and picture": ["audio", "visual"]}


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--recipe", choices=STRENGTHS, default="statistics")
    parser.add_argument("--groups", default=r"^(.*)_", help="finds the place in a clip's name")
    parser.add_argument("--duration", type=float, default=10.0, help="seconds of each clip")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--cache", default="skavsc-cache", help="where features are kept")
    parser.add_argument("--report", default="report.html", help="where the report is written")
    parser.add_argument("--model", default="model.skops", help="where the model is saved")
    parser.add_argument("--predict", nargs="*", default=[], help="new files")
    options = parser.parse_args()

    clips = skavsc.load_clip_folder(options.folder, groups=options.groups)
    n_places = len(set(clips.groups))
    print(f"{len(clips.X)} clips, {len(clips.target_names)} labels, {n_places} places")
    reports = {}
    for name, modalities in SYSTEMS.items():
        model = skavsc.make_scene_classifier(
            options.recipe,
            modalities=modalities,
            duration=options.duration,
            C=STRENGTHS[options.recipe],
            memory=options.cache,
            random_state=0,
        )
        reports[name] = skavsc.cross_validate_scenes(
            model, clips.X, clips.y, groups=clips.groups, cv=options.folds, name=name
        )
    rows = {name: report.summary().loc["clips"] for name, report in reports.items()}
    metrics = pd.DataFrame(rows).T[["accuracy", "macro_log_loss"]]
    print(metrics.round(3))
    reports["sound and picture"].to_html(options.report)

    # The last model, of both.
    model.fit(clips.X, clips.y, classifier__groups=clips.groups)
    measured = metrics.loc["sound and picture"].round(3).to_dict()
    skavsc.save(model, options.model, training={"metrics": measured})
    print(f"fitted on all clips: {options.model}; its report: {options.report}")
    if options.predict:
        labels = skavsc.load(options.model).predict(options.predict)
        for path, label in zip(options.predict, labels, strict=True):
            print(f"  {path}: {label}")


if __name__ == "__main__":
    main()

"""``skavsc features`` and ``skavsc complexity``: what goes into a classifier, and its size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd

from skavsc.cli._common import (
    clip_table,
    collected_failures,
    json_option,
    load_model,
    output_option,
    print_table,
    say,
)
from skavsc.cli._train import prepare, recipe_options


@click.command()
@recipe_options
@output_option("-o", "--output", required=True, help="The .npz or .npy file.")
@json_option
@click.pass_context
def features(ctx: click.Context, output: str, as_json: bool, **options: Any) -> None:
    """Compute the features of the labelled clips of DATA and write them to a file.

    OUTPUT.npz holds an array for each modality (audio, visual), label, group and clip. OUTPUT.npy
    holds the features alone, a field for each modality if there are two, and OUTPUT.csv beside it
    the clips: audio, video, label and group. Rows of clips that cannot be read are NaN.
    """
    path = Path(output)
    if path.suffix not in (".npz", ".npy"):
        raise click.BadParameter(
            f"{output!r} must end in .npz or .npy", ctx=ctx, param_hint="'-o' / '--output'"
        )
    with collected_failures() as failures:
        prepared = prepare(**options)
    found = prepared.features
    if found.dtype.names is None:
        arrays = {prepared.modalities[0]: found}
    else:
        arrays = {name: np.ascontiguousarray(found[name]) for name in found.dtype.names}
    # Without the metadata of the types, such as rates, which the files do not hold.
    arrays = {name: array.view(np.dtype(array.dtype.str)) for name, array in arrays.items()}
    X, y, groups = prepared.clips, prepared.y, prepared.groups
    if path.suffix == ".npz":
        files = X["audio"].fillna(X["video"]).to_numpy(dtype=str)
        columns: dict[str, Any] = {
            **arrays,
            "label": y.astype(str),
            "group": groups.astype(str),
            "clip": files,
        }
        np.savez(path, **columns)
    else:
        fields = [(name, array.dtype.str, array.shape[1:]) for name, array in arrays.items()]
        plain = np.empty(len(X), fields)
        for name, array in arrays.items():
            plain[name] = array
        np.save(path, plain if len(arrays) > 1 else plain[fields[0][0]])
        clips = path.with_suffix(".csv")
        X[["audio", "video"]].assign(label=y, group=groups).to_csv(clips, index=False)
        say(f"Clips: {clips}")
    rows = [
        {
            "features": name,
            "shape": " x ".join(map(str, array.shape)),
            "type": str(array.dtype),
            "missing": int(np.isnan(array.reshape(len(array), -1)).all(axis=1).sum()),
        }
        for name, array in arrays.items()
    ]
    print_table(pd.DataFrame(rows), as_json, index=False)
    failures.say()
    say(f"Features: {path}")


def _published() -> pd.DataFrame:
    from skavsc.evaluation import complexity_report
    from skavsc.networks import audio_network, fusion_network, visual_network

    networks: dict[str, Any] = {
        "audio": audio_network,
        "visual": visual_network,
        "fusion": fusion_network,
    }
    rows = {name: complexity_report(make()).loc["whole"] for name, make in networks.items()}
    return pd.DataFrame.from_dict(rows, orient="index")


@click.command()
@click.argument("model", required=False, type=click.Path(exists=True, dir_okay=False))
@click.argument("files", nargs=-1)
@click.option("--recipe", type=click.Choice(["published"]), help="The published networks.")
@json_option
def complexity(
    model: str | None, files: tuple[str, ...], recipe: str | None, as_json: bool
) -> None:
    """Count parameters and multiply-accumulates of MODEL, and time it on FILES if given.

    With --recipe published in place of MODEL it is the published table of complexity.
    """
    if (model is None) == (recipe is None):
        raise click.UsageError("give either a model file or --recipe published")
    if recipe is not None:
        table = _published()
    else:
        from skavsc.evaluation import complexity_report

        X = clip_table(files) if files else None
        with collected_failures() as failures:
            table = complexity_report(load_model(str(model)), X)
        failures.say()
    counts = ["parameters", "trainable_parameters", "bytes"]
    table[counts] = table[counts].astype("int64")
    table["multiply_accumulates"] = table["multiply_accumulates"].round().astype("Int64")
    print_table(table.rename_axis("module"), as_json)

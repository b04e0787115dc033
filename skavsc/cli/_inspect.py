"""``skavsc models`` and ``skavsc check``."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import tempfile
from pathlib import Path

import click
import numpy as np
import pandas as pd

import skavsc
from skavsc.cli._common import json_option, print_table
from skavsc.pretrained import REGISTRY, describe, installed_runtimes, open_file

_PACKAGES = (
    "numpy", "scikit-learn", "keras", "tensorflow", "librosa", "av", "opencv-python-headless",
    "soundfile", "onnxruntime", "ai-edge-litert", "MNN", "jax", "torch",
)  # fmt: skip
_UNITS = ("amx_bf16", "avx512_bf16", "avx512f", "avx2")


@click.command()
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False))
@json_option
def models(file: str | None, as_json: bool) -> None:
    """List the frozen networks known by name, or show what a model FILE takes and gives."""
    if file is not None:
        network = open_file(file)
        rows = [{"what": "input", "tensor": describe(network.input)}]
        rows += [{"what": "output", "tensor": describe(tensor)} for tensor in network.outputs]
        rows.append({"what": "sha256", "tensor": network.digest})
        print_table(pd.DataFrame(rows), as_json, index=False)
        return
    table = pd.DataFrame(
        [
            {
                "name": name,
                "modality": model.modality,
                "licence": model.licence,
                "fetched": "yes" if any(known.url for known in model.files) else "no address",
                "source": model.source,
            }
            for name, model in REGISTRY.items()
        ]
    )
    print_table(table, as_json, index=False)


def _self_test() -> str:
    """Render a clip, decode it, and compute its features."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        frames = np.full((10, 48, 64, 3), 128, dtype=np.uint8)
        sound = 0.1 * np.sin(np.arange(48_000) / 10)[None]
        skavsc.media.write_clip(path, frames, 10, sound=sound)
        X = pd.DataFrame({"audio": [str(path)], "video": [str(path)]})
        heard = skavsc.GammatoneMelTransformer(duration=1.0).fit_transform(X)
        seen = np.asarray(skavsc.VideoFrameSampler(duration=1.0).fit_transform(X)[0])
    return f"sound {heard.shape[1:]}, picture {seen.shape}"


@click.command()
@json_option
def check(as_json: bool) -> None:
    """Show what works here: versions, runtimes, processor, and a one-clip self-test."""
    rows = [("skavsc", skavsc.__version__), ("Python", platform.python_version())]
    for name in _PACKAGES:
        try:
            rows.append((name, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            rows.append((name, "not installed"))
    rows.append(("Keras backend", os.environ.get("KERAS_BACKEND", "tensorflow")))
    rows.append(("runtimes", ", ".join(installed_runtimes())))
    rows.append(("processors", str(os.cpu_count())))
    info = Path("/proc/cpuinfo")
    flags = set(info.read_text(encoding="utf-8").split()) if info.exists() else set()
    rows.append(("units", ", ".join(unit for unit in _UNITS if unit in flags) or "not known"))
    rows.append(("self-test", _self_test()))
    print_table(pd.DataFrame(rows, columns=["what", "found"]), as_json, index=False)

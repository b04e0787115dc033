"""``skavsc check``: what works on this machine."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
import click
import numpy as np
import pandas as pd

import skavsc
from skavsc.cli._common import json_option, print_table
from skavsc.pretrained import REGISTRY, cache_folder, installed_runtimes

_PACKAGES = (
    "numpy", "scikit-learn", "keras", "tensorflow", "jax", "torch", "librosa", "av",
    "opencv-python-headless", "soundfile", "onnxruntime", "ai-edge-litert", "MNN", "jinja2",
    "matplotlib",
)  # fmt: skip
_UNITS = ("amx_bf16", "avx512_bf16", "avx512f", "avx2")
_CODECS = (
    "h264", "hevc", "vp8", "vp9", "av1", "mpeg2video", "mpeg4", "prores", "mjpeg",
    "aac", "ac3", "alac", "flac", "mp3", "opus", "vorbis",
)  # fmt: skip


def _versions() -> list[tuple[str, str]]:
    rows = [("skavsc", skavsc.__version__), ("Python", platform.python_version())]
    for name in _PACKAGES:
        try:
            rows.append((name, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            rows.append((name, "not installed"))
    return rows


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    flags = set(info.read_text(encoding="utf-8").split()) if info.exists() else set()
    units = [unit for unit in _UNITS if unit in flags]
    return f"{os.cpu_count()} of {platform.machine()}; {', '.join(units) or 'units not known'}"


def _codecs() -> str:
    missing = [name for name in _CODECS if not _is_decoded(name)]
    libraries = ".".join(map(str, av.library_versions["libavcodec"]))
    found = "all usual ones" if not missing else f"all usual ones but {', '.join(missing)}"
    return f"{found} (libavcodec {libraries})"


def _is_decoded(codec: str) -> bool:
    try:
        av.codec.Codec(codec, "r")
    except av.codec.codec.UnknownCodecError:
        return False
    return True


def _weights() -> str:
    folder = cache_folder("weights")
    here = [
        name
        for name, model in REGISTRY.items()
        if any((folder / file.name).is_file() for file in model.files)
    ]
    return f"{', '.join(here) or 'none'} in {folder}"


def _self_test() -> str:
    """Render a clip, decode it, compute its features, train on them and predict it."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        frames = np.full((10, 48, 64, 3), 128, dtype=np.uint8)
        sound = 0.1 * np.sin(np.arange(48_000) / 10)[None]
        skavsc.media.write_clip(path, frames, 10, sound=sound)
        X = pd.DataFrame({"audio": [str(path)] * 4, "video": [str(path)] * 4})
        model = skavsc.make_scene_classifier("statistics", duration=1.0, C=1.0)
        probabilities = model.fit(X, ["a", "b"] * 2).predict_proba(X[:1])
    if not np.allclose(probabilities, 0.5, atol=1e-3):
        raise RuntimeError(f"equal clips of two scenes have the probabilities {probabilities}")
    return f"written, decoded, trained on and predicted in {time.perf_counter() - started:.1f} s"


_PARTS: dict[str, Callable[[], str]] = {
    "processors": _processor,
    "codecs": _codecs,
    "runtimes": lambda: ", ".join(installed_runtimes()),
    "Keras backend": lambda: os.environ.get("KERAS_BACKEND", "tensorflow"),
    "weights": _weights,
    "self-test": _self_test,
}


@click.command()
@json_option
def check(as_json: bool) -> None:
    """Show what works here: versions, processor, codecs, runtimes, weights, and a self-test.

    The exit status is 1 if something does not work.
    """
    rows = _versions()
    failed = []
    for name, part in _PARTS.items():
        try:
            rows.append((name, part()))
        except Exception as error:  # whatever it is, the others are to be seen too
            rows.append((name, f"failed: {type(error).__name__}: {error}"))
            failed.append(name)
    print_table(pd.DataFrame(rows, columns=["what", "found"]), as_json, index=False)
    if failed:
        raise click.ClickException(f"failed: {', '.join(failed)}")

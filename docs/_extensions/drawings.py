"""Drawings that are made from the code: the rooms, the published framework."""

from __future__ import annotations

import tomllib
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
from matplotlib.patches import FancyBboxPatch

HERE = Path(__file__).resolve().parents[1]
ROOT = HERE.parent
GENERATED = HERE / "_generated"


def _box(axes, x, y, width, height, text, colour):
    axes.add_patch(
        FancyBboxPatch(
            (x, y),
            width,
            height,
            boxstyle="round,pad=0.02,rounding_size=0.08",
            facecolor=colour,
            edgecolor="#334155",
            linewidth=1,
        )
    )
    axes.text(x + width / 2, y + height / 2, text, ha="center", va="center", fontsize=9)


def _arrow(axes, start, end):
    axes.annotate(
        "", xy=end, xytext=start, arrowprops={"arrowstyle": "->", "color": "#475569", "lw": 1.1}
    )


def draw_rooms(path: Path) -> None:
    """Draw the layers of the import contract, the highest room on top."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = contracts["tool"]["importlinter"]["contracts"]
    layers = next(c["layers"] for c in contracts if c["type"] == "layers")
    figure, axes = plt.subplots(figsize=(6.4, 0.52 * len(layers)))
    for number, layer in enumerate(layers):
        rooms = [name.strip().removeprefix("skavsc.") for name in layer.split("|")]
        width = 6 / len(rooms)
        y = len(layers) - number
        for place, room in enumerate(rooms):
            _box(axes, place * width, y, width - 0.1, 0.6, room, "#e0f2fe")
        if number:
            _arrow(axes, (3, y + 1), (3, y + 0.62))
    axes.set(xlim=(-0.2, 6.2), ylim=(0.8, len(layers) + 0.9))
    axes.axis("off")
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)


def draw_framework(path: Path) -> None:
    """Draw the published framework: two subnetworks, early and late fusion."""
    figure, axes = plt.subplots(figsize=(9.5, 4.6))
    sound, picture, joined, result = "#fef3c7", "#dcfce7", "#e0e7ff", "#fce7f3"
    rows = {"audio": 3.2, "visual": 0.4}
    _box(axes, -0.3, rows["audio"], 1.8, 0.8, "sound, 1 s\n(64, 50, 3)", sound)
    _box(axes, 2, rows["audio"], 2.2, 0.8, "3 scSE blocks\n(64, 12, 128)", sound)
    _box(axes, 8, rows["audio"], 1.6, 0.8, "audio\nsoftmax", sound)
    _box(axes, -0.5, rows["visual"], 2.0, 0.8, "5 frames\n(5, 224, 224, 3)", picture)
    _box(axes, 2, rows["visual"], 2.2, 0.8, "VGG16-Places365,\naverage: (5, 512)", picture)
    _box(axes, 5, rows["visual"], 2.2, 0.8, "BiGRU 32 + 32,\nsoftmax per frame", picture)
    _box(axes, 8, rows["visual"], 1.6, 0.8, "visual\nsoftmax", picture)
    _box(axes, 2.3, 1.8, 1.9, 0.8, "concatenated\n(5, 640)", joined)
    _box(axes, 5, 1.8, 2.2, 0.8, "BiGRU 64 + 64,\naverage over time", joined)
    _box(axes, 8, 1.8, 1.6, 0.8, "early fusion\nsoftmax", joined)
    _box(axes, 10.4, 1.8, 2.4, 0.8, "late fusion\nDense(10), softmax", result)
    _arrow(axes, (1.55, 3.6), (1.95, 3.6))
    _arrow(axes, (4.25, 3.6), (7.95, 3.6))
    axes.text(6.1, 3.68, "global average", ha="center", fontsize=8)
    _arrow(axes, (3.2, 3.15), (3.2, 2.65))
    axes.text(3.3, 2.85, "mean over bands,\npooled to (5, 128)", fontsize=7.5, va="center")
    _arrow(axes, (1.55, 0.8), (1.95, 0.8))
    _arrow(axes, (4.25, 0.8), (4.95, 0.8))
    _arrow(axes, (7.25, 0.8), (7.95, 0.8))
    axes.text(7.6, 0.9, "mean", ha="center", fontsize=8)
    _arrow(axes, (3.2, 1.25), (3.2, 1.75))
    _arrow(axes, (4.25, 2.2), (4.95, 2.2))
    _arrow(axes, (7.25, 2.2), (7.95, 2.2))
    for y in (3.6, 2.2, 0.8):
        _arrow(axes, (9.65, y), (10.35, 2.2))
    axes.set(xlim=(-0.6, 13.0), ylim=(0.1, 4.3))
    axes.axis("off")
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)


def draw_all(*_: object) -> None:
    """Draw before Sphinx looks for its sources."""
    GENERATED.mkdir(exist_ok=True)
    with matplotlib.rc_context({"svg.hashsalt": "skavsc", "svg.fonttype": "path"}):
        draw_rooms(GENERATED / "rooms.svg")
        draw_framework(GENERATED / "framework.svg")


def setup(app):
    """Register with Sphinx."""
    app.connect("config-inited", draw_all)
    return {"parallel_read_safe": True}

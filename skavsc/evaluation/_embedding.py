"""Media and plots as text inside an HTML file."""

from __future__ import annotations

import base64
import io
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from skavsc.evaluation._clip_displays import frame_strip
from skavsc.media import read_sound, write_clip

# Long enough to tell a scene by, short enough for a page of dozens.
MAX_SECONDS = 10.0
N_FRAMES = 3
STRIP_HEIGHT = 110

# A colour that no plot uses, which becomes that of the text of the page.
_TEXT_COLOUR = "#010203"


def data_uri(data: bytes, kind: str) -> str:
    """Return data as an address that holds it."""
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def embedded_sound(path: Any) -> str:
    """Return the first seconds of a sound file or track as an MP3 data URI.

    Parameters
    ----------
    path : path-like
        The sound or video file.

    Returns
    -------
    str
        The data URI: mono, at most 10 s.

    Raises
    ------
    MediaError
        If the sound cannot be read.
    """
    sound, rate = read_sound(path, sample_rate=32_000, duration=MAX_SECONDS)
    mono = np.clip(sound.mean(axis=0), -1, 1)
    with tempfile.TemporaryDirectory() as folder:
        file = write_clip(
            Path(folder) / "sound.mp3", sound=mono, rate=rate, sound_codec="libmp3lame"
        )
        return data_uri(file.read_bytes(), "audio/mpeg")


class Strip(NamedTuple):
    """A strip of frames as a data URI, and its width and height in pixels."""

    uri: str
    size: tuple[int, int]


def embedded_frames(path: Any) -> Strip:
    """Return frames of a video side by side as a JPEG data URI.

    Parameters
    ----------
    path : path-like
        The video.

    Returns
    -------
    Strip
        At most three frames.

    Raises
    ------
    MediaError
        If the picture cannot be read.
    """
    from PIL import Image

    strip = np.concatenate(list(frame_strip(path, N_FRAMES, STRIP_HEIGHT)), axis=1)
    buffer = io.BytesIO()
    Image.fromarray(strip).save(buffer, "JPEG", quality=80)
    return Strip(data_uri(buffer.getvalue(), "image/jpeg"), (strip.shape[1], strip.shape[0]))


class Plot(NamedTuple):
    """A plot as SVG, and what stands beneath it."""

    svg: Any
    caption: str


def embedded_plot(
    name: str,
    draw: Callable[[Any], Any],
    caption: str,
    description: str,
    size: tuple[float, float],
) -> Plot:
    """Return a plot as SVG in the colours of the page.

    Parameters
    ----------
    name : str
        The name of the plot in the page, which begins the names of all its parts.
    draw : callable
        Draws in the matplotlib axes that it is given.
    caption : str
        The text beneath.
    description : str
        The text for those who do not see it.
    size : tuple of (float, float)
        Width and height in inches.

    Returns
    -------
    Plot
        The plot.
    """
    import matplotlib as mpl
    from markupsafe import Markup, escape
    from matplotlib.figure import Figure

    dark = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
    settings = {
        # Labels of classes are no formulas, and text stays text.
        "text.parse_math": False,
        "svg.fonttype": "none",
        # The same plot gets the same text.
        "svg.hashsalt": name,
        "font.family": "sans-serif",
        "font.size": 10,
        **dict.fromkeys(dark, _TEXT_COLOUR),
        **dict.fromkeys(("figure.facecolor", "axes.facecolor", "legend.facecolor"), "none"),
    }
    with mpl.rc_context(settings):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.subplots())
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    # Without the prologue of a file of its own, and with a name for screen readers.
    svg = svg[svg.index("<svg") :].replace(_TEXT_COLOUR, "currentColor")
    svg = svg.replace("stroke: #000000", "stroke: currentColor")
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<svg ([^>]*?) width="[^"]*"', r"<svg \1", svg, count=1)
    svg = re.sub(r'<svg ([^>]*?)height="[^"]*" ', r"<svg \1", svg, count=1)
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    named = f'<svg role="img" aria-label="{escape(description)}" '
    return Plot(Markup(svg.replace("<svg ", named, 1)), caption)

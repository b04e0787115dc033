"""Decoding of picture: the frames that a clip shows at regular instants, in one pass."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, BinaryIO

import av
import cv2
import joblib
import numpy as np
from numpy.typing import NDArray

from skavsc.exceptions import MediaError
from skavsc.media._file import open_media
from skavsc.media._timeline import Timeline, UnusablePictureError, picture_stream, read_packets

Image = NDArray[np.uint8]

INTERPOLATIONS = {
    "nearest": cv2.INTER_NEAREST,
    "linear": cv2.INTER_LINEAR,
    "cubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
    "lanczos4": cv2.INTER_LANCZOS4,
}

_ROTATIONS = {
    90: cv2.ROTATE_90_COUNTERCLOCKWISE,
    180: cv2.ROTATE_180,
    270: cv2.ROTATE_90_CLOCKWISE,
}


def resize_image(image: Image, size: tuple[int, int] | None, interpolation: str) -> Image:
    """Resize one image to (height, width), or leave it as it is."""
    if size is None or image.shape[:2] == size:
        return image
    return cv2.resize(image, size[::-1], interpolation=INTERPOLATIONS[interpolation])


def _decoded(
    stream: Any, packets: list[Any], timeline: Timeline, needed: set[int]
) -> Iterator[Any]:
    """Decode in order, leaving out the work for frames that neither we nor others need."""
    context = stream.codec_context
    # That many frames are decoded side by side. Only about one in four frames of usual streams
    # takes long, so that fewer threads would leave cores idle.
    context.thread_count = min(4 * joblib.cpu_count(), 16)
    context.thread_type = "AUTO"
    # In H.264 the frames left out are exactly those that no other frame is predicted from.
    may_skip = context.name == "h264" and not timeline.numbered
    for packet in packets:
        if may_skip:
            context.skip_frame = "DEFAULT" if packet.pts in needed else "NONREF"
        yield from context.decode(packet)
    yield from context.decode(None)


def _to_rgb(frame: Any, size: tuple[int, int] | None, interpolation: str) -> Image:
    # This conversion and its order (to BGR, turn, resize) give OpenCV's pixels exactly.
    image = frame.to_ndarray(format="bgr24", interpolation="BICUBIC")
    turn = frame.rotation % 360
    if turn in _ROTATIONS:
        image = cv2.rotate(image, _ROTATIONS[turn])
    return cv2.cvtColor(resize_image(image, size, interpolation), cv2.COLOR_BGR2RGB)


def _shown(
    frames: Iterator[Any], timeline: Timeline, instants: NDArray[np.float64]
) -> Iterator[tuple[Any, int]]:
    """Give the frames on show at the instants, in order, and at how many instants each is."""
    done = 0
    last: Any = None
    for number, frame in enumerate(frames):
        begins = timeline.time(frame, number) - timeline.tolerance
        count = int(np.searchsorted(instants, begins)) - done
        if last is not None and count > 0:
            yield last, count
            done += count
        if done == len(instants):
            return
        last = frame
    if last is not None:
        yield last, len(instants) - done


def _read(
    file: BinaryIO,
    fps: float,
    duration: float | None,
    size: tuple[int, int] | None,
    interpolation: str,
) -> Image:
    wanted = None if duration is None else max(round(fps * duration), 1)
    horizon = np.inf if wanted is None else wanted / fps
    # Playlists must not make FFmpeg open other files or addresses.
    options = {"protocol_whitelist": "none"}
    with av.open(file, options=options, metadata_errors="replace") as container:
        stream = picture_stream(container)
        packets, more = read_packets(container, stream, horizon)
        timeline = Timeline(container, stream, packets, more)
        instants = timeline.instants(fps, wanted)
        frames = _decoded(stream, packets, timeline, timeline.needed(instants))
        images: list[Image] = []
        for frame, count in _shown(frames, timeline, instants):
            images += [_to_rgb(frame, size, interpolation)] * count
    if not images:
        raise UnusablePictureError("no frame of the video stream can be decoded")
    if len({image.shape for image in images}) > 1:
        raise UnusablePictureError("the frames change size on the way; give size= to resize them")
    return np.stack(images)


def read_frames(
    path: str | os.PathLike[str],
    *,
    fps: float = 5.0,
    duration: float | None = None,
    size: int | tuple[int, int] | None = None,
    interpolation: str = "linear",
) -> Image:
    """Read the frames that a video shows at regular instants.

    Frame i is the picture on show at i / fps seconds: the last frame whose time stamp is at
    most that (a frame is shown from its time stamp, inclusive, to the next one's, exclusive).
    Time stamps count from the beginning of the file's earliest stream, so that sound and
    picture share one clock. They are taken as the file gives them, whatever the frame rate
    does; up to half their unit (at most 0.5 ms) they may be late, because files round them.
    Before the first frame of a picture that starts after the sound, that first frame counts.

    Parameters
    ----------
    path : path-like
        A file of any container and codec that FFmpeg reads. Of several video streams it is the
        one that players choose; cover art does not count.
    fps : float, default=5.0
        Frames a second to take, greater than 0. More than the file's own repeats frames.
    duration : float, optional
        How many seconds to read from the beginning, greater than 0: at most
        ``round(fps * duration)`` frames. None reads to the end.
    size : int or tuple of (int, int), optional
        Height and width in pixels to resize to; the aspect ratio is not kept. One number makes
        a square. None keeps the size of the video.
    interpolation : {"nearest", "linear", "cubic", "area", "lanczos4"}, default="linear"
        How to resize, by OpenCV's names.

    Returns
    -------
    ndarray of shape (n_frames, height, width, 3), uint8
        RGB. A video that ends before ``duration`` gives fewer frames, at least 1. Rotation
        metadata is applied.

    Raises
    ------
    MediaNotFoundError
        If there is no such file.
    MediaError
        If it is empty, damaged, truncated, no media file, has no video stream, or changes
        while it is read.
    ValueError
        If a parameter is out of its range.

    Notes
    -----
    Pixels equal those of ``cv2.VideoCapture`` and ``cv2.resize``. The file is read once, in
    order; frames that neither are shown at an instant nor help to predict others are not
    decoded, and only those that are shown are converted.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from skavsc.media import read_frames, write_clip
    >>> red = np.zeros((20, 48, 64, 3), dtype=np.uint8)
    >>> red[..., 0] = 255
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_clip(os.path.join(folder, "red.mp4"), red, fps=10)
    ...     frames = read_frames(path, fps=5, size=32)
    >>> frames.shape, bool((frames[..., 0] > 200).all())
    ((10, 32, 32, 3), True)
    """
    for name, value in (("fps", fps), ("duration", duration)):
        if value is not None and not (value > 0 and np.isfinite(value)):
            raise ValueError(f"{name} must be greater than 0 and finite, got {value!r}")
    if interpolation not in INTERPOLATIONS:
        raise ValueError(
            f"interpolation={interpolation!r} is unknown; use one of {sorted(INTERPOLATIONS)}"
        )
    shape = (size, size) if isinstance(size, int | np.integer) else size
    if shape is not None and (len(shape) != 2 or min(shape) < 1):
        raise ValueError(f"size must be a height and a width of at least 1, got {size!r}")
    try:
        with open_media(path) as file:
            return _read(file, fps, duration, shape, interpolation)
    except UnusablePictureError as error:
        cause: str = str(error)
    except MemoryError:
        cause = "the frames do not fit into memory; give duration= or size="
    except av.error.FFmpegError as error:
        reason = error.strerror or error
        cause = f"not a video file, or a damaged one (FFmpeg: {reason})"
    raise MediaError(path, "read picture", cause)

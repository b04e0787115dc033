"""Decoding of picture: the frames that a clip shows at regular instants, in one pass."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import cv2
import joblib
import numpy as np
from numpy.typing import NDArray

from skavsc.media._clock import Clock, Timeline, read_packets
from skavsc.media._damage import Damage, warn_of_damage
from skavsc.media._file import (
    Deadline,
    NoTrackError,
    UnusableError,
    check_positive,
    choose_streams,
    media_errors,
    open_container,
    open_media,
)

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Reading:
    """Which frames to read, and how; the attributes are the parameters of ``read_frames``."""

    fps: float
    duration: float | None
    size: tuple[int, int] | None
    interpolation: str
    max_pixels: int
    max_span: float

    @property
    def n_frames(self) -> int | None:
        """Largest number of frames to read."""
        return None if self.duration is None else max(round(self.fps * self.duration), 1)


#: Name -> flag of OpenCV: how images can be resized.
INTERPOLATIONS = {
    "nearest": cv2.INTER_NEAREST,
    "linear": cv2.INTER_LINEAR,
    "cubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
    "lanczos4": cv2.INTER_LANCZOS4,
}


def resize_image(image: Image, size: tuple[int, int] | None, interpolation: str) -> Image:
    """Resize one image to (height, width), or leave it as it is.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), uint8
        The image.
    size : tuple of (height, width) or None
        The size wanted, in pixels; None keeps that of the image.
    interpolation : str
        One of ``INTERPOLATIONS``.

    Returns
    -------
    ndarray of shape (height, width, 3), uint8
        The image in that size.

    Examples
    --------
    >>> import numpy as np
    >>> from skavsc.media import resize_image
    >>> image = np.zeros((240, 320, 3), dtype=np.uint8)
    >>> resize_image(image, (224, 224), "area").shape
    (224, 224, 3)
    """
    if size is None or image.shape[:2] == size:
        return image
    return cv2.resize(image, size[::-1], interpolation=INTERPOLATIONS[interpolation])


def display_matrix(frame: Any) -> NDArray[np.int32] | None:
    """Return the 2 x 2 part of a frame's display matrix, which maps pixels (x, y) as rows."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return None
    matrix: NDArray[np.int32] = np.frombuffer(bytes(data), dtype=np.int32)
    return matrix.reshape(3, 3)[:2, :2]


def orient(image: Image, matrix: NDArray[np.int32] | None) -> Image:
    """Turn and mirror an image by its display matrix; angles between are left alone."""
    if matrix is None:
        return image
    (xx, xy), (yx, yy) = matrix.tolist()
    if xx == yy == 0 and xy and yx:
        image = image.transpose(1, 0, 2)
        flip_x, flip_y = yx < 0, xy < 0
    elif xy == yx == 0 and xx and yy:
        flip_x, flip_y = xx < 0, yy < 0
    else:
        return image
    return np.ascontiguousarray(image[:: -1 if flip_y else 1, :: -1 if flip_x else 1])


def decode_frames(
    stream: Any, packets: Iterable[Any], timeline: Timeline, needed: set[int], damage: Damage
) -> Iterator[Any]:
    """Decode in order, leaving out the work for frames that neither we nor others need."""
    context = stream.codec_context
    # In H.264 the frames left out are exactly those that no other frame is predicted from.
    may_skip = context.name == "h264" and not timeline.counted
    for packet in packets:
        if may_skip:
            context.skip_frame = "DEFAULT" if packet.pts in needed else "NONREF"
        yield from damage.decode(context, packet)
    yield from damage.decode(context, None)


def to_rgb(frame: Any, size: tuple[int, int] | None, interpolation: str) -> Image:
    """Convert a decoded frame to an RGB array, upright and resized."""
    # This conversion and its order (to BGR, turn, resize) give OpenCV's pixels exactly. Meanwhile
    # decoders use the other cores.
    image = frame.to_ndarray(format="bgr24", interpolation="BICUBIC", threads=1)
    image = orient(image, display_matrix(frame))
    return cv2.cvtColor(resize_image(image, size, interpolation), cv2.COLOR_BGR2RGB)


def on_show(
    frames: Iterator[Any], timeline: Timeline, instants: NDArray[np.float64]
) -> Iterator[tuple[Any, int]]:
    """Yield the frames that are shown at the instants, in order, and at how many each is shown."""
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


@contextlib.contextmanager
def open_picture(
    file: BinaryIO, how: Reading, deadline: Deadline, n_threads: int
) -> Iterator[tuple[Any, Clock]]:
    """Open the video stream of a file; yield the stream and the clock of the file."""
    # Decoders round sizes up to whole blocks.
    options = {"max_pixels": str(how.max_pixels + how.max_pixels // 20)}
    with open_container(file, deadline, **options) as container:
        stream, sound = choose_streams(container)
        if stream is None:
            raise NoTrackError("the file has no video stream")
        context = stream.codec_context
        if context is None:
            raise UnusableError("there is no decoder for the video stream")
        if context.width * context.height > how.max_pixels:
            raise UnusableError(
                f"its frames have {context.width} x {context.height} pixels, more than "
                f"max_pixels={how.max_pixels}; raise it if they are real"
            )
        context.options = options  # frames may grow on the way
        context.thread_count, context.thread_type = n_threads, "AUTO"
        yield stream, Clock(container, stream, sound)


def no_images(how: Reading, width: int) -> UnusableError:
    """Return the error of a stream without any frame; its announced width tells why."""
    # FFmpeg forgets a size beyond the limit.
    if not width:
        return UnusableError(
            f"its frames have more than max_pixels={how.max_pixels} pixels, or no size; raise "
            "it if they are real"
        )
    return UnusableError("no frame of the video stream can be decoded")


def _read(
    file: BinaryIO, how: Reading, deadline: Deadline, n_threads: int
) -> tuple[list[Image], Damage]:
    damage = Damage()
    wanted = how.n_frames
    horizon = np.inf if wanted is None else wanted / how.fps
    images: list[Image] = []
    with open_picture(file, how, deadline, n_threads) as (stream, clock):
        width = stream.codec_context.width
        packets, more = read_packets(clock, clock.packets(deadline, damage), horizon)
        timeline = Timeline(clock, packets, more, how.max_span)
        instants = timeline.instants(how.fps, wanted)
        needed = timeline.needed(instants)
        frames = decode_frames(stream, packets, timeline, needed, damage)
        for frame, count in on_show(frames, timeline, instants):
            deadline.check()
            images += [to_rgb(frame, how.size, how.interpolation)] * count
    if not images and not width:
        raise no_images(how, width)
    return images, damage


def checked_reading(
    fps: float,
    duration: float | None,
    size: int | tuple[int, int] | None,
    interpolation: str,
    max_pixels: int,
    max_span: float,
    time_limit: float,
) -> Reading:
    """Return how to read, or raise ValueError if a parameter is out of its range."""
    check_positive(
        optional=("duration",),
        fps=fps,
        duration=duration,
        max_pixels=max_pixels,
        max_span=max_span,
        time_limit=time_limit,
    )
    if interpolation not in INTERPOLATIONS:
        raise ValueError(
            f"interpolation={interpolation!r} is unknown; use one of {sorted(INTERPOLATIONS)}"
        )
    shape = (size, size) if isinstance(size, int | np.integer) else size
    if shape is not None and (len(shape) != 2 or min(shape) < 1):
        raise ValueError(f"size must be a height and a width of at least 1, got {size!r}")
    return Reading(fps, duration, shape, interpolation, int(max_pixels), max_span)


def n_decoders() -> int:
    """Return how many frames are decoded side by side."""
    # Only about one in four frames of usual streams takes long, and frames wait for those that they
    # are predicted from, so that fewer threads would leave cores idle.
    return min(8 * joblib.cpu_count(), 16)


def read_frames(
    path: str | os.PathLike[str],
    *,
    fps: float = 5.0,
    duration: float | None = None,
    size: int | tuple[int, int] | None = None,
    interpolation: str = "linear",
    max_pixels: int = 1 << 26,
    max_span: float = 86_400.0,
    time_limit: float = 600.0,
) -> Image:
    """Read the frames that a video shows at regular instants.

    Frame i is the picture that is shown at i / fps seconds: the last frame whose time stamp is at
    most that (a frame is shown from its time stamp, inclusive, to the next one's, exclusive).
    Time stamps count from where the earlier of picture and sound begins, so that they share
    one clock. They are taken as the file gives them, whatever the frame rate
    does; up to half their unit (at most 0.5 ms) they may be late, because files round them.
    Before the first frame of a picture that starts after the sound, that first frame counts.
    The parts of joined files follow one another.

    Parameters
    ----------
    path : path-like
        A file of any container and codec that FFmpeg reads. Of several video streams it is the
        one that players choose; cover art does not count. The length that a file announces is
        not relied on.
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
    max_pixels : int, default=67_108_864
        Largest number of pixels of a frame, greater than 0: by default 8192 x 8192.
    max_span : float, default=86_400.0
        Longest time between the first and the last frame, in seconds, greater than 0.
    time_limit : float, default=600.0
        Longest time to spend on the file, in seconds, greater than 0.

    Returns
    -------
    ndarray of shape (n_frames, height, width, 3), uint8
        RGB. A video that ends before ``duration`` gives fewer frames, at least 1. Metadata that
        turn the picture by multiples of 90 degrees, or mirror it, are applied.

    Raises
    ------
    MediaNotFoundError
        If there is no such file.
    MissingTrackError
        If it has no video stream.
    MediaError
        If it is empty, no media file, has no frame that can be decoded, or
        changes while it is read; if more than a tenth of the packets between the first and the
        last good one cannot be decoded; or if a limit is exceeded.
    ValueError
        If a parameter is out of its range.

    Warns
    -----
    DamagedMediaWarning
        If the file is cut off, or packets cannot be decoded. What is there is returned: fewer
        frames if the end is missing; in place of what is lost, the frame before stays on show.

    Notes
    -----
    Pixels equal those of ``cv2.VideoCapture`` and ``cv2.resize``. The file is read once, in
    order; frames that neither are shown at an instant nor help to predict others are not
    decoded, and only those that are shown are converted. ``read_sound`` says which files are
    known to be cut off.

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
    how = checked_reading(fps, duration, size, interpolation, max_pixels, max_span, time_limit)
    deadline = Deadline(time_limit)
    with media_errors(path, "read picture"), open_media(path) as file:
        images, damage = _read(file, how, deadline, n_decoders())
        if damage.found:
            # Frames that are decoded beside a damaged one get lost with it.
            images, damage = _read(file, how, deadline, 1)
        damage.check()
        if not images:
            raise no_images(how, 1)
        if len({image.shape for image in images}) > 1:
            raise UnusableError("the frames change size on the way; give size= to resize them")
        missing = damage.describe(file, complete=len(images) == how.n_frames)
        frames = np.stack(images)
    warn_of_damage(path, "read picture", missing)
    return frames

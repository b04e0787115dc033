"""Writing clips: frames and samples to a file with H.264 picture and AAC sound."""

from __future__ import annotations

import contextlib
import heapq
import os
import tempfile
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain, count
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import ArrayLike, NDArray

from skavsc.exceptions import MediaError

# The clock of frames with times of their own.
_TICKS = 90_000
_LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "quad", 5: "5.0", 6: "5.1", 8: "7.1"}


def _checked_frame(frame: ArrayLike, size: tuple[int, int], number: int) -> NDArray[np.uint8]:
    array = np.asarray(frame)
    if array.dtype != np.uint8 or array.shape != (*size, 3):
        raise ValueError(
            f"frames[{number}] is {array.dtype} of shape {array.shape}; every frame must be "
            f"uint8 RGB of the first one's shape {(*size, 3)}"
        )
    return np.ascontiguousarray(array)


def _check_size(size: tuple[int, int], pixel_format: str) -> None:
    if "420" in pixel_format and (size[0] % 2 or size[1] % 2):
        raise ValueError(
            f"frames are {size[1]} x {size[0]} pixels, and pixel_format={pixel_format!r} needs "
            f"an even width and height; crop or pad by one pixel, or set pixel_format='yuv444p'"
        )


def _checked_sound(sound: ArrayLike) -> NDArray[np.float32]:
    array = np.atleast_2d(np.asarray(sound))
    if array.ndim != 2 or array.shape[0] not in _LAYOUTS or not array.size:
        raise ValueError(
            f"sound has shape {np.shape(sound)}; it must be (samples,) or (channels, samples) "
            f"with {sorted(_LAYOUTS)} channels, at least one sample"
        )
    if array.dtype.kind != "f":
        raise ValueError(f"sound is {array.dtype}; convert it to floats in [-1, 1]")
    peak = np.abs(array).max()
    if not peak <= 1:
        raise ValueError(f"sound must be finite and within [-1, 1], but its peak is {peak:g}")
    return np.ascontiguousarray(array, dtype=np.float32)


def _ticks(times: ArrayLike) -> Iterator[int]:
    last = -1
    for time in np.asarray(times, dtype=np.float64):
        tick = round(float(time) * _TICKS)
        if tick <= last:
            raise ValueError(f"times must be at least 0 and increasing, but {time:g} is not")
        last = tick
        yield tick


def _picture_packets(
    stream: Any, frames: Iterator[ArrayLike], size: tuple[int, int], ticks: Iterator[int]
) -> Iterator[Any]:
    clock = stream.codec_context.time_base
    for number, image in enumerate(frames):
        tick = next(ticks, None)
        if tick is None:
            raise ValueError(f"there are more frames than times ({number}); give each its time")
        frame = av.VideoFrame.from_ndarray(_checked_frame(image, size, number), format="rgb24")
        frame.pts = tick
        frame.time_base = clock
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _sound_packets(stream: Any, sound: NDArray[np.float32], rate: int) -> Iterator[Any]:
    block = 1 << 14
    for start in range(0, sound.shape[1], block):
        part = np.ascontiguousarray(sound[:, start : start + block].T).reshape(1, -1)
        # Packed, because PyAV loses planes of frames from 8 channels on.
        frame = av.AudioFrame.from_ndarray(part, format="flt", layout=_LAYOUTS[len(sound)])
        frame.sample_rate = rate
        frame.pts = start
        frame.time_base = Fraction(1, rate)
        yield from stream.encode(frame)
    yield from stream.encode(None)


@contextlib.contextmanager
def _whole_file(path: Path) -> Iterator[str]:
    """Yield a temporary path beside the target, which is renamed to it after success."""
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=path.suffix)
    except OSError as error:
        raise MediaError(path, "write", error.strerror or str(error)) from error
    os.close(handle)
    try:
        yield name
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)  # mkstemp's files are readable by their owner alone
        os.replace(name, path)
    except av.error.FFmpegError as error:
        raise MediaError(path, "write", str(error)) from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


def _opened(name: str, path: Path) -> Any:
    try:
        return av.open(name, "w")
    except ValueError as error:
        if isinstance(error, av.error.FFmpegError):
            raise
        cause = f"no container is known by the suffix {path.suffix!r}; use .mp4, .mkv or .mov"
        raise MediaError(path, "write", cause) from None


def write_clip(
    path: str | os.PathLike[str],
    frames: ArrayLike | Iterable[ArrayLike] | None = None,
    fps: float = 25,
    *,
    sound: ArrayLike | None = None,
    rate: int = 48_000,
    times: ArrayLike | None = None,
    picture_codec: str = "libx264",
    pixel_format: str = "yuv420p",
    sound_codec: str = "aac",
    quality: int = 20,
) -> Path:
    """Write frames, sound or both to a media file.

    Parameters
    ----------
    path : path-like
        The file to write or to replace. Its suffix chooses the container: ``.mp4``, ``.mkv``,
        ``.mov``, ``.m4a``, ...
    frames : iterable of ndarray of shape (height, width, 3), uint8, optional
        RGB frames, or one array of shape (n_frames, height, width, 3). An iterator is taken
        frame by frame, so the clip need not fit in memory. None writes sound alone.
    fps : float, default=25
        Frames a second, greater than 0.
    sound : array-like of shape (channels, samples) or (samples,), float, optional
        Samples in [-1, 1]. None writes picture alone.
    rate : int, default=48000
        The sampling rate of ``sound`` in hertz. AAC takes the usual rates from 7,350 to 96,000.
    times : array-like of shape (n_frames,), optional
        The time of each frame in seconds, increasing, for a variable frame rate or a stream
        that starts late; in place of ``fps``.
    picture_codec : str, default="libx264"
        FFmpeg's name of the encoder of the picture.
    pixel_format : str, default="yuv420p"
        FFmpeg's name of the pixel format. The default plays everywhere and needs an even width
        and height.
    sound_codec : str, default="aac"
        FFmpeg's name of the encoder of the sound. With ``"pcm_s16le"`` or ``"flac"`` in an
        ``.mkv`` file the samples are kept as they are.
    quality : int, default=20
        The constant rate factor of the picture, in [0, 51]: lower is better and larger.

    Returns
    -------
    pathlib.Path
        The path written.

    Raises
    ------
    ValueError
        If there is neither frames nor sound, an array has another shape, type or range, or a
        codec is unknown.
    MediaError
        If the file cannot be written, its suffix names no container, or the encoder refuses its
        parameters. No partly written
        file stays behind, and a file that was there before is untouched.

    Notes
    -----
    The encoder runs in one thread, so that the same frames give the same pixels on any machine.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from skavsc.media import write_clip
    >>> frames = np.zeros((10, 48, 64, 3), dtype=np.uint8)
    >>> frames[..., 0] = 200
    >>> sound = 0.1 * np.sin(2 * np.pi * 440 * np.arange(48000) / 48000)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_clip(os.path.join(folder, "red.mp4"), frames, fps=10, sound=sound)
    ...     path.name
    'red.mp4'
    """
    path = Path(path)
    if frames is None and sound is None:
        raise ValueError("frames and sound are both None; give at least one of them")
    if not fps > 0 or not np.isfinite(fps):
        raise ValueError(f"fps must be greater than 0 and finite, got {fps!r}")
    for option, codec in (("picture_codec", picture_codec), ("sound_codec", sound_codec)):
        if codec not in av.codecs_available:
            raise ValueError(f"{option}={codec!r} is not known to FFmpeg; try the default")
    streams: list[Iterator[Any]] = []
    with _whole_file(path) as name, _opened(name, path) as container:
        if frames is not None:
            images = iter(frames)  # type: ignore[arg-type]
            first = next(images, None)
            if first is None:
                raise ValueError("frames is empty; give at least one frame, or None")
            size = np.shape(first)[:2]
            _checked_frame(first, size, 0)
            _check_size(size, pixel_format)
            speed = Fraction(fps).limit_denominator(100_000)
            picture = container.add_stream(picture_codec, rate=speed)
            picture.height, picture.width = size
            picture.pix_fmt = pixel_format
            picture.codec_context.time_base = 1 / speed if times is None else Fraction(1, _TICKS)
            picture.codec_context.thread_count = 1
            # Slower presets look ahead with x264's macroblock tree, and its result varies from
            # run to run, even in one thread.
            picture.options = {"crf": str(quality), "preset": "superfast"}
            ticks = count() if times is None else _ticks(times)
            streams.append(_picture_packets(picture, chain([first], images), size, ticks))
        if sound is not None:
            samples = _checked_sound(sound)
            track = container.add_stream(sound_codec, rate=rate)
            track.layout = _LAYOUTS[len(samples)]
            track.format = av.Codec(sound_codec, "w").audio_formats[0]
            track.bit_rate = 128_000 * len(samples)
            streams.append(_sound_packets(track, samples, rate))
        # Players expect the packets of the streams side by side, in the order of their times.
        for packet in heapq.merge(*streams, key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)
    return path

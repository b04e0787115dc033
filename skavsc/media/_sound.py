"""Reading sound: libsndfile for sound files, FFmpeg for containers and everything else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, BinaryIO

import av
import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from skavsc.exceptions import MediaError
from skavsc.media._file import clock_zero, open_media

Waveform = NDArray[np.float32]

# Beyond what any recorder writes: such a rate comes from a damaged header.
_RATES = (1_000, 1_000_000)
# Time stamps of some containers are whole milliseconds; a smaller gap than this is rounding.
_GAP = 0.01
_LONGEST_GAP = 60.0
# Read a little further than asked, so that cutting and resampling commute.
_MARGIN = 0.1


class _Unusable(Exception):
    """Why a sound cannot be used; the caller knows the file."""


def _checked_rate(rate: int) -> int:
    if not _RATES[0] <= rate <= _RATES[1]:
        raise _Unusable(
            f"the header gives a sampling rate of {rate} Hz, outside {_RATES[0]} to {_RATES[1]}"
        )
    return rate


def _limit(duration: float | None, rate: int) -> float:
    return np.inf if duration is None else round((duration + _MARGIN) * rate)


def _read_sound_file(sound: Any, duration: float | None) -> tuple[Waveform, int]:
    """Read an open soundfile.SoundFile."""
    rate = _checked_rate(sound.samplerate)
    wanted = min(_limit(duration, rate), sound.frames)
    blocks = []
    n_read = 0
    # In blocks, because a damaged header may promise more than fits into memory.
    while n_read < wanted:
        size = int(min(wanted - n_read, 1 << 20))
        block = sound.read(size, dtype="float32", always_2d=True)
        if not len(block):
            raise _Unusable(
                f"the sound ends after {n_read} of {sound.frames} samples; the file is cut off"
            )
        blocks.append(block)
        n_read += len(block)
    if not blocks:
        raise _Unusable("the file holds no samples")
    return np.concatenate(blocks).T, rate


def _placed_frames(container: Any, stream: Any, rate: int) -> Iterator[tuple[int | None, Waveform]]:
    """Decode to pairs of position on the container's clock, in samples, and samples."""
    zero = clock_zero(container)
    converter = av.AudioResampler(format="fltp")
    for encoded in container.decode(stream):
        if encoded.sample_rate != rate:
            raise _Unusable(f"the sampling rate changes from {rate} to {encoded.sample_rate} Hz")
        start = None
        if encoded.pts is not None:
            start = round((encoded.pts * encoded.time_base - zero) * rate)
        for frame in converter.resample(encoded):
            samples = frame.to_ndarray()
            yield start, samples
            start = None


def _read_container(container: Any, duration: float | None) -> tuple[Waveform, int]:
    """Read the default sound track of an open container, from the container's time 0."""
    stream = container.streams.best("audio")
    if stream is None:
        raise _Unusable("the file has no sound track")
    if stream.codec_context is None:
        raise _Unusable("the sound is coded in a way that FFmpeg does not know")
    rate = _checked_rate(stream.rate)
    wanted = _limit(duration, rate)
    parts: list[Waveform] = []
    position = 0
    for start, samples in _placed_frames(container, stream, rate):
        gap = 0 if start is None else start - position
        if not parts and gap < 0:
            samples = samples[:, -gap:]  # the run-in of the codec, before time 0
        elif gap > (_GAP * rate if parts else 0):
            if gap > _LONGEST_GAP * rate:
                raise _Unusable(f"the time stamps leave out {gap / rate:.0f} s")
            parts.append(np.zeros((len(samples), gap), dtype=np.float32))
            position += gap
        if samples.size:
            parts.append(samples)
            position += samples.shape[1]
        if position >= wanted:
            break
    if not parts:
        raise _Unusable("the sound track holds no samples")
    # Only these containers hold an index that knows the duration; others estimate it.
    if "mp4" in container.format.name and stream.duration:
        promised = float(stream.duration * stream.time_base)
        if position < min(promised * rate, wanted) - 0.5 * rate:
            raise _Unusable(
                f"the sound ends after {position / rate:.2f} of {promised:.2f} s; "
                f"the file is cut off"
            )
    waveform = np.concatenate(parts, axis=1)
    return waveform if duration is None else waveform[:, : int(wanted)], rate


def _decode(file: BinaryIO, duration: float | None) -> tuple[Waveform, int]:
    # Both libraries get the number of the open file: it is faster than to be asked for bytes,
    # and errors need not pass through them.
    number = file.fileno()
    try:
        sound = soundfile.SoundFile(number, closefd=False)
    except soundfile.LibsndfileError:
        file.seek(0)
        # The whitelist keeps playlists from making FFmpeg open other files or addresses. Titles
        # in some old encoding are no reason to refuse a file.
        options = {"fd": str(number), "protocol_whitelist": "fd"}
        with av.open("fd:", options=options, metadata_errors="replace") as container:
            return _read_container(container, duration)
    with sound:
        return _read_sound_file(sound, duration)


def read_sound(
    path: str | os.PathLike[str],
    *,
    sample_rate: int | None = None,
    duration: float | None = None,
) -> tuple[Waveform, int]:
    """Read the sound of a sound or video file.

    Sound files (wav, flac, ogg, mp3, ...) are read by libsndfile, everything else, such as the
    sound track of an mp4, by FFmpeg.

    Parameters
    ----------
    path : path-like
        The file.
    sample_rate : int, default=None
        The rate to resample to, in Hz, greater than 0, by ``soxr`` in its high quality. None
        keeps the file's own.
    duration : float, default=None
        Read at most that many seconds, greater than 0. None reads to the end.

    Returns
    -------
    waveform : ndarray of shape (n_channels, n_samples), float32
        Full scale is 1. All channels of the file, in its order.
    rate : int
        The sampling rate, in Hz.

    Raises
    ------
    MediaNotFoundError
        If there is no such file.
    MediaError
        If the file is empty, no regular file, not readable or no sound or video file; if it has
        no sound track, no samples, fewer samples than its index says, NaN or infinite samples
        or an impossible sampling rate; if its sampling rate or number of channels changes
        midway; or if the file changes while it is read.

    Notes
    -----
    *Several sound tracks*: the one that FFmpeg calls best is read, which is the track flagged
    as default.

    *Clock*: time 0 is where the earliest stream of the container begins, picture included, so
    that sound and picture share one clock. A sound track that begins later is preceded by
    silence, and gaps of more than 10 ms within it are filled with silence, as a player does.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np, soundfile
    >>> from skavsc.media import read_sound
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "tone.wav")
    ...     soundfile.write(path, np.sin(np.arange(48000) / 20), 48000, subtype="PCM_24")
    ...     waveform, rate = read_sound(path, sample_rate=44100)
    >>> waveform.shape, waveform.dtype, rate
    ((1, 44100), dtype('float32'), 44100)
    """
    for name, value in {"sample_rate": sample_rate, "duration": duration}.items():
        if value is not None and not value > 0:
            raise ValueError(f"{name}={value!r} must be greater than 0, or None")
    try:
        with open_media(path) as file:
            waveform, rate = _decode(file, duration)
    except _Unusable as error:
        raise MediaError(path, "read sound", str(error)) from None
    except soundfile.LibsndfileError as error:
        raise MediaError(path, "read sound", f"libsndfile: {error.error_string}") from error
    except av.error.FFmpegError as error:
        cause = f"not a sound or video file, or a damaged one (FFmpeg: {error.strerror})"
        raise MediaError(path, "read sound", cause) from error
    if not np.isfinite(waveform).all():
        raise MediaError(path, "read sound", "it holds NaN or infinite samples")
    if sample_rate is not None and sample_rate != rate:
        waveform = soxr.resample(waveform.T, rate, sample_rate, quality="HQ").T
        rate = sample_rate
    if duration is not None:
        waveform = waveform[:, : round(duration * rate)]
    return np.ascontiguousarray(waveform), rate

"""Reading recordings of any length piece by piece, in flat memory."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from skavsc.media._channels import Waveform, in_order, mix_to_stereo
from skavsc.media._clock import Timeline, read_packets
from skavsc.media._damage import Damage, warn_of_damage
from skavsc.media._file import Deadline, check_positive, media_errors, open_media
from skavsc.media._picture import (
    Image,
    checked_reading,
    decode_frames,
    n_decoders,
    no_images,
    on_show,
    open_picture,
    to_rgb,
)
from skavsc.media._sound import check_samples, sound_parts
from skavsc.media._track import Limits, SoundInfo


def stream_sound(
    path: str | os.PathLike[str],
    *,
    downmix: bool = False,
    max_samples_per_second: float = 3_072_000,
    max_gap: float = 60.0,
    time_limit: float = 86_400.0,
) -> Generator[tuple[Waveform, int]]:
    """Read the sound of a recording part by part.

    Parameters
    ----------
    path : path-like
        The file.
    downmix : bool, default=False
        Whether to mix more than two channels to left and right, as `read_sound` does.
    max_samples_per_second : float, default=3_072_000
        Largest number of channels times sampling rate, in Hz, greater than 0.
    max_gap : float, default=60.0
        Longest silence, in seconds, greater than 0, to put where time stamps leave a gap.
    time_limit : float, default=86_400.0
        Longest time to spend on the file, in seconds, greater than 0; what is done with the parts
        counts.

    Yields
    ------
    waveform : ndarray of shape (n_channels, n_samples), float32
        The next samples; all parts joined are what `read_sound` returns.
    rate : int
        The sampling rate of the file, in Hz.

    Raises
    ------
    MissingTrackError
        If the file has no sound track.
    MediaError
        As of `read_sound`, but at the end if too many packets cannot be decoded.

    Warns
    -----
    DamagedMediaWarning
        At the end, as of `read_sound`.

    See Also
    --------
    read_sound : Read all of it at once, and resample it.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np, soundfile
    >>> from skavsc.media import stream_sound
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "tone.wav")
    ...     soundfile.write(path, np.sin(np.arange(3_000_000) / 20), 48000, subtype="PCM_16")
    ...     [(waveform.shape, rate) for waveform, rate in stream_sound(path)]
    [((1, 1048576), 48000), ((1, 1048576), 48000), ((1, 902848), 48000)]
    """
    check_positive(
        max_samples_per_second=max_samples_per_second, max_gap=max_gap, time_limit=time_limit
    )
    limits = Limits(None, max_samples_per_second, max_gap)
    damage, info = Damage(), SoundInfo()
    with media_errors(path, "read sound"), open_media(path) as file:
        for part in sound_parts(file, limits, Deadline(time_limit), damage, info):
            if not part.size:
                continue
            waveform, names = in_order(part, info.names)
            check_samples(waveform)
            yield mix_to_stereo(waveform, names) if downmix else waveform, info.rate
        missing = damage.describe(file, complete=False)
    warn_of_damage(path, "read sound", missing)


@dataclass(slots=True)
class _Stamp:
    """What a timeline needs of a packet, without its content."""

    pts: int | None
    dts: int | None
    duration: int | None
    size: int
    is_discard: bool


def stream_frames(
    path: str | os.PathLike[str],
    *,
    fps: float = 5.0,
    size: int | tuple[int, int] | None = None,
    interpolation: str = "linear",
    max_pixels: int = 1 << 26,
    max_span: float = 86_400.0,
    time_limit: float = 86_400.0,
) -> Generator[Image]:
    """Read the frames that a video shows at regular instants one by one.

    Parameters
    ----------
    path : path-like
        The file.
    fps, size, interpolation, max_pixels, max_span
        As of `read_frames`.
    time_limit : float, default=86_400.0
        Longest time to spend on the file, in seconds, greater than 0; what is done with the frames
        counts.

    Yields
    ------
    ndarray of shape (height, width, 3), uint8
        The next frame; all of them are what `read_frames` returns.

    Raises
    ------
    MissingTrackError
        If the file has no video stream.
    MediaError
        As of `read_frames`, but at the end if too many packets cannot be decoded.
    ValueError
        If a parameter is out of its range.

    Warns
    -----
    DamagedMediaWarning
        At the end, as of `read_frames`.

    See Also
    --------
    read_frames : Read all of them at once.

    Notes
    -----
    The file is read twice: first the time stamps alone, then the frames. Beside a packet that
    cannot be decoded, `read_frames` saves some more frames.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from skavsc.media import stream_frames, write_clip
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "grey.mp4")
    ...     path = write_clip(path, np.full((20, 48, 64, 3), 128, np.uint8), fps=10)
    ...     [frame.shape for frame in stream_frames(path, fps=1)]
    [(48, 64, 3), (48, 64, 3)]
    """
    how = checked_reading(fps, None, size, interpolation, max_pixels, max_span, time_limit)
    deadline = Deadline(time_limit)
    with media_errors(path, "read picture"), open_media(path) as file:
        with open_picture(file, how, deadline, 1) as (_, clock):
            packets, _ = read_packets(clock, _stamps(clock.packets(deadline, Damage())), np.inf)
            timeline = Timeline(clock, packets, False, how.max_span)
        instants = timeline.instants(how.fps, None)
        needed = timeline.needed(instants)
        damage = Damage()
        found = False
        with open_picture(file, how, deadline, n_decoders()) as (stream, clock):
            width = stream.codec_context.width
            content = _with_stamps(clock.packets(deadline, damage), packets)
            frames = decode_frames(stream, content, timeline, needed, damage)
            for frame, count in on_show(frames, timeline, instants):
                found = True
                image = to_rgb(frame, how.size, how.interpolation)
                for _ in range(count):
                    yield image
        damage.check()
        if not found:
            raise no_images(how, width)
        missing = damage.describe(file, complete=False)
    warn_of_damage(path, "read picture", missing)


def _stamps(packets: Iterator[Any]) -> Iterator[_Stamp]:
    for packet in packets:
        yield _Stamp(packet.pts, packet.dts, packet.duration, packet.size, packet.is_discard)


def _with_stamps(packets: Iterator[Any], stamps: list[_Stamp]) -> Iterator[Any]:
    """Set the time stamps of packets to those that the timeline has found."""
    for packet, stamp in zip(packets, stamps, strict=False):
        packet.pts = stamp.pts
        yield packet

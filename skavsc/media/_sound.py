"""Reading sound: libsndfile for plain sound files, FFmpeg for everything else."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any, BinaryIO

import av
import numpy as np
import soundfile
import soxr

from skavsc.media._channels import Resampler, Waveform, in_order, mix_to_stereo, take_names
from skavsc.media._clock import Clock
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
from skavsc.media._track import Limits, SoundInfo, Track

# What libsndfile decodes exactly, by its names.
_EXACT = {f"PCM_{kind}" for kind in ("S8", "U8", "16", "24", "32")}
_EXACT |= {"FLOAT", "DOUBLE", "ULAW", "ALAW"}
# Files that name their channels, which libsndfile does not tell.
_NAMED = {"WAV", "WAVEX", "RF64", "W64", "AIFF", "CAF", "FLAC", "AU", "OGG"}
# What FFmpeg calls the formats whose header has an exact number of samples.
_COUNTED = {"flac", "tta", "wv"}

# The scale of 16-bit samples in a float file is still taken as it is.
_PEAK = 65_536


def _container_parts(
    container: Any, limits: Limits, deadline: Deadline, damage: Damage, info: SoundInfo
) -> Iterator[Waveform]:
    """Read the sound of an open container, from the container's time 0."""
    picture, stream = choose_streams(container)
    if stream is None:
        raise NoTrackError("the file has no sound track")
    context = stream.codec_context
    if context is None:
        raise UnusableError("the sound is coded in a way that FFmpeg does not know")
    names = take_names(context)
    if context.sample_rate:
        limits.check_rate(context.sample_rate, len(names))
    clock = Clock(container, stream, picture)
    resampler, track = Resampler(), Track(limits)
    started = False

    def frames() -> Iterator[Any]:
        for packet in clock.packets(deadline, damage):
            yield from damage.decode(context, packet)
        yield from damage.decode(context, None)

    for frame in frames():
        limits.check_rate(frame.sample_rate, frame.layout.nb_channels)
        start = None
        parts = resampler.convert(frame)
        if frame.pts is not None:
            if picture is None and not started:
                # Some codecs give no sound for their first packet.
                clock.zero = max(clock.zero, frame.pts * frame.time_base)
            seconds = frame.pts * frame.time_base - clock.zero
            start = round(seconds * resampler.rate)
        started = True
        for samples in parts:
            info.complete = track.add(start, samples, resampler.rate)
            start = None
        named = "NONE" not in resampler.names or len(resampler.names) != len(names)
        info.rate, info.names = resampler.rate, resampler.names if named else names
        yield from track.settled(resampler.rate)
        if info.complete:
            break
    else:
        for samples in resampler.convert(None):
            track.add(None, samples, resampler.rate)
    damage.check()
    if container.format.name in _COUNTED and stream.duration is not None and not info.complete:
        announced = round(stream.duration * stream.time_base * resampler.rate)
        damage.cut_off |= track.position < announced
    yield from track.rest()


def _file_parts(
    sound: Any, limits: Limits, deadline: Deadline, info: SoundInfo
) -> Iterator[Waveform]:
    """Read an open soundfile.SoundFile."""
    rate = sound.samplerate
    limits.check_rate(rate, sound.channels)
    wanted = limits.n_samples(rate)
    info.rate = rate
    info.names = {1: ("FC",), 2: ("FL", "FR")}.get(sound.channels, ("NONE",) * sound.channels)
    n_read = 0
    # In blocks, because a damaged header may promise more than fits into memory.
    while n_read < wanted:
        deadline.check()
        size = int(min(wanted - n_read, 1 << 20))
        block = sound.read(size, dtype="float32", always_2d=True)
        if not len(block):
            break
        n_read += len(block)
        yield block.T
    if n_read < min(wanted, sound.frames):
        raise soundfile.LibsndfileError(0, f"only {n_read} of {sound.frames} samples: ")
    if not n_read:
        raise UnusableError("the file holds no samples")
    info.complete = n_read >= wanted


def sound_parts(
    file: BinaryIO,
    limits: Limits,
    deadline: Deadline,
    damage: Damage,
    info: SoundInfo,
    *,
    exact: bool = True,
) -> Iterator[Waveform]:
    """Read the sound of an open file part by part, plain ones by libsndfile if ``exact``."""
    with contextlib.ExitStack() as stack:
        sound = None
        # Both libraries get the number of the open file: it is faster than to be asked for
        # bytes, and errors need not pass through them.
        with contextlib.suppress(soundfile.LibsndfileError):
            sound = stack.enter_context(soundfile.SoundFile(file.fileno(), closefd=False))
        if exact and sound is not None and _is_plain(sound):
            yield from _file_parts(sound, limits, deadline, info)
            return
        try:
            container = stack.enter_context(open_container(file, deadline))
        except av.error.FFmpegError:
            if sound is None:
                raise
            yield from _file_parts(sound, limits, deadline, info)
            return
        yield from _container_parts(container, limits, deadline, damage, info)


def _read(
    file: BinaryIO, limits: Limits, deadline: Deadline, damage: Damage
) -> tuple[Waveform, SoundInfo]:
    info = SoundInfo()
    try:
        parts = list(sound_parts(file, limits, deadline, damage, info))
    except soundfile.LibsndfileError:
        parts = list(sound_parts(file, limits, deadline, damage, info, exact=False))
    return np.concatenate(parts, axis=1), info


def _is_plain(sound: Any) -> bool:
    """Return whether libsndfile reads a file exactly."""
    return (
        sound.subtype in _EXACT
        and 0 < sound.frames < 1 << 60  # unknown, as in streams
        and (sound.channels <= 2 or sound.format not in _NAMED)
    )


def read_sound(
    path: str | os.PathLike[str],
    *,
    sample_rate: int | None = None,
    duration: float | None = None,
    downmix: bool = False,
    max_samples_per_second: float = 3_072_000,
    max_gap: float = 60.0,
    time_limit: float = 600.0,
) -> tuple[Waveform, int]:
    """Read the sound of a sound or video file.

    Parameters
    ----------
    path : path-like
        The file.
    sample_rate : int, default=None
        The rate to resample to, in Hz, greater than 0, by ``soxr`` in its high quality. None
        keeps the file's own.
    duration : float, default=None
        Read at most that many seconds, greater than 0. None reads to the end.
    downmix : bool, default=False
        Whether to mix more than two channels to left and right (see Notes).
    max_samples_per_second : float, default=3_072_000
        Largest number of channels times sampling rate, in Hz, greater than 0: by default 64
        channels at 48 kHz or 16 at 192 kHz.
    max_gap : float, default=60.0
        Longest silence, in seconds, greater than 0, to put where time stamps leave a gap.
    time_limit : float, default=600.0
        Longest time to spend on the file, in seconds, greater than 0.

    Returns
    -------
    waveform : ndarray of shape (n_channels, n_samples), float32
        Full scale is 1. Without ``downmix`` all channels of the file: named ones in FFmpeg's
        order (front left, front right, front centre, low frequencies, back left, ...), others
        in the order of the file.
    rate : int
        The sampling rate, in Hz.

    Raises
    ------
    MediaNotFoundError
        If there is no such file.
    MissingTrackError
        If the file has no sound track.
    MediaError
        If the file is empty, no regular file, not readable or no sound or video file; if it has
        no samples; if more than a tenth of the packets between the first and
        the last good one cannot be decoded; if samples are NaN, infinite or beyond 65,536 times
        full scale; if a limit is exceeded; or if the file changes while it is read.
    ValueError
        If a parameter is out of its range.

    Warns
    -----
    DamagedMediaWarning
        If the file is cut off, or packets cannot be decoded. What is there is returned: a
        shorter waveform if the beginning or the end is missing, silence in place of what is
        lost between.

    Notes
    -----
    *Decoders*: libsndfile reads the files that it decodes exactly and whose length is known:
    PCM, floating point, A-law and mu-law of one or two channels, and FLAC. FFmpeg reads
    everything else, and what libsndfile fails on.

    *Headers* are hints: everything that can be decoded is read, whatever length is announced. A
    track that changes its rate or channels goes on with those of its beginning.

    *Several sound tracks*: the one that FFmpeg calls best is read, which is the track flagged
    as default, of the program from which ``read_frames`` takes the picture.

    *Clock*: time 0 is where the earlier of picture and sound begins, so that they share one
    clock. A sound track that begins later than the picture is preceded by silence. Where time
    stamps jump ahead by more than 10 ms, or have run ahead by more than 100 ms, silence is
    inserted; if the next stamps contradict it, it is taken back. Parts of joined files follow
    one another; of joined MP3, as with the ffmpeg command, without the frame that follows a tag.

    *Ends*: a file counts as cut off if it is shorter than its structure says: the sizes in WAV,
    AIFF, AU, CAF, AVI, Matroska, WebM, MP4, ASF, FLV and MP3 with an index, the numbers of samples
    in FLAC, TTA and WavPack, the mark on the last page of Ogg, a last packet of a transport stream
    that is not whole. Where the writer did not know the size, as in live WebM or an unclosed AVI, a
    file is whole if its last element is. Nothing tells where MP3 without an index, bare AAC, AC-3
    or MP2, program streams and NUT should end, or that a transport stream lost whole packets at
    its end: these are read as far as they go, without a warning.

    *Mixing*: channels are mixed by their names, with the coefficients of ITU-R BS.775 as
    implemented in libswresample: left = FL + 0.7071 FC + 0.7071 BL (or SL) + 0.5 BC, right
    alike, no low-frequency channel, and no scaling. Of ambisonics, left and right are cardioids
    that point there, (W + Y) / 2 and (W - Y) / 2. Channels without names are taken for FFmpeg's
    default layout of that number (six: 5.1); where there is none or no rule for mixing, left and
    right are both the mean of all channels.

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
    check_positive(
        optional=("sample_rate", "duration"),
        sample_rate=sample_rate,
        duration=duration,
        max_samples_per_second=max_samples_per_second,
        max_gap=max_gap,
        time_limit=time_limit,
    )
    limits = Limits(duration, max_samples_per_second, max_gap)
    damage = Damage()
    with media_errors(path, "read sound"):
        with open_media(path) as file:
            waveform, info = _read(file, limits, Deadline(time_limit), damage)
            missing = damage.describe(file, info.complete)
        rate = info.rate
        waveform, names = in_order(waveform, info.names)
        check_samples(waveform)
        if downmix:
            waveform = mix_to_stereo(waveform, names)
        if sample_rate is not None and sample_rate != rate:
            waveform = soxr.resample(waveform.T, rate, sample_rate, quality="HQ").T
            rate = sample_rate
    warn_of_damage(path, "read sound", missing)
    if duration is not None:
        waveform = waveform[:, : round(duration * rate)]
    return np.ascontiguousarray(waveform), rate


def check_samples(waveform: Waveform) -> None:
    """Raise if samples are damaged."""
    peak = max(waveform.max(), -waveform.min())
    if not np.isfinite(peak):
        raise UnusableError("it holds NaN or infinite samples")
    if peak > _PEAK:
        raise UnusableError(
            f"its samples reach {peak:.3g} times full scale, beyond {_PEAK}; they are damaged, "
            "or need to be scaled"
        )

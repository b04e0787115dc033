"""Time in a file: its packets on one clock, and when the frames of its video are shown."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from skavsc.media._damage import Damage
from skavsc.media._file import Deadline, UnusableError

# Decoding time stamps never decrease within a recording; by less they jitter.
_STEP_BACK = Fraction(1, 10)
# As in the ffmpeg command, a longer gap in a transport stream is a new clock.
_STEP_FORWARD = Fraction(10)
# A new part follows on the stream that tells of it first, unless the other lasts longer by more.
_UNEVEN = Fraction(1)
# Formats that are joined by appending one file to another.
_JOINED = frozenset({"mpegts", "mpeg"})

# A first frame later than asked for is read with what is needed to decode it.
_AFTER_FIRST = 0.5
# Decoders hold back frames; without time stamps this many seconds more are read.
_HELD_BACK = 2.0


def packet_length(stream: Any) -> Fraction:
    """Return the usual time from one frame of picture to the next in seconds, 0 of sound."""
    if stream.type != "video":
        return Fraction(0)
    return 1 / Fraction(stream.average_rate or stream.guessed_rate or 25)


class Clock:
    """The clock that the picture and the sound of a container share.

    Time 0 is where the earlier of the two begins, as in players: a recording may start at any
    time stamp. Negative ones are the run-in of a codec, to be dropped, and not the beginning.

    Where the decoding time stamps step back, as in joined files, a new part begins; it is
    placed at the end of the one before. All arithmetic is exact.

    Parameters
    ----------
    container : av.container.InputContainer
        The open file.
    stream : av.stream.Stream
        The stream to read.
    partner : av.stream.Stream or None
        The other one of picture and sound.
    """

    def __init__(self, container: Any, stream: Any, partner: Any) -> None:
        self.stream = stream
        self.unit: Fraction = stream.time_base
        self._container = container
        pair = [stream] if partner is None else [stream, partner]
        starts = [s.start_time * s.time_base for s in pair if s.start_time is not None]
        self.zero = max(min(starts, default=Fraction(0)), Fraction(0))
        joined = container.format.name in _JOINED
        self._joined = joined
        self.format_name: str = container.format.name
        #: The announced time stamp of the first packet, in seconds.
        self.start = Fraction((stream.start_time or 0) * self.unit)
        # Both streams of joined files tell where a new part begins. Elsewhere the other one is
        # left out, because it may be far away in the file.
        self._watched = pair if joined else [stream]

    def time(self, stamp: int) -> Fraction:
        """Return the time in seconds of a time stamp of the stream."""
        return stamp * self.unit - self.zero

    def packets(self, deadline: Deadline, damage: Damage) -> Iterator[Any]:
        """Read the packets of the stream, with time stamps that do not restart.

        An error on the way ends them, and is noted in ``damage``.
        """
        offsets = [Fraction(0)]
        parts = dict.fromkeys((stream.index for stream in self._watched), 0)
        lengths = {stream.index: packet_length(stream) for stream in self._watched}
        latest: dict[int, Fraction] = {}
        ends: dict[int, Fraction] = {}
        found = False
        packets = self._container.demux(*self._watched)
        while True:
            deadline.check()
            try:
                packet = next(packets, None)
            except av.error.ExitError as error:  # FFmpeg's sign of the timeout
                raise deadline.error() from error
            except av.error.FFmpegError:
                if not found:
                    raise
                damage.cut_off = True
                return
            if packet is None:
                return
            index, unit = packet.stream.index, packet.time_base
            if packet.dts is not None:
                raw = packet.dts * unit
                step = raw - latest.get(index, raw)
                if step < -_STEP_BACK or (self._joined and step > _STEP_FORWARD):
                    parts[index] += 1
                    if parts[index] == len(offsets):
                        end, last = ends[index], max(ends.values())
                        offsets.append((last if last - end > _UNEVEN else end) - raw)
                latest[index] = raw
                length = packet.duration * unit if packet.duration else lengths[index]
                ends[index] = raw + offsets[parts[index]] + length
            if index != self.stream.index:
                continue
            # PyAV ends with a packet that has neither bytes nor time stamps.
            if not packet.size and packet.dts is None and packet.pts is None:
                continue
            shift = round(offsets[parts[index]] / unit)
            if shift:
                packet.pts = None if packet.pts is None else packet.pts + shift
                packet.dts = None if packet.dts is None else packet.dts + shift
            if self.format_name == "mp3" and bytes(memoryview(packet)[:3]) == b"ID3":
                # Where files are joined, a tag and what describes the sound after it.
                offsets[parts[index]] -= packet.duration * unit
                continue
            found = True
            # Elsewhere the flag only says that the writer did not know the size.
            damage.incomplete = self._joined and packet.is_corrupt
            yield packet


def read_packets(clock: Clock, packets: Iterator[Any], horizon: float) -> tuple[list[Any], bool]:
    """Read the packets of the frames up to a time, at least those of the first frame.

    Returns
    -------
    packets : list of av.Packet
        At least one.
    more : bool
        Whether more packets follow.
    """
    period = packet_length(clock.stream)
    # Decoders return a frame only when they have read this many packets more.
    n_later = clock.stream.codec_context.reorder_depth
    latest = -np.inf
    read: list[Any] = []
    for packet in packets:
        if packet.dts is not None:
            # A frame is never shown before its decoding time, so none that follows is needed.
            time = float(clock.time(packet.dts))
            if latest < horizon:
                latest = max(horizon, time + _AFTER_FIRST)
            if time > latest:
                if not n_later:
                    return read, True
                n_later -= 1
        elif packet.pts is None and len(read) * period > horizon + _HELD_BACK:
            return read, True
        read.append(packet)
    if not read:
        raise UnusableError("the video stream is empty")
    return read, False


class Timeline:
    """When the frames of a stream are shown.

    Time stamps are taken as the file gives them. AVI files, and old codecs in Matroska, give
    decoding times alone: the k-th frame is shown when packet k + d is decoded, less the time of
    d frames, where d packets are read before the first frame can be shown. Bare streams give no
    times: their frames follow one another at the frame rate.

    Parameters
    ----------
    clock : Clock
        The clock of the file.
    packets : list of av.Packet
        The stream's packets, at least one. Those without presentation time stamps get them
        where frames are decoded in the order in which they are shown.
    open_ended : bool
        Whether more packets follow, so that the last frame of these is not the end.
    max_span : float
        Longest time between the first and the last frame, in seconds.
    """

    def __init__(self, clock: Clock, packets: list[Any], open_ended: bool, max_span: float) -> None:
        stream = clock.stream
        period = packet_length(stream)
        visible = [packet for packet in packets if not packet.is_discard] or packets
        self._clock = clock
        unit = clock.unit
        avi = "avi" in clock.format_name
        if not avi and all(packet.pts is not None for packet in visible):
            self.counted = False
            stamps = [packet.pts for packet in visible]
        elif all(packet.dts is not None for packet in visible):
            delay = stream.codec_context.reorder_depth
            self.counted = delay > 0
            stamps = [packet.dts for packet in visible]
            for packet in packets:
                packet.pts = packet.dts
            if self.counted:
                step = round(period / unit)
                stamps += [stamps[-1] + step * (i + 1) for i in range(delay)]
                stamps = [stamp - delay * step for stamp in stamps[delay:]]
        else:
            self.counted = True
            unit = period
            stamps = [_first_number(clock, packets, period) + i for i in range(len(visible))]
        last = max(range(len(stamps)), key=stamps.__getitem__)
        length = visible[last].duration * clock.unit if visible[last].duration else period
        # Only packets with content become frames; an empty one repeats the frame before.
        frames = sorted(s for s, packet in zip(stamps, visible, strict=True) if packet.size)
        self._stamps = np.array(frames or stamps)
        zero = clock.zero
        self._times = np.array([float(stamp * unit - zero) for stamp in self._stamps.tolist()])
        # Files round time stamps to their unit: 1/3 s becomes 0.333 or 0.334 s.
        self.tolerance = min(float(unit) / 2, 0.5e-3)
        span = (stamps[last] - min(stamps)) * unit
        if span > max_span:
            raise UnusableError(
                f"the time stamps span {float(span):.0f} s, more than max_span={max_span:g} s; "
                "raise it if they are real"
            )
        self.end = np.inf
        if not open_ended:
            self.end = float(stamps[last] * unit - zero + length)

    def time(self, frame: Any, number: int) -> float:
        """Return the time in seconds from which a decoded frame is shown."""
        if self.counted or frame.pts is None:
            return float(self._times[min(number, len(self._times) - 1)])
        return float(self._clock.time(frame.pts))

    def instants(self, fps: float, wanted: int | None) -> NDArray[np.float64]:
        """Return the instants i / fps at which a frame is shown, at most the wanted number."""
        span = (self.end - self.tolerance) * fps
        count = span if wanted is None else min(span, wanted)
        return np.arange(max(int(np.ceil(count)), 1)) / fps

    def needed(self, instants: NDArray[np.float64]) -> set[int]:
        """Return the time stamps of the frames that are shown at the instants."""
        shown = np.searchsorted(self._times, instants + self.tolerance, side="right") - 1
        return set(self._stamps[np.maximum(shown, 0)].tolist())


def _first_number(clock: Clock, packets: list[Any], period: Fraction) -> Fraction:
    """Return when the first frame is shown, in frames, by the first time stamp there is."""
    for index, packet in enumerate(packets):
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is not None:
            return stamp * clock.unit / period - index
    return clock.start / period

"""The packets of a stream, on one clock for the whole file."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av

from skavsc.media._damage import Damage
from skavsc.media._file import Deadline

# Decoding time stamps never decrease within a recording; by less they jitter.
_STEP_BACK = Fraction(1, 10)
# As in the ffmpeg command, a longer gap in a transport stream is a new clock.
_STEP_FORWARD = Fraction(10)
# A new part follows on the stream that tells of it first, unless the other lasts longer by more.
_UNEVEN = Fraction(1)
# Formats that are joined by appending one file to another.
_JOINED = frozenset({"mpegts", "mpeg"})


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

"""What the packets of a video stream tell about its frames before they are decoded."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skavsc.media._clock import Clock, packet_length
from skavsc.media._file import UnusableError

# A first frame later than asked for is read with what is needed to decode it.
_AFTER_FIRST = 0.5
# Decoders hold back frames; without time stamps this many seconds more are read.
_HELD_BACK = 2.0


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

"""What the packets of a video stream tell about its frames before they are decoded."""

from __future__ import annotations

from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from skavsc.media._file import clock_zero

# Longer time spans come from damaged time stamps and would ask for any amount of memory.
_LONGEST = 24 * 3600.0


class UnusablePictureError(Exception):
    """Why the picture of a file cannot be used; the caller knows the file."""


def picture_stream(container: Any) -> Any:
    """Choose the stream as players do, cover art aside."""
    cover = av.stream.Disposition.attached_pic
    streams = [s for s in container.streams.video if not s.disposition & cover]
    if not streams:
        raise UnusablePictureError("the file has no video stream")
    best = container.streams.best("video")
    stream = best if best in streams else streams[0]
    if stream.codec_context is None:
        raise UnusablePictureError("there is no decoder for the video stream")
    return stream


def read_packets(container: Any, stream: Any, horizon: float) -> tuple[list[Any], bool]:
    """Read the packets of the frames up to a time; also tell whether more follow."""
    packets: list[Any] = []
    unit = stream.time_base
    latest = horizon + float(clock_zero(container))
    for packet in container.demux(stream):
        if packet.dts is None and not packet.size:
            break  # PyAV's sign of the end
        if packet.is_corrupt:
            raise UnusablePictureError("the file is truncated or damaged")
        # A frame is never shown before its decoding time, so none that follows is needed.
        if packet.dts is not None and float(packet.dts * unit) > latest:
            return packets, True
        packets.append(packet)
    if not packets:
        raise UnusablePictureError("the video stream is empty")
    return packets, False


class Timeline:
    """When the frames of a stream are shown.

    Parameters
    ----------
    container, stream : PyAV objects
        The open file.
    packets : list of av.Packet
        The stream's packets, at least one.
    open_ended : bool
        Whether more packets follow, so that the last frame of these is not the end.
    """

    def __init__(self, container: Any, stream: Any, packets: list[Any], open_ended: bool) -> None:
        period = 1 / float(stream.average_rate or stream.guessed_rate or 25)
        visible = [packet for packet in packets if not packet.is_discard] or packets
        # AVI and bare streams keep the order of frames and no time stamps.
        self.numbered = container.format.name == "avi" or any(p.pts is None for p in visible)
        self._unit = period if self.numbered else float(stream.time_base)
        self._zero = 0.0 if self.numbered else float(clock_zero(container))
        # Files round time stamps to their unit: 1/3 s becomes 0.333 or 0.334 s.
        self.tolerance = min(self._unit / 2, 0.5e-3)
        self._stamps = np.sort(
            np.arange(len(visible)) if self.numbered else [packet.pts for packet in visible]
        )
        self._times = self._stamps * self._unit - self._zero
        self.end = np.inf
        if not open_ended:
            last = None if self.numbered else max(visible, key=lambda packet: packet.pts).duration
            self.end = float(self._times[-1]) + (last * self._unit if last else period)
            self._check_whole(stream)

    def _check_whole(self, stream: Any) -> None:
        """Compare the span of the frames with what the head of the file announced."""
        announced = float((stream.duration or 0) * stream.time_base)
        span = self.end - float(self._times[0])
        if span < announced - 0.5 and not self.numbered:
            raise UnusablePictureError(
                f"the file is truncated or damaged: it announces {announced:.2f} s of picture "
                f"and holds {span:.2f} s"
            )
        if span > _LONGEST:
            raise UnusablePictureError("the time stamps span more than a day; they are damaged")

    def time(self, frame: Any, number: int) -> float:
        """Give the time in seconds from which a decoded frame is shown."""
        if self.numbered or frame.pts is None:
            return number * self._unit
        return float(frame.pts * self._unit - self._zero)

    def instants(self, fps: float, wanted: int | None) -> NDArray[np.float64]:
        """Give the instants i / fps at which a frame is on show, at most the wanted number."""
        span = (self.end - self.tolerance) * fps
        count = span if wanted is None else min(span, wanted)
        return np.arange(max(int(np.ceil(count)), 1)) / fps

    def needed(self, instants: NDArray[np.float64]) -> set[int]:
        """Give the time stamps of the frames on show at the instants."""
        shown = np.searchsorted(self._times, instants + self.tolerance, side="right") - 1
        return set(self._stamps[np.maximum(shown, 0)].tolist())

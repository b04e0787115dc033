"""How much damage a file may have: what cannot be decoded, and ends that are missing."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from typing import Any, BinaryIO

import av

from skavsc.exceptions import DamagedMediaWarning
from skavsc.media._extent import is_cut_off
from skavsc.media._file import UnusableError

#: The largest share of packets between the first and the last good one that may be lost.
MAX_LOST = 0.1


class Damage:
    """Tally of the packets of a stream that cannot be decoded.

    Whatever is lost before the first and after the last packet that decodes leaves a shorter
    recording. Between them at most ``MAX_LOST`` of the packets may be lost.
    """

    def __init__(self) -> None:
        #: Whether reading ended with an error, or before the announced end.
        self.cut_off = False
        #: Whether the last packet is only a part of one.
        self.incomplete = False
        self._good = 0
        self._bad = 0
        self._between = 0
        self._pending = 0
        self._error: Exception | None = None

    def decode(self, context: Any, packet: Any) -> Iterator[Any]:
        """Decode a packet (None: the rest) to frames, none if it cannot be decoded."""
        # An empty packet repeats the last frame; a decoder takes it for the end.
        if packet is not None and not packet.size:
            return
        try:
            frames = context.decode(packet)
        except av.error.FFmpegError as error:
            self._error = self._error or error
            self._bad += 1
            self._pending += 1
            return
        if frames:
            if self._good:
                self._between += self._pending
            self._pending = 0
            self._good += 1
        yield from frames

    @property
    def found(self) -> bool:
        """Whether a packet could not be decoded."""
        return self._bad > 0

    def check(self) -> None:
        """Raise if too much is lost."""
        if not self._good and self._error is not None:
            raise self._error
        if self._between > MAX_LOST * (self._good + self._between):
            raise UnusableError(
                f"{self._between} of {self._good + self._between} packets cannot be decoded, "
                f"more than {MAX_LOST:.0%}: the file is damaged"
            ) from self._error

    def describe(self, file: BinaryIO, complete: bool) -> str | None:
        """Describe what is missing, or return None.

        Parameters
        ----------
        file : binary file
            The open file.
        complete : bool
            Whether all that was asked for was read, so that a missing end does not matter.
        """
        if self._bad:
            return f"{self._bad} of {self._good + self._bad} packets cannot be decoded"
        if not complete and (self.cut_off or self.incomplete or is_cut_off(file)):
            return "the file is cut off; only what is there is read"
        return None


def warn_of_damage(path: str | os.PathLike[str], stage: str, what: str | None) -> None:
    """Issue ``DamagedMediaWarning`` if anything is missing."""
    if what is not None:
        warnings.warn(f"{os.fspath(path)}: {stage}: {what}", DamagedMediaWarning, stacklevel=3)

"""How much damage a file may have: what cannot be decoded, and ends that are missing."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from typing import Any, BinaryIO

import av

from skavsc.exceptions import DamagedMediaWarning
from skavsc.media._file import UnusableError

#: The largest share of packets between the first and the last good one that may be lost.
MAX_LOST = 0.1

# Some programs get the size in a header wrong by the size of the header.
_SLACK = 8
# Editors of tags take an ID3v1 tag away that the size in an MP3 counts.
_SLACK_MP3 = 128

_RIFF = (b"RIFF", b"RIFX", b"FORM")
_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_SEGMENT, _CLUSTER = b"\x18S\x80g", b"\x1fC\xb6u"
_LARGEST_OGG_PAGE = 65_307


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


def is_cut_off(file: BinaryIO) -> bool:
    """Return whether a file is shorter than its structure says.

    These tell: RIFF (WAV, AVI) and its relatives, AIFF, AU, CAF, Matroska and WebM, MP4, ASF,
    FLV; MP3 with a Xing, Info or VBRI header; Ogg, whose last page is marked; and transport
    streams of packets that are not whole. Where the writer did not know the size (0 or all ones),
    the elements inside tell: the last of them must be whole.

    Parameters
    ----------
    file : binary file
        The open file.

    Returns
    -------
    bool
        Whether something is missing.
    """
    # On its own number, so that the buffer of the Python file does not come in between.
    number = file.fileno()
    size = os.fstat(number).st_size
    head = os.pread(number, 64, 0)
    if head[:4] in _RIFF:
        return _chunks_end(number, size, "little" if head[:4] == b"RIFF" else "big") > size + _SLACK
    if head[:4] in (b"RF64", b"BW64"):
        return int.from_bytes(head[20:28], "little") + 8 > size + _SLACK
    if head[:4] == b"riff":  # W64
        return int.from_bytes(head[16:24], "little") > size + _SLACK
    if head[:4] == b".snd":
        length = int.from_bytes(head[8:12], "big")
        announced = int.from_bytes(head[4:8], "big") + length
        return length not in (0, 0xFFFFFFFF) and announced > size + _SLACK
    if head[:4] == b"caff":
        return _caf_end(number, size) > size + _SLACK
    if head[:4] == b"\x1aE\xdf\xa3":
        return _ebml_end(number, size) > size
    if head[4:8] in (b"ftyp", b"styp", b"moov", b"mdat", b"moof", b"free", b"skip", b"wide"):
        return _boxes_end(number, size) > size
    if head[:16] == _ASF:
        return _asf_end(number, size) > size
    if head[:3] == b"FLV":
        return _flv_end(number, size) > size
    if head[:4] == b"OggS":
        return not _ogg_ends(number, size)
    for start, length in ((0, 188), (4, 192)):
        if head[start : start + 1] == b"G" and os.pread(number, 1, start + length) == b"G":
            return bool(size % length)
    return _mp3_end(number) > size + _SLACK_MP3


def _chunks_end(number: int, size: int, order: Any) -> int:
    """Return the end of the outermost chunks, or of those in an AVI of unknown size."""
    end = 0
    inside = False
    while end + 8 <= size:
        head = os.pread(number, 12, end)
        length = int.from_bytes(head[4:8], order)
        if head[:4] in (*_RIFF, b"LIST") and length in (0, 0xFFFFFFFF):
            if head[8:12] not in (b"AVI ", b"AVIX", b"movi"):
                break
            inside = True
            end += 12
            continue
        if not (head[:4].isalnum() if inside else head[:4] in _RIFF):
            break
        end += 8 + length + (length % 2 if inside else 0)
    return end


def _caf_end(number: int, size: int) -> int:
    end = 8
    while end + 12 <= size:
        length = int.from_bytes(os.pread(number, 12, end)[4:], "big", signed=True)
        if length < 0:  # to the end of the file
            return 0
        end += 12 + length
    return end


def _boxes_end(number: int, size: int) -> int:
    end = 0
    while end + 8 <= size:
        head = os.pread(number, 16, end)
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        # 0 is "to the end of the file"; letters as in all box types, or else it is padding.
        if length < 8 or not head[4:8].isalnum():
            break
        end += length
    return end


def _ebml_end(number: int, size: int) -> int:
    """Return the end of the header and the segment, or of what is inside an endless one."""
    end = 0
    while end + 2 <= size:
        head = os.pread(number, 16, end)
        n_id = 9 - head[0].bit_length() if head[0] else 0
        n_size = 9 - head[n_id].bit_length() if 0 < n_id <= 4 and head[n_id : n_id + 1] else 9
        if not 0 < n_id <= 4 or n_size > 8 or len(head) < n_id + n_size:
            break
        bits = 7 * n_size
        length = int.from_bytes(head[n_id : n_id + n_size], "big") & ((1 << bits) - 1)
        end += n_id + n_size
        if length == (1 << bits) - 1:
            # Unknown, as in live recordings, whose clusters may have no end either.
            if head[:4] in (_SEGMENT, _CLUSTER):
                continue
            return 0
        end += length
    return end


def _asf_end(number: int, size: int) -> int:
    end = 0
    while end + 24 <= size:
        length = int.from_bytes(os.pread(number, 24, end)[16:], "little")
        if length < 24:  # unknown
            break
        end += length
    return end


def _flv_end(number: int, size: int) -> int:
    end = int.from_bytes(os.pread(number, 9, 0)[5:], "big")
    while end + 15 <= size:
        # The size of the tag before, and then a tag.
        end += 15 + int.from_bytes(os.pread(number, 8, end)[5:], "big")
    return end


def _ogg_ends(number: int, size: int) -> bool:
    """Return whether the last page is whole and marked as the last of its stream."""
    start = max(size - _LARGEST_OGG_PAGE, 0)
    tail = os.pread(number, _LARGEST_OGG_PAGE, start)
    at = tail.rfind(b"OggS\0")
    page = tail[max(at, 0) :]
    if at < 0 or len(page) < 27 or len(page) < 27 + page[26]:
        return False
    return bool(page[5] & 4) and len(page) >= 27 + page[26] + sum(page[27 : 27 + page[26]])


def _mp3_end(number: int) -> int:
    """Return where the first frame of an MP3 says that the frames end, 0 if it does not."""
    start = 0
    while (tag := os.pread(number, 10, start))[:3] == b"ID3" and len(tag) == 10:
        length = sum(byte << shift for byte, shift in zip(tag[6:], (21, 14, 7, 0), strict=True))
        start += 10 + length + (10 if tag[5] & 0x10 else 0)
    frame = os.pread(number, 64, start)
    if len(frame) < 64 or frame[0] != 0xFF or frame[1] & 0xE0 != 0xE0:
        return 0
    if frame[36:40] == b"VBRI":
        length = int.from_bytes(frame[46:50], "big")
        return start + length if length else 0
    # Behind the side information, whose size depends on version and channels.
    for at in (13, 21, 36):
        if frame[at : at + 4] in (b"Xing", b"Info") and frame[at + 7] & 2:
            place = at + 8 + 4 * (frame[at + 7] & 1)
            length = int.from_bytes(frame[place : place + 4], "big")
            return start + length if length else 0
    return 0

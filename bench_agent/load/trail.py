"""When the bytes of one connection came: its segments, in the order of the stream."""

from __future__ import annotations

from collections.abc import Iterator
from socket import ntohl, ntohs

from bench_agent.load.tap import SEGMENT

MASK = 0xFFFFFFFF
#: TCP's header with its time stamps, as nearly all segments have it, and IP's.
USUAL_OFFSET = 0x80
USUAL_HEADERS = 52
_HALF = 1 << 31
_SIZE = SEGMENT.size


class Trail:
    """`segments`: those that belong to bytes which were not read yet, packed, as they came.

    `begin`: the sequence number of the next byte that will be read. `latest`: when the newest of
    those came that were forgotten behind one that was missing.
    """

    def __init__(self, begin: int) -> None:
        self.segments = bytearray()
        self.latest = 0, 0  # seconds and nanoseconds
        self.begin = begin & MASK

    def __len__(self) -> int:
        """How many segments wait."""
        return len(self.segments) // _SIZE

    def forget(self, segments: int, length: int) -> None:
        """The first *segments* are the next *length* bytes, which were read."""
        del self.segments[: segments * _SIZE]
        self.begin = (self.begin + length) & MASK

    def ends(self, length: int) -> list[tuple[int, int, int]]:
        """The next *length* bytes are read: where in them each segment ends, and its time.

        What is sent twice counts once. A segment that is missing, or came out of order, ends the
        list: nobody knows then when the bytes behind it could first be read.
        """
        at = taken = 0
        found: list[tuple[int, int, int]] = []
        for start, end, seconds, nanoseconds in self._places():
            if end > at:
                if end > length:
                    if start <= at < length:  # read in part
                        found.append((length, seconds, nanoseconds))
                    break
                if start > at:
                    self._drop(length)
                    taken = 0
                    break
                found.append((end, seconds, nanoseconds))
                at = end
            taken += 1
        self.forget(taken, length)
        return found

    def _places(self) -> Iterator[tuple[int, int, int, int]]:
        """Of each segment: where it begins and ends in what is read next, and its time."""
        begin = self.begin
        for fields in SEGMENT.iter_unpack(bytes(self.segments)):
            seconds, nanoseconds, total, _port, number, offset, _flags = fields
            start = (ntohl(number) - begin) & MASK
            if start >= _HALF:
                start -= MASK + 1
            yield start, start + ntohs(total) - 20 - (offset >> 2 & 0x3C), seconds, nanoseconds

    def _drop(self, length: int) -> None:
        """Forget all segments of the next *length* bytes, of which some are missing."""
        places = list(self._places())
        self.latest = max(place[2:] for place in places)
        whole, kept = bytes(self.segments), bytearray()
        for number, (_start, end, *_time) in enumerate(places):
            if end > length:
                kept += whole[number * _SIZE : (number + 1) * _SIZE]
        self.segments[:] = kept

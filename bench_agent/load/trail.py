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
#: What a read should bring. A sender may have ten segments under way from the first: if it had to
#: wait for acknowledgements, it would have to for those of our reads.
FEW, MANY = 7 * _SIZE, 12 * _SIZE
_LOOKS_FOR_FEW = 8  # after which whatever waits is read
_LOOKS_FOR_LOST = 40  # the ring may have lost all that is known of a link


class Trail:
    """`segments`: those that belong to bytes which were not read yet, packed, as they came.

    `enough`: bytes of them that are worth a read; `looks`: how often they were not, in a row.
    `begin`: the sequence number of the next byte that will be read. `latest`: when the newest of
    those came that were forgotten behind one that was missing.
    """

    def __init__(self, begin: int) -> None:
        self.segments = bytearray()
        self.latest = 0, 0  # seconds and nanoseconds
        self.begin = begin & MASK
        self.enough = FEW
        self.looks = 0

    def __len__(self) -> int:
        """How many segments wait."""
        return len(self.segments) // _SIZE

    def is_ripe(self) -> bool:
        """Whether enough waits, or anything has for long; now and then, though nothing does."""
        waiting = len(self.segments)
        self.looks += 1
        if waiting >= self.enough:
            return True
        return self.looks >= (_LOOKS_FOR_FEW if waiting else _LOOKS_FOR_LOST)

    def forget(self, segments: int, length: int) -> None:
        """The first *segments* are the next *length* bytes, which were read."""
        del self.segments[: segments * _SIZE]
        self.begin = (self.begin + length) & MASK

    def drop(self, row: int) -> None:
        """Forget segment *row*, which brought nothing new."""
        del self.segments[row * _SIZE : (row + 1) * _SIZE]

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


def is_old(number: int, *, ip_length: int, offset: int, at: int) -> bool:
    """Whether a segment with that number holds only what comes before the number *at*.

    A sender that waits for an acknowledgement sends its last segment again.
    """
    size = ip_length - 20 - (offset >> 2 & 0x3C)
    return size <= (at - number) & MASK < _HALF

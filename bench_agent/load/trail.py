"""When the bytes of one connection came: its segments, in the order of the stream."""

from __future__ import annotations

from socket import ntohl, ntohs

from bench_agent.load.tap import Segment

MASK = 0xFFFFFFFF
#: TCP's header with its time stamps, as nearly all segments have it, and IP's.
USUAL_OFFSET = 0x80
USUAL_HEADERS = 52
_HALF = 1 << 31


class Trail:
    """`segments`: those that belong to bytes which were not read yet, as they came.

    `begin`: the sequence number of the next byte that will be read. `latest`: when the newest of
    those came that were forgotten behind one that was missing.
    """

    def __init__(self, begin: int) -> None:
        self.segments: list[Segment] = []
        self.latest = 0, 0  # seconds and nanoseconds
        self.begin = begin & MASK

    def forget(self, segments: int, length: int) -> None:
        """The first *segments* are the next *length* bytes, which were read."""
        del self.segments[:segments]
        self.begin = (self.begin + length) & MASK

    def ends(self, length: int) -> list[tuple[int, int, int]]:
        """The next *length* bytes are read: where in them each segment ends, and its time.

        What is sent twice counts once. A segment that is missing, or came out of order, ends the
        list: nobody knows then when the bytes behind it could first be read.
        """
        begin, at, taken = self.begin, 0, 0
        found: list[tuple[int, int, int]] = []
        for seconds, nanoseconds, total, _port, number, offset in self.segments:
            start = (ntohl(number) - begin) & MASK
            if start >= _HALF:
                start -= MASK + 1
            end = start + ntohs(total) - 20 - (offset >> 2 & 0x3C)
            if end > at:
                if end > length:
                    if start <= at < length:  # read in part
                        found.append((length, seconds, nanoseconds))
                    break
                if start > at:
                    taken = self._behind(length)
                    break
                found.append((end, seconds, nanoseconds))
                at = end
            taken += 1
        self.forget(taken, length)
        return found

    def _behind(self, length: int) -> int:
        """Forget all segments of the next *length* bytes, of which some are missing."""
        begin, kept = self.begin, []
        self.latest = max(segment[:2] for segment in self.segments)
        for segment in self.segments:
            start = (ntohl(segment[4]) - begin) & MASK
            end = start + ntohs(segment[2]) - 20 - (segment[5] >> 2 & 0x3C)
            if length < end < _HALF:
                kept.append(segment)
        self.segments[:] = kept
        return 0

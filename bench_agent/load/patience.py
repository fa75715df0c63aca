"""Which servers send on while nothing is acknowledged: found out by trials on single replies.

Nagle's algorithm (RFC 896) holds a small segment back while another one is not acknowledged. So
an endpoint is patient once it sent two small segments in a row and we had sent nothing between.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from socket import ntohs

from bench_agent.load.link import Link
from bench_agent.load.pattern import MOST
from bench_agent.load.tap import SEGMENT

_TRIAL_NS = 150_000_000  # the kernel ends it before: it acknowledges what has waited for 40 ms
_TRIALS = 30
_SOON_NS, _LATER_NS = 50_000_000, 1_000_000_000  # from one trial to the next
_STRIDE = 7  # the next trial is made on another link
_SMALL = 576  # bytes with headers: less than any network's full segment
#: The kernel acknowledges the first segments of a connection at once.
_READS_BEFORE = 17
#: Place of tcpi_segs_out in struct tcp_info (linux/tcp.h).
_SEGS_OUT = 136
_RCV_MSS = 20
_UNDER_WAY = 7  # events that are no more than a sender may have from the first


@dataclass
class Trial:
    """`sent`: segments that we had sent, acknowledgements included; `seen`: those that may have
    come before that was known. `until_ns` 0: it proves nothing.
    """  # noqa: D205 - one thought

    link: Link
    sent: int
    seen: int
    until_ns: int


class Patience:
    """What is known of *endpoints*, by their numbers; one trial at a time."""

    def __init__(self, endpoints: int) -> None:
        self.known: set[int] = set()
        self.trial: Trial | None = None
        self._undecided = set(range(endpoints))
        self._trials = dict.fromkeys(range(endpoints), 0)
        self._next_ns = 0

    def is_due(self, now: int) -> bool:
        """Whether it is time for a trial; asked again in a while, it is so again."""
        due = bool(self._undecided) and now >= self._next_ns
        if due:
            self._next_ns = now + _SOON_NS
        return due

    def candidates(self, links: Sequence[Link]) -> Iterator[Link]:
        """Links on which something could be found out, in a new order each time."""
        begin = sum(self._trials.values()) * _STRIDE % max(1, len(links))
        for link in (*links[begin:], *links[:begin]):
            exchange = link.exchange
            if exchange is None or exchange.reads < _READS_BEFORE or link.least >= MOST:
                continue
            if link.number in self._undecided:
                yield link

    def begin(self, link: Link, look: Callable[[], None], now: int) -> None:
        """Nothing is read on *link* from now on; *look* fetches the segments that have come."""
        self._trials[link.number] += 1
        tried = self._trials[link.number]
        if tried == _TRIALS:
            self._undecided.discard(link.number)
        self._next_ns = now + (_SOON_NS if tried < _TRIALS // 2 else _LATER_NS)
        sent = _segments_out(link)
        look()
        seen = len(link.trail) if link.trail is not None else 0
        self.trial = Trial(link, sent, seen, now + _TRIAL_NS)

    def spoil(self, link: Link) -> None:
        """A reply or a connection ends on *link*: Nagle's algorithm lets a FIN pass."""
        if self.trial is not None and self.trial.link is link:
            self.trial.until_ns = 0

    def leave(self, link: Link) -> None:
        """*link* is followed no more."""
        if self.trial is not None and self.trial.link is link:
            self.trial = None

    def judge(self, trial: Trial, now: int) -> bool | None:
        """Whether the server is patient; None: it is too soon to say."""
        link = trial.link
        new = link.trail.segments[trial.seen * SEGMENT.size :] if link.trail is not None else b""
        small = {
            number
            for _s, _ns, total, _port, number, *_ in SEGMENT.iter_unpack(new)
            if ntohs(total) < _SMALL
        }
        silent = _segments_out(link) == trial.sent
        if silent and len(small) < 2 and now < trial.until_ns:
            return None
        self.trial = None
        if len(small) < 2 or not trial.until_ns or not silent:
            return False
        self._undecided.discard(link.number)
        self.known.add(link.number)
        return True


def acknowledges_early(link: Link) -> bool:
    """Whether our kernel acknowledges, unread, fewer events than a sender may have under way.

    It does so when more waits than a full segment, which it takes to be as large as the largest
    that it has seen (536 bytes at least).
    """
    info = link.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _RCV_MSS + 4)
    if len(info) < _RCV_MSS + 4:
        return False
    return int(struct.unpack_from("I", info, _RCV_MSS)[0]) < _UNDER_WAY * link.least


def _segments_out(link: Link) -> int:
    info = link.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _SEGS_OUT + 4)
    if len(info) < _SEGS_OUT + 4:
        return -1
    return int(struct.unpack_from("I", info, _SEGS_OUT)[0])

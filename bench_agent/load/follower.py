"""Replies that are followed by their segments, and read now and then.

In a rush of tokens, most of what a token costs is the read of it. The tap tells the arrival of
each segment, so a socket may be read once for several tokens and nothing is lost of their times.
What ends a reply, and whatever is not as before, is read at once.

What is not read is not acknowledged for up to 40 ms (Linux's delayed ACK). Most servers do not
mind (TCP_NODELAY); one with Nagle's algorithm would hold its next token back. So nothing is
followed before the server was seen to send a second small segment while the first was not
acknowledged.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterator
from itertools import islice
from socket import ntohl
from typing import Any

from bench_agent import stamps
from bench_agent.load import together
from bench_agent.load.connections import Connections
from bench_agent.load.link import READ, Link
from bench_agent.load.patience import Patience, Trial, acknowledges_early
from bench_agent.load.pattern import MOST
from bench_agent.load.reply import SLICE, Exchange
from bench_agent.load.tap import (
    ALL_PORTS,
    SEGMENT,
    SYN,
    Tap,
    can_confine,
    local_ports,
    open_tap,
)
from bench_agent.load.trail import MANY, Trail

#: Fewer replies at a time are no rush.
ENOUGH = 64
#: Links are looked at by turns: one for so many segments, but all within that time.
_SEGMENTS_A_LOOK = 3
_ROUND_NS = 25_000_000
_ROUNDS = 8  # reads of one link, one after the other
_QUIET = select.EPOLLRDHUP | select.EPOLLET


class Follower:
    """Follows links of *connections*. `keep` takes what came on a link and is to be understood,
    `broken` the end of its connection.
    """  # noqa: D205 - one thought

    def __init__(
        self,
        tap: Tap,
        connections: Connections,
        *,
        keep: Callable[[Link, bytes], None],
        broken: Callable[[Link, str | None], None],
    ) -> None:
        self._tap = tap
        self._connections = connections
        self._keep = keep
        self._broken = broken
        self._followed: dict[int, tuple[Link, Trail]] = {}  # by port
        self._takers: dict[int, Callable[[bytes], None]] = {}  # of the segments of a port
        self._first: dict[int, int] = {}  # sequence number of each connection's SYN
        self._ripe: list[Link] = []  # to be read at the next step
        self._ending: list[Link] = []  # to be read to the end of what is there
        self._round: Iterator[tuple[Link, Trail]] = iter(())  # that are to be looked at
        self._looks_due = 0.0
        self._looked_ns = 0
        self._seen = 0  # segments since then
        self.patience = Patience(len(connections.endpoints))

    @property
    def follows(self) -> bool:
        """Whether any reply is followed."""
        return bool(self._followed)

    def follow(self, link: Link) -> None:
        """Follow *link* from now on, if its server does not mind."""
        if link.trail is None and link.number in self.patience.known:
            self._begin(link)

    def learned(self, link: Link) -> None:
        """More, or less, is known of what comes on *link*."""
        if link.trail is None:
            self.follow(link)
        else:
            self._takers[link.port] = self._taker(link, link.trail)

    def leave(self, link: Link) -> None:
        """The reply on *link* is over."""
        if link.trail is not None:
            link.trail = None
            del self._followed[link.port], self._takers[link.port]
        self.patience.leave(link)

    def wake(self, link: Link) -> None:
        """Something happened to the connection: read all that is there."""
        if not link.pending:
            self._connections.epoll.modify(link.fd, _QUIET)
        self._ending.append(link)

    def lost(self) -> int:
        """Segments that the tap has missed since the last call."""
        return self._tap.lost()

    def step(self, now: int, busy: int) -> None:
        """Read what is to be read now; *busy*: requests in flight."""
        self._look()
        if self.patience.trial is not None:
            self._judge(self.patience.trial, now)
        elif busy >= ENOUGH and self.patience.is_due(now):
            self._try(now)
        self._visit(now)
        ripe, self._ripe = self._ripe, []
        self._take(ripe)
        self._read_ends()

    def close(self) -> None:
        """Give the tap back."""
        self._tap.close()

    def _read_ends(self) -> None:
        """Read what has come on links that are ending; a flood goes on at the next step."""
        ending, self._ending = list(dict.fromkeys(self._ending)), []
        for _ in range(_ROUNDS):
            full = [link for link in ending if _is_full(link)]
            read = self._take([link for link in ending if not _is_full(link)])
            # The tap tells of a segment before it can be read.
            early = [link for link in set(ending).difference(full, read) if _waits(link)]
            self._ending += full + early
            ending = [link for link in read if link.trail is not None]
            if not ending:
                return
        self._ending += ending

    def _look(self) -> None:
        """Give each segment to its link."""
        taker_of = self._takers.get
        segments, ports, endings = self._tap.take()
        self._seen += len(segments)
        for port, segment in zip(ports, segments):  # noqa: B905 - they are as many
            take = taker_of(port)
            if take is not None:
                take(segment)
        if endings:
            self._note(endings, time.time_ns())

    def _note(self, endings: list[bytes], now: int) -> None:
        """A connection began, or a reply or a connection ends."""
        for segment in endings:
            seconds, nanoseconds, _total, port, number, _offset, flags = SEGMENT.unpack(segment)
            if flags & SYN:
                self._first[port] = ntohl(number)
            elif port in self._followed:
                link = self._followed[port][0]
                self._ending.append(link)
                self.patience.spoil(link)
                self._connections.lag.add(now - stamps.joined(seconds, nanoseconds))

    def _visit(self, now: int) -> None:
        """Look at the links whose turn it is: is there enough to be read?"""
        passed = min(1.0, (now - self._looked_ns) / _ROUND_NS)
        self._looks_due += max(self._seen / _SEGMENTS_A_LOOK, passed * len(self._followed))
        self._looked_ns, self._seen = now, 0
        looks = min(int(self._looks_due), len(self._followed))
        self._looks_due -= int(self._looks_due)
        while looks > 0:
            links = list(islice(self._round, looks))
            if not links:
                self._round = iter(list(self._followed.values()))
            looks -= len(links)
            self._ripe += [link for link, trail in links if trail.is_ripe()]

    def _taker(self, link: Link, trail: Trail) -> Callable[[bytes], None]:
        """What takes the segments of *link*: until its events are known, each is read at once."""
        if link.least < MOST:
            if trail.enough != MANY and acknowledges_early(link):
                trail.enough = MANY
            return trail.segments.extend

        def take(segment: bytes) -> None:
            trail.segments.extend(segment)
            if len(trail) == 1:
                self._ripe.append(link)

        return take

    def _take(self, links: list[Link]) -> list[Link]:
        """Read each of *links* once; those on which anything came.

        First all the bytes, then the segments: those of what was read are certainly there.
        """
        room = stamps.ANCILLARY
        got: list[tuple[Link, bytes, list[Any], str | None]] = []
        for link in links:
            if link.trail is None:
                continue
            link.trail.looks = 0
            try:
                data, ancillary, _flags, _address = link.recvmsg(READ, room)
            except BlockingIOError:
                continue
            except OSError as trouble:  # told when what was read before it is understood
                got.append((link, b"", [], trouble.strerror or str(trouble)))
                continue
            got.append((link, data, ancillary, None))
        if got:
            self._look()
        for link, data, ancillary, error in got:
            if data:
                self._understand(link, data, ancillary)
            elif link.trail is not None:
                self._broken(link, error)
        return [link for link, *_ in got]

    def _understand(self, link: Link, data: bytes, ancillary: list[Any]) -> None:
        """*data*, segment by segment."""
        trail, exchange = link.trail, link.exchange
        if trail is None or exchange is None:
            return
        length = len(data)
        link.received += length
        at = begin = 0
        if link.least < MOST:
            vocabulary = self._connections.vocabulary
            at = begin = together.take(link, trail, exchange, data, vocabulary)
        for end, seconds, nanoseconds in trail.ends(length - begin) if begin < length else ():
            exchange.stamps.extend((seconds, nanoseconds))
            self._keep(link, data[at : begin + end])
            at = begin + end
            if link.exchange is not exchange:
                break
        if at < length:
            if link.exchange is exchange:
                _stamp_rest(exchange, trail, ancillary)
            self._keep(link, data[at:])
        if length == READ and link.trail is trail:
            self._ripe.append(link)

    def _begin(self, link: Link) -> bool:
        """Follow *link*; whether its segments can be told."""
        first = self._first.get(link.port)
        if first is None or link.exchange is None:
            return False
        # What has come before is read as ever; the segments of the rest will be there.
        if link.exchange.reads and not self._emptied(link):
            return False
        link.trail = trail = Trail(first + 1 + link.received)
        self._followed[link.port] = link, trail
        self._takers[link.port] = self._taker(link, trail)
        self._connections.epoll.modify(link.fd, _QUIET)
        return True

    def _emptied(self, link: Link) -> bool:
        """Read what lies there; False when the reply was over with it."""
        try:
            data, ancillary, _flags, _address = link.recvmsg(READ, stamps.ANCILLARY)
        except BlockingIOError:
            return True
        except OSError as error:
            self._broken(link, error.strerror or str(error))
            return False
        exchange = link.exchange
        if not data or exchange is None:
            self._broken(link, None)
            return False
        link.received += len(data)
        if ancillary:
            link.stamp(ancillary[0][2])
        else:
            exchange.stamp(time.time_ns())
        self._keep(link, data)
        return link.exchange is not None

    def _try(self, now: int) -> None:
        """Begin to find out whether an endpoint sends on without acknowledgements."""
        for link in self.patience.candidates(list(self._connections.links.values())):
            if self._begin(link):
                self.patience.begin(link, self._look, now)
                return

    def _judge(self, trial: Trial, now: int) -> None:
        link, verdict = trial.link, self.patience.judge(trial, now)
        if verdict:
            for other in list(self._connections.links.values()):
                if other.exchange is not None and other.least < MOST:
                    self.follow(other)
        elif verdict is False:
            self._take([link])
            if link.trail is not None:
                self.leave(link)
                self._connections.epoll.modify(link.fd, link.receiving)


def of(
    connections: Connections,
    number: int,
    count: int,
    *,
    keep: Callable[[Link, bytes], None],
    broken: Callable[[Link, str | None], None],
) -> Follower | None:
    """A follower of *connections*, those of worker *number* of *count*, which are yet to be opened;
    None where there is no tap.
    """  # noqa: D205 - one thought
    ports = local_ports(number, count) if can_confine() else None
    tap = open_tap(connections.endpoints, ports or ALL_PORTS)
    if tap is None:
        return None
    connections.ports = ports
    return Follower(tap, connections, keep=keep, broken=broken)


def _is_full(link: Link) -> bool:
    """Whether more has come on *link* than could be understood so far."""
    return link.exchange is not None and len(link.exchange.unread) > SLICE


def _waits(link: Link) -> bool:
    return link.trail is not None and bool(link.trail.segments)


def _stamp_rest(exchange: Exchange, trail: Trail, ancillary: list[Any]) -> None:
    """Bytes whose segment is not known: they cannot have come later than anything here did."""
    if not ancillary:
        exchange.stamp(time.time_ns())
        return
    newest = stamps.parted(stamps.decode(ancillary[0][2]))
    exchange.stamps.extend(max(newest, trail.latest))

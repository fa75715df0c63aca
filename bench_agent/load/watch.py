"""Requests that take too long, fall silent, or never end."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from bench_agent.load.link import Link
from bench_agent.load.reply import Exchange

#: So many chunks for each token asked for, or reads for each chunk, have no reason.
TOO_MANY = 8
#: Reads that any reply may take.
_READS = 10_000

#: A link, the class of its failure, and what to say of it.
Ending = tuple[Link, str, str]


class Watch:
    """Knows when each request has to be over. Times: seconds of the load; ns of the clock."""

    def __init__(self, timeout_s: float, stall_s: float) -> None:
        self._timeout_s = timeout_s
        self._stall_s = stall_s
        self._deadlines: deque[tuple[int, Link, Exchange]] = deque()

    def begin(self, now: int, link: Link, exchange: Exchange) -> None:
        """A request is on its way."""
        self._deadlines.append((now + int(self._timeout_s * 1e9), link, exchange))

    def late(self, now: int) -> Iterator[Ending]:
        """Those whose time is over."""
        while self._deadlines:
            deadline, link, exchange = self._deadlines[0]
            if link.exchange is exchange:
                if deadline > now:
                    return
                yield link, "timeout", f"no end within {self._timeout_s:g} s"
            self._deadlines.popleft()

    def odd(self, now: int, links: Iterable[Link]) -> Iterator[Ending]:
        """Those that have begun and are silent, or have come to more than any reply is."""
        for link in links:
            exchange = link.exchange
            if exchange is None or not (reads := exchange.reads):
                continue
            if reads != link.seen:
                link.seen, link.seen_ns = reads, now
                if reads > _READS + TOO_MANY * (exchange.asked_tokens or 0):
                    yield link, "bad_reply", f"no end after {reads} reads"
            elif now - link.seen_ns > self._stall_s * 1e9:
                yield link, "stalled", f"nothing came for {self._stall_s:g} s"

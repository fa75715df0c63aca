"""What has come and waits to be understood, for when the sockets are empty."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from bench_agent.load.link import Link
from bench_agent.load.reply import Reading
from bench_agent.load.source import RequestSource
from bench_agent.load.watch import TOO_MANY

_MANY = 64  # replies that may wait while sockets are busy all the time
_AT_ONCE = 32  # slices of reading between two looks, at the most


class Backlog:
    """Links on which something has come, replies that are over, requests to be made.

    `end` takes a link whose reply was read to its end (with the class of its failure, if it is
    one, and what to say of it), `done` a reading that is complete, `learn` a link of which all
    that has come was read.
    """

    def __init__(
        self,
        source: RequestSource,
        end: Callable[[Link, str | None, str | None], None],
        done: Callable[[Reading], None],
        learn: Callable[[Link], None],
    ) -> None:
        self._source = source
        self._end = end
        self._done = done
        self._learn = learn
        self._curious: deque[Link] = deque()
        self._readings: deque[Reading] = deque()  # of exchanges that are over

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self._curious or self._readings or self._source.wants_more())

    @property
    def is_pressing(self) -> bool:
        """Whether it should not wait for empty sockets."""
        return bool(self._curious) or len(self._readings) > _MANY

    @property
    def is_read(self) -> bool:
        """Whether all replies that are over were read."""
        return not self._readings

    def add(self, link: Link) -> None:
        """Something has come on *link*."""
        if not link.waits:
            link.waits = True
            self._curious.append(link)

    def close(self, reading: Reading) -> None:
        """The exchange of *reading* is over."""
        self._readings.append(reading)

    def work(self) -> None:
        """One slice."""
        if self._curious:
            self._read(self._curious.popleft())
        elif self._readings:
            if self._readings[0].advance():
                self._done(self._readings.popleft())
        elif self._source.wants_more():
            self._source.make_one()

    def catch_up(self) -> None:
        """In a rush without a pause: what is not read soon costs more, and memory, later."""
        for _ in range(min(_AT_ONCE, len(self._curious))):
            self._read(self._curious.popleft())
        if len(self._readings) > _MANY:
            for _ in range(_AT_ONCE // 8):
                self.work()

    def _read(self, link: Link) -> None:
        """Read a slice of what has come on *link*."""
        link.waits = False
        reading = link.reading
        if reading is None:
            return
        whole = reading.advance()
        link.keeps_alive = reading.keeps_alive
        asked = reading.exchange.asked_tokens
        if reading.over:
            self._end(link, "bad_reply" if reading.broken_http else None, reading.broken_http)
        elif asked is not None and reading.chunks > TOO_MANY * (asked + TOO_MANY):
            self._end(link, "bad_reply", f"{reading.chunks} chunks for {asked} tokens, and no end")
        elif whole:
            self._learn(link)
        else:
            self.add(link)

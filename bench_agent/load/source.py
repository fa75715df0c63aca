"""Requests made ahead of their time, within a bound of memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from bench_agent.load.plan import Endpoint, Load, encode_request

#: Bytes that may lie ready beyond what the first wave needs.
AHEAD = 32 * 1024 * 1024


@dataclass(frozen=True)
class Prepared:
    """One request: its number, the endpoint's, and its bytes."""

    index: int
    endpoint: int
    data: bytes


class RequestSource:
    """The requests of one worker in order; request i goes to endpoint i modulo their number."""

    def __init__(self, load: Load, endpoints: Sequence[Endpoint], indexes: Sequence[int]) -> None:
        self._load = load
        self._endpoints = endpoints
        self._indexes = indexes
        self._next = 0
        self._ready: deque[Prepared] = deque()
        self._bytes = 0

    def prepare(self, at_least: int) -> None:
        """Make the first *at_least* requests, and more while there is room."""
        while len(self._ready) < at_least or self._bytes < AHEAD:
            if not self._make():
                return

    def wants_more(self) -> bool:
        """Whether there is something to make, and room for it."""
        return self._next < len(self._indexes) and self._bytes < AHEAD

    def make_one(self) -> None:
        """Make the next request."""
        self._make()

    def take(self) -> Prepared:
        """The next request; made on the spot when none lies ready."""
        if not self._ready:
            self._make()
        prepared = self._ready.popleft()
        self._bytes -= len(prepared.data)
        return prepared

    def _make(self) -> bool:
        if self._next >= len(self._indexes):
            return False
        index = self._indexes[self._next]
        self._next += 1
        number = index % len(self._endpoints)
        data = encode_request(self._load, index, self._endpoints[number])
        self._ready.append(Prepared(index, number, data))
        self._bytes += len(data)
        return True

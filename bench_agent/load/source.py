"""Requests made ahead of their time, within a bound of memory."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from bench_agent.load.plan import Load, encode_body, request_id
from bench_agent.load.reply import Exchange

#: Bytes that may lie ready beyond what the first wave needs.
AHEAD = 8 * 1024 * 1024
#: Bytes that are made before the clock starts; the rest while the first replies are waited for.
FIRST = 1024 * 1024


@dataclass(frozen=True)
class Prepared:
    """One request: its number, its id, its body, and the tokens that it is about."""

    index: int
    request_id: str
    body: bytes
    asked_tokens: int
    asked_prompt_tokens: int | None

    def exchange(self, endpoint: str, due_ns: int) -> Exchange:
        """The request as it is about to be sent."""
        return Exchange(
            self.index,
            self.request_id,
            endpoint,
            due_ns,
            asked_tokens=self.asked_tokens,
            asked_prompt_tokens=self.asked_prompt_tokens,
        )


class RequestSource:
    """The requests of worker *number* of *count*, in order; `total` None: without end."""

    def __init__(self, load: Load, number: int, count: int) -> None:
        self._load = load
        self._next = number
        self._step = count
        self._total = load.total
        self._ready: deque[Prepared] = deque()
        self._bytes = 0

    def prepare(self, at_least: int) -> None:
        """Make the first *at_least* requests, and more while it takes no time to speak of."""
        most = min(FIRST, AHEAD)
        while self._next_exists() and (len(self._ready) < at_least or self._bytes < most):
            self.make_one()

    def wants_more(self) -> bool:
        """Whether there is something to make, and room for it."""
        return self._bytes < AHEAD and self._next_exists()

    def make_one(self) -> None:
        """Make the next request."""
        index = self._next
        request = self._load.requests(index)
        body = encode_body(self._load, request)
        name = request_id(self._load.name, index)
        self._next += self._step
        self._bytes += len(body)
        self._ready.append(Prepared(index, name, body, request.max_tokens, request.prompt_tokens))

    def take(self) -> Prepared:
        """The next request; made on the spot when none lies ready."""
        if not self._ready:
            self.make_one()
        prepared = self._ready.popleft()
        self._bytes -= len(prepared.body)
        return prepared

    def _next_exists(self) -> bool:
        return self._total is None or self._next < self._total

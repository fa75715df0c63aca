"""When requests are due. One class a way of arriving; the worker knows only its methods."""

from __future__ import annotations

from collections import deque
from typing import Protocol


class Arrivals(Protocol):
    """What a worker asks: what is due now, and when to ask again. Times: CLOCK_REALTIME, ns."""

    def begin(self, start_ns: int) -> None:
        """The clock starts."""

    def take(self, now_ns: int) -> int | None:
        """When the next request was due, if it is due now."""

    def freed(self, at_ns: int) -> None:
        """A request ended then."""

    def next_due_ns(self) -> int | None:
        """When to ask again; None: when a request has ended."""


class ClosedLoop:
    """*total* requests, at most *cap* at once: each is due when the one before it ends."""

    def __init__(self, total: int, cap: int) -> None:
        self._left = total
        self._cap = min(total, cap)
        self._due: deque[int] = deque()

    def begin(self, start_ns: int) -> None:
        """All slots are free when the clock starts."""
        self._due.extend([start_ns] * self._cap)

    def take(self, now_ns: int) -> int | None:
        """The oldest free slot, while requests are left."""
        if not self._left or not self._due or self._due[0] > now_ns:
            return None
        self._left -= 1
        return self._due.popleft()

    def freed(self, at_ns: int) -> None:
        """A slot is free again."""
        self._due.append(at_ns)

    def next_due_ns(self) -> int | None:
        """Only before the start there is something to wait for."""
        return self._due[0] if self._due and self._left else None

"""What was really sent, and when: the truth that a client is compared with."""

from __future__ import annotations

import json
from array import array
from collections import deque
from dataclasses import dataclass

#: Stamps kept in all; the oldest requests are forgotten first (8 bytes each).
MAX_STAMPS = 4_000_000


@dataclass(frozen=True)
class Truth:
    """One request: when it had arrived, and when each of its tokens went out (ns, realtime)."""

    request_id: str
    arrived_ns: int
    sent_ns: array[int]


class TruthLog:
    """The requests that ended, oldest first, within a bound of memory."""

    def __init__(self, max_stamps: int = MAX_STAMPS) -> None:
        self._entries: deque[Truth] = deque()
        self._stamps = 0
        self._max = max_stamps

    def add(self, entry: Truth) -> None:
        """Remember one request; forget the oldest ones beyond the bound."""
        self._entries.append(entry)
        self._stamps += len(entry.sent_ns) + 1
        while self._stamps > self._max and len(self._entries) > 1:
            self._stamps -= len(self._entries.popleft().sent_ns) + 1

    def dump(self, since_ns: int = 0, *, clear: bool = False) -> bytes:
        """JSON lines of all requests that arrived at *since_ns* or later."""
        lines = [
            json.dumps(
                {
                    "request_id": e.request_id,
                    "arrived_ns": e.arrived_ns,
                    "sent_ns": e.sent_ns.tolist(),
                }
            )
            for e in self._entries
            if e.arrived_ns >= since_ns
        ]
        if clear:
            self._entries.clear()
            self._stamps = 0
        return "".join(line + "\n" for line in lines).encode()

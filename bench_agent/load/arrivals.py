"""When requests are due. One class a way of arriving; the worker knows only its methods.

All due times fall on whole microseconds from the start, so that they are the same on every
host: the last digits of a logarithm are not.
"""

from __future__ import annotations

import heapq
import math
import sys
from collections.abc import Iterator, Sequence
from itertools import count as from_
from itertools import islice, takewhile
from typing import Protocol

from bench_agent.load import schedule
from bench_agent.load.plan import Load, LoadError
from bench_agent.protocol import Point

#: Connections that are opened ahead for a load without a cap, by all workers together.
AHEAD = 256


class Arrivals(Protocol):
    """What a worker asks: what is due now, and when to ask again. Times: CLOCK_REALTIME, ns.

    A request goes when it is due and a slot is free. What could not go by the end of the
    point's duration never goes; a late look alone loses nothing.
    """

    def begin(self, start_ns: int) -> None:
        """The clock starts."""

    def take(self, now_ns: int) -> int | None:
        """When the next request was due, if it may go now."""

    def freed(self, at_ns: int) -> None:
        """A request ended then."""

    def next_due_ns(self) -> int | None:
        """When to ask again; None: when a request has ended."""

    def exhausted(self, now_ns: int) -> bool:
        """Whether no take() will ever give anything again, whatever is freed.

        While requests are in flight that may turn out to have ended in time, it is not so.
        """


class ClosedLoop:
    """Each slot's next request is due when the one before it ends.

    At most *total* requests (None: no end to them) over *slots*: their number, or when each
    opens (ns from the start). None is due later than *duration_ns*.
    """

    def __init__(
        self, total: int | None, slots: int | Sequence[int], duration_ns: float = math.inf
    ) -> None:
        opens = [0] * slots if isinstance(slots, int) else slots
        self._left = sys.maxsize if total is None else total
        self._due = sorted(ns for ns in opens if ns <= duration_ns)[: self._left]
        self._slots = len(self._due)
        self._end = duration_ns

    def begin(self, start_ns: int) -> None:
        """The first slots open."""
        self._due = [start_ns + ns for ns in self._due]
        self._end += start_ns

    def take(self, now_ns: int) -> int | None:
        """The slot that has been free for longest, while requests are left."""
        due = self._due
        if not due or due[0] > now_ns or not self._left:
            return None
        self._left -= 1
        return heapq.heappop(due)

    def freed(self, at_ns: int) -> None:
        """A slot is free again; after the end it closes."""
        if at_ns > self._end:
            self._slots -= 1
        else:
            heapq.heappush(self._due, at_ns)

    def next_due_ns(self) -> int | None:
        """When the next slot opens or opened, while requests are left."""
        return self._due[0] if self._due and self._left else None

    def exhausted(self, now_ns: int) -> bool:  # noqa: ARG002 - the protocol's
        """All requests are out, or all slots closed."""
        return not self._left or not self._slots


class OpenLoop:
    """Requests are due when a schedule says (ns from the start, rising), whatever is in flight.

    With a *cap*, one that is due while no slot is free keeps its due time and goes later, but
    not when it is a slot that was freed after *duration_ns*.
    """

    def __init__(
        self, times_ns: Iterator[int], cap: int | None = None, duration_ns: float = math.inf
    ) -> None:
        self._times = times_ns
        self._due = next(times_ns, None)
        self._free = self._slots = sys.maxsize if cap is None else cap
        self._end = duration_ns
        self._start = 0

    def begin(self, start_ns: int) -> None:
        """The clock starts."""
        self._start = start_ns
        self._end += start_ns

    def take(self, now_ns: int) -> int | None:
        """The next request, when it is due and a slot is free."""
        due = self._due
        if due is None or due > now_ns - self._start or not self._free:
            return None
        self._free -= 1
        self._due = next(self._times, None)
        return self._start + due

    def freed(self, at_ns: int) -> None:
        """A slot is free again; after the end it closes."""
        if at_ns > self._end:
            self._slots -= 1
        else:
            self._free += 1

    def next_due_ns(self) -> int | None:
        """When the next request is due, if a slot is free for it."""
        return self._start + self._due if self._free and self._due is not None else None

    def exhausted(self, now_ns: int) -> bool:  # noqa: ARG002 - the protocol's
        """All requests are out, or all slots closed."""
        return self._due is None or not self._slots


def of(load: Load, number: int, count: int) -> Arrivals:
    """The arrivals of worker *number* of *count*: of requests number, number + count and so on.

    Raises:
        LoadError: there is no slot for this worker, or nothing says when requests are due.
    """
    point, slots = load.point, _slots(load)
    end = math.inf if point.duration_s is None else _ns(point.duration_s)
    mine = None if slots is None else range(number, slots, count)
    if mine is not None and not mine and (load.total is None or number < load.total):
        raise LoadError(f"{count} workers have only {slots} slots: one has none.")
    if is_open(point):
        return OpenLoop(_times(load, number, count), mine if mine is None else len(mine), end)
    if mine is None or slots is None:
        raise LoadError(f"{point.name}: needs a concurrency, a rate or a number of requests.")
    total = None if load.total is None else len(range(number, load.total, count))
    return ClosedLoop(total, [_ns(point.ramp_up_s * slot / slots) for slot in mine], end)


def streams(load: Load, number: int, count: int) -> int:
    """Connections that worker *number* of *count* should open ahead of the start.

    With number 0 of count 1: all, and the most workers that can share the load.
    """
    point, slots = load.point, _slots(load)
    known = [n for n in (slots, load.total) if n is not None]
    if slots is None:
        ramp = point.ramp_up
        rate = max(ramp.start_rps, ramp.end_rps) if ramp else point.request_rate
        known += [AHEAD, math.ceil(rate or AHEAD)]
    return len(range(number, min(known), count))


def is_open(point: Point) -> bool:
    """Whether requests are due by the clock, not by the end of others."""
    return point.arrivals == "trace" or point.ramp_up is not None or point.request_rate is not None


def _slots(load: Load) -> int | None:
    """Most requests at once; None: no cap at all."""
    if load.point.max_concurrency is not None:
        return load.point.max_concurrency
    return None if is_open(load.point) else load.total


def _times(load: Load, number: int, count: int) -> Iterator[int]:
    """When requests number, number + count and so on are due: ns from the start."""
    point = load.point
    if point.arrivals == "trace":
        return map(_ns, _trace(load, number, count))
    seed = f"{load.seed}/{point.name}/arrivals"
    return map(_ns, islice(schedule.due_s(point, seed, load.total), number, None, count))


def _trace(load: Load, number: int, count: int) -> Iterator[float]:
    total, end = load.total, load.point.duration_s
    indexes = from_(number, count) if total is None else range(number, total, count)
    times = (_said(load, index) for index in indexes)
    return times if end is None else takewhile(lambda time: time <= end, times)


def _said(load: Load, index: int) -> float:
    due = load.requests(index).due_s
    if due is None:
        raise LoadError(f"{load.point.name}: the workload does not say when requests are due.")
    return due


def _ns(seconds: float) -> int:
    return round(seconds * 1e6) * 1000

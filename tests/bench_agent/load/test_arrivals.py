"""Tests of when requests are due, and of how workers share them."""

from __future__ import annotations

import sys
import timeit
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench_agent.load import arrivals
from bench_agent.load.arrivals import Arrivals, ClosedLoop, OpenLoop
from bench_agent.load.plan import Load, LoadError, Request
from bench_agent.protocol import Point, RampUp

MS = 1_000_000
S = 1_000_000_000
START = 1_764_000_000 * S


@dataclass
class Trace:
    """A workload whose request i is due at i/10 s, if it says when at all."""

    count: int | None = None
    timed: bool = True

    def __call__(self, index: int) -> Request:
        return Request("x", 1, due_s=index / 10 if self.timed else None)


def load(point: Point, *, count: int | None = None, timed: bool = True) -> Load:
    """A load that nobody will send."""
    return Load("run", point, ("http://h",), "m", "chat", Trace(count, timed))


def due(loop: Arrivals, now: int) -> list[int]:
    """All that may go now."""
    return list(iter(lambda: loop.take(now), None))


def shared(plan: Load, workers: int) -> list[int]:
    """Due times by request index, when each request ends at once."""
    found: dict[int, int] = {}
    for number in range(workers):
        loop = arrivals.of(plan, number, workers)
        loop.begin(START)
        for index, time in zip(range(number, 10**9, workers), played(loop), strict=False):
            found[index] = time - START
    assert list(range(len(found))) == sorted(found)
    return [found[index] for index in range(len(found))]


def played(loop: Arrivals) -> Iterator[int]:
    """Everything that *loop* gives; a request ends when it was due."""
    while (now := loop.next_due_ns()) is not None:
        for time in due(loop, now):
            yield time
            loop.freed(time)
    assert loop.exhausted(START)


def test_all_slots_are_due_at_the_start() -> None:
    """As many as there are, and no more until one ends."""
    loop = ClosedLoop(5, 2)
    loop.begin(100)

    assert [100, 100] == due(loop, 100)


def test_a_request_is_due_when_the_one_before_it_ends() -> None:
    """Due is the moment of the end, not of the look."""
    loop = ClosedLoop(2, 1)
    loop.begin(100)
    loop.take(100)
    loop.freed(170)

    assert 170 == loop.take(200)


def test_there_are_no_more_requests_than_asked_for() -> None:
    """Free slots stay free at the end."""
    loop = ClosedLoop(1, 4)
    loop.begin(0)
    loop.take(0)
    loop.freed(5)

    assert (None, None) == (loop.take(10), loop.next_due_ns())


@pytest.mark.parametrize("loop", [ClosedLoop(1, 1), OpenLoop(iter([0]))])
def test_nothing_is_due_before_the_start(loop: Arrivals) -> None:
    """Until then, there is something to wait for."""
    loop.begin(100)

    assert (None, 100) == (loop.take(99), loop.next_due_ns())


def test_the_slot_that_was_freed_first_goes_first() -> None:
    """Ends are told in the order in which sockets were read."""
    loop = ClosedLoop(None, 2)
    loop.begin(0)
    due(loop, 0)
    loop.freed(7)
    loop.freed(5)

    assert [5, 7] == due(loop, 10)


def test_a_closed_loop_may_be_without_a_number() -> None:
    """It goes on until its time is over."""
    loop = ClosedLoop(None, 1, 10)
    loop.begin(0)
    found = []
    while (time := loop.take(1000)) is not None:
        found.append(time)
        loop.freed(time + 3)

    assert ([0, 3, 6, 9], True) == (found, loop.exhausted(12))


def test_slots_open_evenly_over_the_ramp_up() -> None:
    """The first at the start; each is due then and not before."""
    plan = load(Point("p", 100, 4, ramp_up_s=2.0))
    loop = arrivals.of(plan, 0, 1)
    loop.begin(START)
    found = []
    while (now := loop.next_due_ns()) is not None:
        assert loop.take(now - 1) is None
        found += due(loop, now)

    assert [0, S // 2, S, S + S // 2] == [time - START for time in found]


def test_a_slot_does_not_wait_for_those_that_are_not_open_yet() -> None:
    """A request that ends during the ramp-up is followed by the next at once."""
    loop = ClosedLoop(5, [0, 100])
    loop.begin(0)
    loop.take(0)
    loop.freed(10)

    assert (10, 10) == (loop.next_due_ns(), loop.take(11))


def test_a_late_look_loses_nothing() -> None:
    """What could have gone by the end goes, however late the loop asks."""
    closed, opened = ClosedLoop(None, 1, 10), OpenLoop(iter([10]), 1, 10)
    for loop in (closed, opened):
        loop.begin(0)
    closed.take(0)
    closed.freed(10)

    assert ([10], [10]) == (due(closed, 99), due(opened, 99))


def test_open_requests_go_when_they_are_due() -> None:
    """Whatever is still in flight."""
    loop = OpenLoop(iter([10, 20, 20, 30]))
    loop.begin(100)

    assert [[], [110], [120, 120], []] == [due(loop, now) for now in (109, 110, 129, 129)]


def test_a_request_keeps_its_due_time_while_the_cap_is_full() -> None:
    """It goes when a slot is free; until then only an end can help."""
    loop = OpenLoop(iter([0, 5]), 1)
    loop.begin(100)
    first = loop.take(100)
    waiting = loop.take(200), loop.next_due_ns()
    loop.freed(150)

    assert (100, (None, None), 105) == (first, waiting, loop.take(200))


STEPS = st.lists(st.integers(0, 50), min_size=1, max_size=60)


@given(STEPS, st.integers(1, 4), st.lists(st.integers(1, 40), min_size=1, max_size=5))
def test_nothing_due_is_lost_under_a_cap(steps: list[int], cap: int, latencies: list[int]) -> None:
    """Each request goes once, in order, with its own due time, and never beyond the cap."""
    times = list(accumulate(steps))
    loop = OpenLoop(iter(times), cap)
    loop.begin(0)
    found, ends, now = [], [], 0
    while not loop.exhausted(now):
        for time in due(loop, now):
            ends.append(now + latencies[len(found) % len(latencies)])
            found.append(time)
        assert len(ends) <= cap
        coming = loop.next_due_ns()
        now = max(now, min(ends if coming is None else [*ends, coming]))
        for end in [end for end in ends if end <= now]:
            ends.remove(end)
            loop.freed(end)

    assert times == found


@pytest.mark.parametrize(("late", "expected"), [(0, 1), (1000, 0)])
@pytest.mark.parametrize(
    "point", [Point("p", None, 1, duration_s=1.0), Point("p", None, 1, 8.0, 1.0, None)]
)
def test_the_duration_counts_from_the_start(point: Point, late: int, expected: int) -> None:
    """A slot that is freed later stays free, were its next request due before or not."""
    loop = arrivals.of(load(point), 0, 1)
    loop.begin(START)
    assert 1 == len(due(loop, START + S // 8))
    loop.freed(START + S + late)

    assert expected == len(due(loop, START + S + late))


@pytest.mark.parametrize(
    ("loop", "taken", "freed", "expected"),
    [
        (ClosedLoop(2, 1), 0, (), False),
        (ClosedLoop(2, 1), 1, (), False),
        (ClosedLoop(2, 1), 1, (5,), False),
        (ClosedLoop(1, 1), 1, (), True),
        (ClosedLoop(0, 1), 0, (), True),
        (ClosedLoop(None, 2, 10), 2, (), False),
        (ClosedLoop(None, 2, 10), 2, (11,), False),
        (ClosedLoop(None, 2, 10), 2, (11, 10), False),
        (ClosedLoop(None, 2, 10), 2, (11, 12), True),
        (ClosedLoop(None, [11], 10), 0, (), True),
        (OpenLoop(iter([0, 0])), 0, (), False),
        (OpenLoop(iter([0, 0])), 1, (), False),
        (OpenLoop(iter([0, 0])), 2, (), True),
        (OpenLoop(iter(())), 0, (), True),
        (OpenLoop(iter([0, 0]), 1, 10), 1, (), False),
        (OpenLoop(iter([0, 0]), 1, 10), 1, (10,), False),
        (OpenLoop(iter([0, 0]), 1, 10), 1, (11,), True),
        (OpenLoop(iter([0, 0]), None, 10), 1, (11,), False),
    ],
)
def test_exhausted_says_that_nothing_will_ever_come(
    loop: Arrivals, taken: int, freed: tuple[int, ...], expected: bool
) -> None:
    """True when all are out or all slots are closed; not while one may still be freed in time."""
    loop.begin(0)
    assert [0] * taken == [loop.take(0) for _ in range(taken)]
    for at in freed:
        loop.freed(at)

    assert expected == loop.exhausted(1000)


LENGTHS = st.integers(1, 20).map(float)
BURSTINESS = st.none() | st.just(1.0) | st.floats(0.1, 10.0)
RATES = st.floats(0.5, 50.0)
RAMPS = st.builds(RampUp, st.sampled_from(["linear", "exponential"]), RATES, RATES)
NUMBERS = st.integers(1, 200)
CAPS = st.none() | st.integers(5, 300)
P = st.just("p")
POINTS = (
    st.builds(Point, P, NUMBERS, CAPS, RATES, st.none() | LENGTHS, BURSTINESS)
    | st.builds(Point, P, NUMBERS, CAPS, st.none(), st.none() | LENGTHS, BURSTINESS, RAMPS)
    | st.builds(Point, P, st.none(), CAPS, st.none(), LENGTHS, BURSTINESS, RAMPS)
)


@given(POINTS, st.integers(0, 3), st.sampled_from([2, 3, 5]))
def test_any_number_of_workers_sends_the_same_at_the_same_time(
    point: Point, seed: int, workers: int
) -> None:
    """Due times belong to requests."""
    plan = replace(load(point), seed=seed)

    assert shared(plan, 1) == shared(plan, workers)


@pytest.mark.parametrize("workers", [1, 2, 3, 5])
def test_a_trace_says_when_requests_are_due(workers: int) -> None:
    """However many share it; those after the duration are left out."""
    plan = load(Point("p", arrivals="trace", duration_s=1.2), count=100)

    assert [n * 100 * MS for n in range(13)] == shared(plan, workers)


def test_a_trace_ends_by_itself() -> None:
    """Or with the number of requests that was asked for."""
    whole = shared(load(Point("p", arrivals="trace"), count=7), 2)
    part = shared(load(Point("p", 3, arrivals="trace"), count=7), 2)
    endless = arrivals.of(load(Point("p", arrivals="trace")), 1, 2)
    endless.begin(0)

    assert (7, 3, [100 * MS, 300 * MS]) == (len(whole), len(part), due(endless, 400 * MS))


def test_a_trace_without_times_is_an_error() -> None:
    """Not a load that goes all at once."""
    plan = load(Point("p", 3, arrivals="trace"), timed=False)

    with pytest.raises(LoadError, match="does not say when"):
        arrivals.of(plan, 0, 1)


@settings(max_examples=200)
@given(st.integers(1, 40), st.none() | st.integers(1, 40), st.integers(1, 6))
def test_workers_share_all_slots_and_all_requests(
    total: int, cap: int | None, workers: int
) -> None:
    """The sums are exact, with more workers than requests, too."""
    plan = load(Point("p", total, cap))
    workers = min(workers, cap or total)
    loops = [arrivals.of(plan, number, workers) for number in range(workers)]
    for loop in loops:
        loop.begin(START)
    at_once = sum(len(due(loop, START)) for loop in loops)

    assert min(total, cap or total) == at_once
    assert [0] * total == shared(plan, workers)
    assert at_once == sum(arrivals.streams(plan, number, workers) for number in range(workers))


def test_a_share_of_the_cap_is_a_share_of_the_slots() -> None:
    """Five slots over two workers: three and two."""
    plan = load(Point("p", 100, 5, 1000.0, burstiness=None))
    loops = [arrivals.of(plan, number, 2) for number in range(2)]
    for loop in loops:
        loop.begin(START)

    assert [3, 2] == [len(due(loop, START + S)) for loop in loops]


@pytest.mark.parametrize(
    "point",
    [Point("p", 100, 2), Point("p", 100, 2, 5.0), Point("p", None, 2, duration_s=1.0)],
)
def test_a_worker_without_a_slot_is_an_error(point: Point) -> None:
    """Its requests would never go."""
    with pytest.raises(LoadError, match="3 workers have only 2 slots"):
        arrivals.of(load(point), 2, 3)


def test_a_load_without_any_bound_is_an_error() -> None:
    """All requests there can be, at once, cannot be meant."""
    with pytest.raises(LoadError, match="needs a concurrency"):
        arrivals.of(load(Point("p", duration_s=1.0)), 0, 1)


@pytest.mark.parametrize(
    ("point", "expected"),
    [
        (Point("p", 10, 4), 4),
        (Point("p", 3, 4), 3),
        (Point("p", 1000), 1000),
        (Point("p", None, 8, duration_s=1.0), 8),
        (Point("p", 100, 8, 50.0), 8),
        (Point("p", 100, None, 2.5), 3),
        (Point("p", 2, None, 50.0), 2),
        (Point("p", None, None, 9000.0, duration_s=1.0), 256),
        (Point("p", ramp_up=RampUp("linear", 9.0, 5.0), duration_s=1.0), 9),
        (Point("p", arrivals="trace", duration_s=1.0), 256),
    ],
)
def test_connections_that_are_opened_ahead(point: Point, expected: int) -> None:
    """The slots of a closed loop, and of a rate what a second brings; shared exactly."""
    plan = load(point)

    assert expected == arrivals.streams(plan, 0, 1)
    assert expected == sum(arrivals.streams(plan, number, 3) for number in range(3))


def test_each_point_has_arrivals_of_its_own() -> None:
    """So that a repeat is another draw, as another seed is; the run's id makes no difference."""
    one, repeat = load(Point("a", 9, None, 5.0)), load(Point("b", 9, None, 5.0))
    plans = [one, replace(one, name="another run"), repeat, replace(one, seed=1)]
    first, again, *others = [shared(plan, 1) for plan in plans]

    assert (first, True) == (again, first not in others and others[0] != others[1])


@pytest.mark.parametrize(
    "loop",
    [ClosedLoop(None, [S] * 512), OpenLoop(iter([S])), OpenLoop(iter([0, 0]), 1)],
)
def test_to_ask_costs_less_than_a_microsecond(loop: Arrivals) -> None:
    """The client's loop asks after each batch of events; the best of several tries counts."""
    loop.begin(START)
    loop.take(START)
    assert loop.take(START) is None
    tracer = sys.gettrace()
    sys.settrace(None)  # coverage costs more than what is measured
    tries = timeit.repeat(lambda: loop.take(START), number=2000, repeat=20)
    sys.settrace(tracer)

    assert min(tries) / 2000 < 1e-6


def test_due_times_are_whole_microseconds() -> None:
    """The last digits of a logarithm differ between hosts."""
    times = shared(load(Point("p", 50, None, 3.0)), 1)

    assert [0] * 50 == [time % 1000 for time in times]

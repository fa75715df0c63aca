"""Tests of when requests are due."""

from __future__ import annotations

from bench_agent.load.arrivals import ClosedLoop


def test_all_slots_are_due_at_the_start() -> None:
    """As many as the cap, and no more until one ends."""
    loop = ClosedLoop(5, 2)
    loop.begin(100)

    assert [100, 100, None] == [loop.take(100), loop.take(100), loop.take(100)]


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


def test_nothing_is_due_before_the_start() -> None:
    """Until then, there is something to wait for."""
    loop = ClosedLoop(1, 1)
    loop.begin(100)

    assert (None, 100) == (loop.take(99), loop.next_due_ns())

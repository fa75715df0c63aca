"""Tests of a point's requests in columns."""

from __future__ import annotations

from array import array

from hypothesis import given
from hypothesis import strategies as st

from bench_agent.protocol import Point, RampUp
from bench_agent.traffic import UNKNOWN, Traffic, in_flight, is_open_loop, late_ns
from tests.bench_agent.records import MS, failed, record


def test_columns_hold_what_the_records_say() -> None:
    """Times from the send; nothing is zero that is not known."""
    traffic = Traffic([(0, record(0)), (500, record(1, first_content_ns=None, asked_tokens=4))])

    assert 2 == len(traffic)
    assert (array("q", [0, 500]), array("q", [0, 1])) == (traffic.at, traffic.index)
    assert ([50 * MS] * 2, [70 * MS] * 2) == (list(traffic.ttft), list(traffic.e2el))
    assert [50 * MS, UNKNOWN] == list(traffic.content)
    assert ([UNKNOWN, 4], [UNKNOWN] * 2) == (
        list(traffic.asked_output),
        list(traffic.asked_prompt),
    )
    assert (6, 0, {"kernel"}) == (traffic.reads, traffic.coalesced, traffic.stamped_by)


def test_only_successes_have_chunks() -> None:
    """A request that broke keeps its row and says why."""
    traffic = Traffic.of([failed(0), record(1), failed(2, error=None)])

    assert [1] == list(traffic.rows())
    assert [0, 0, 3, 3] == list(traffic.ends)
    assert [50 * MS, 60 * MS, 70 * MS] == list(traffic.chunks)
    assert ([], [10 * MS] * 2) == (list(traffic.itl(0)), list(traffic.itl(1)))
    assert ({0: "gone", 2: "reset"}, {"reset": 2}) == (traffic.errors, traffic.failures)


def test_a_success_of_one_chunk_has_no_gaps() -> None:
    """Its time to the first token is none."""
    traffic = Traffic.of([record(0, chunk_ns=(50 * MS,))])

    assert [] == list(traffic.itl(0))


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20)), max_size=20))
def test_the_number_in_flight_is_what_a_look_finds(
    spans: list[tuple[int, int]],
) -> None:
    """A request is in flight from its send until just before its end."""
    traffic = Traffic.of(record(i, sent_ns=a, done_ns=a + n) for i, (a, n) in enumerate(spans))
    found = dict(in_flight(traffic))  # the last word on each moment

    assert {moment: sum(a <= moment < a + n for a, n in spans) for moment in found} == found


def test_which_loads_go_by_a_clock() -> None:
    """A rate, a ramp or a trace; a closed loop goes by its own ends."""
    points = (
        Point("a", request_rate=1.0),
        Point("b", ramp_up=RampUp("linear", 1, 2)),
        Point("c", arrivals="trace"),
        Point("d", max_concurrency=4),
    )

    assert [True, True, True, False] == [is_open_loop(point) for point in points]


def test_late_is_after_the_due_time() -> None:
    """By a clock or by the end of the request before."""
    traffic = Traffic.of([record(0), record(1, due_ns=-9 * MS)])

    for point in (Point("a", max_concurrency=1), Point("b", request_rate=2.0)):
        assert [MS, 10 * MS] == late_ns(traffic, point, 1)


def waits(point: Point, workers: int, *spans: tuple[int, int, int]) -> list[int]:
    """How late requests were that were due, sent and over at these milliseconds."""
    traffic = Traffic.of(
        record(i, due_ns=due * MS, sent_ns=sent * MS, done_ns=done * MS)
        for i, (due, sent, done) in enumerate(spans)
    )
    return [late // MS for late in late_ns(traffic, point, workers)]


def test_to_wait_for_a_slot_is_not_to_be_late() -> None:
    """Under a cap of one, each waits for the end of the one before."""
    point = Point("p", request_rate=100.0, max_concurrency=1)

    assert [1, 1, 2] == waits(point, 1, (0, 1, 30), (0, 31, 50), (2, 52, 80))


def test_a_request_that_was_late_itself_is_late() -> None:
    """Its slot was free before it was due, or never taken."""
    point = Point("p", request_rate=100.0, max_concurrency=2)

    assert [1, 49, 5] == waits(point, 1, (0, 1, 30), (0, 49, 60), (55, 60, 80))


def test_each_worker_has_its_share_of_the_cap() -> None:
    """Of three slots, the first of two workers has two and the other one."""
    point = Point("p", request_rate=100.0, max_concurrency=3)

    assert [1, 1, 20] == waits(point, 2, (0, 1, 30), (0, 1, 50), (2, 50, 80))

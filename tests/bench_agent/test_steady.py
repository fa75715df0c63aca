"""Tests of the time between ramp-up and drain."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from bench_agent import steady
from bench_agent.distribution import nested_ms
from bench_agent.protocol import RequestRecord
from bench_agent.traffic import Traffic
from tests.bench_agent.records import MS, failed, record


def lasting(index: int, start_ms: int, length_ms: int, tokens: int = 10) -> RequestRecord:
    """A request with a token each tenth of its time."""
    sent, step = start_ms * MS, length_ms * MS // tokens
    chunks = tuple(step * (i + 1) for i in range(tokens))
    return record(
        index,
        due_ns=sent,
        sent_ns=sent,
        done_ns=sent + chunks[-1],
        first_chunk_ns=sent + chunks[0],
        last_chunk_ns=sent + chunks[-1],
        chunk_ns=chunks,
        output_tokens=tokens,
    )


def closed_loop(streams: int, each: int, *, ramp_ms: int = 0, length_ms: int = 1000) -> Traffic:
    """Streams of *each* requests that begin one after the other."""
    starts = [(s * ramp_ms + k * length_ms) for s in range(streams) for k in range(each)]
    return Traffic.of(lasting(i, start, length_ms) for i, start in enumerate(starts))


def in_ms(window: steady.Window | None) -> list[int] | None:
    return None if window is None else [edge // MS for edge in window]


def test_the_window_of_a_closed_loop() -> None:
    """From the last stream's begin to the last send; with 10 streams, 9 are enough."""
    assert [800, 4900] == in_ms(steady.window(closed_loop(10, 5, ramp_ms=100)))


def test_a_tail_of_stragglers_is_no_plateau() -> None:
    """However long it is."""
    loop = [lasting(i, i // 4 * 1000, 1000) for i in range(20)]
    tail = lasting(20, 0, 100_000)

    assert [0, 4000] == in_ms(steady.window(Traffic.of([*loop, tail])))


def test_a_burst_has_no_steady_time() -> None:
    """All is sent at once, and drains from then on."""
    assert steady.window(closed_loop(50, 1)) is None


def test_a_window_has_to_last() -> None:
    """Longer than a second, and than the median request."""
    assert steady.window(closed_loop(4, 3, length_ms=400)) is None
    assert [0, 1200] == in_ms(steady.window(closed_loop(4, 4, length_ms=400)))
    uneven = [lasting(0, 0, 4000), lasting(1, 0, 4000), lasting(2, 2000, 4000)]
    assert steady.window(Traffic.of(uneven)) is None


def test_nothing_is_not_steady() -> None:
    """No records, or one."""
    assert steady.window(Traffic.of([])) is None
    assert steady.window(Traffic.of([record()])) is None


def test_a_rare_load_is_steady_while_it_is_sent() -> None:
    """Its median number in flight is 0."""
    rare = Traffic.of(lasting(i, i * 1000, 10) for i in range(10))

    assert [0, 9000] == in_ms(steady.window(rare))


def test_the_figures_of_a_window() -> None:
    """Ten streams give ten tokens a second each, all the time."""
    traffic = closed_loop(10, 5, ramp_ms=100)
    window = steady.window(traffic)
    assert window is not None
    itl = nested_ms(*steady.split_gaps(traffic, window))[1]
    found = steady.figures(traffic, window, itl, (50.0, 99.0))

    assert (800 * MS, 4900 * MS) == (found["from_ns"], found["to_ns"])
    # The tenth stream begins within the window.
    assert (99, 101, 98) == tuple(
        round(found[name]) for name in ("output_throughput", "first_half", "second_half")
    )
    assert 10 == round(found["request_throughput"])
    # Sent and over within: of each stream those that fit in whole.
    inside = [
        start
        for start in (s * 100 + k * 1000 for s in range(10) for k in range(5))
        if start >= 800 and start + 1000 <= 4900
    ]
    assert len(inside) == found["requests"] == found["ttft_ms"]["count"]
    assert (100.0, 100.0, 1000.0) == tuple(
        found[name]["mean"] for name in ("ttft_ms", "itl_ms", "e2el_ms")
    )


def test_drift_shows_in_the_halves() -> None:
    """The first half is four times as fast."""
    fast = [lasting(i, i * 250, 250) for i in range(8)]
    slow = [lasting(8 + i, 2000 + i * 1000, 1000) for i in range(3)]
    traffic = Traffic.of([*fast, *slow])
    found = steady.figures(traffic, (0, 4000 * MS), None, (50.0,))

    assert (40.0, 10.0) == (round(found["first_half"]), round(found["second_half"]))
    assert 25.0 == round(found["output_throughput"])


SPANS = st.lists(st.tuples(st.integers(0, 3000), st.integers(10, 3000)), max_size=12)


def late_gaps(records: Iterable[RequestRecord], window: steady.Window) -> list[int]:
    """One by one: gaps whose later chunk came in the window."""
    found = []
    for r in records:
        for a, b in pairwise(r.chunk_ns):
            if r.success and window[0] <= r.sent_ns + b < window[1]:
                found.append(b - a)
    return found


@given(SPANS, st.integers(0, 3000), st.integers(1, 3000))
@settings(max_examples=50)
def test_gaps_are_split_at_the_window(
    spans: list[tuple[int, int]], begin_ms: int, length_ms: int
) -> None:
    """None is lost, and each is where its later chunk came."""
    records = [*(lasting(i, a, n) for i, (a, n) in enumerate(spans)), failed(99)]
    traffic = Traffic.of(records)
    window = begin_ms * MS, (begin_ms + length_ms) * MS
    inner, outer = steady.split_gaps(traffic, window)
    everything = [gap for row in traffic.rows() for gap in traffic.itl(row)]

    assert late_gaps(records, window) == list(inner)
    assert sorted(everything) == sorted(inner + outer)
    assert (array("q"), array("q", everything)) == steady.split_gaps(traffic, None)

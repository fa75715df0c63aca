from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_agent.protocol import RequestRecord
from reporting import series

MS = 1_000_000
START = 1_000 * MS

values = st.floats(min_value=0.01, max_value=1e5)
samples = st.lists(st.tuples(st.floats(min_value=0, max_value=100), values), min_size=1)


def record(**changes: object) -> RequestRecord:
    """A request of three chunks, sent half a second into the point."""
    base = {
        "index": 0,
        "request_id": "r",
        "endpoint": "e",
        "success": True,
        "due_ns": START,
        "sent_ns": START + 500 * MS,
        "done_ns": START + 600 * MS,
        "first_chunk_ns": START + 550 * MS,
        "chunk_ns": (50 * MS, 60 * MS, 75 * MS),
    }
    return RequestRecord(**(base | changes))  # type: ignore[arg-type] # a test's shorthand


def test_first_tokens_and_gaps_of_a_success() -> None:
    """TTFT stands where the request was sent, a gap where its later chunk came."""
    found = series.of_point([record()], START, 1.0)

    assert ((0.5, 50.0),) == found.ttft
    assert 2 == sum(b.count for b in found.itl.items)
    assert 15.0 == max(b.max for b in found.itl.items if b.max is not None)
    assert () == found.failed


def test_failures_are_kept_apart_with_one_message_a_class() -> None:
    """A failed request has no latency; the first of a class speaks for it."""
    bad = {"success": False, "first_chunk_ns": None, "chunk_ns": ()}
    records = [
        record(**bad, failure="timeout", error="first"),
        record(**bad, failure="timeout", error="second"),
        record(**bad),
    ]

    found = series.of_point(records, START, 1.0)

    assert (0.5, 0.5, 0.5) == found.failed
    assert {"timeout": "first", "unknown": ""} == found.errors
    assert () == found.ttft
    assert () == found.itl.items


def test_a_success_without_a_first_chunk_is_no_sample() -> None:
    """What was not stamped is not drawn."""
    assert () == series.of_point([record(first_chunk_ns=None, chunk_ns=())], START, 1.0).ttft


@given(st.lists(values, min_size=2), st.floats(min_value=0.01, max_value=0.99))
def test_the_quantile_is_the_linear_one(found: list[float], share: float) -> None:
    """It agrees with the standard library's inclusive quantiles."""
    ordered = sorted(found)
    cuts = statistics.quantiles(ordered, n=100, method="inclusive")

    assert series.quantile(ordered, 0.5) == pytest.approx(statistics.median(ordered))
    assert series.quantile(ordered, 0.99) == pytest.approx(cuts[98])
    assert ordered[0] <= series.quantile(ordered, share) <= ordered[-1] * (1 + 1e-9)


@given(samples)
def test_no_value_is_lost_in_buckets(found: list[tuple[float, float]]) -> None:
    """Counts add up, the largest value stays visible, and the buckets stay few."""
    gathered = series.buckets(found, 100.0)
    filled = [b for b in gathered.items if b.count]

    assert len(found) == sum(b.count for b in gathered.items)
    assert max(v for _, v in found) == max(b.max for b in filled if b.max is not None)
    assert len(gathered.items) <= series.BUCKETS + 1
    assert all(b.p50 <= b.p99 <= b.max for b in filled)  # type: ignore[operator] # not None if filled


def test_a_bucket_holds_median_p99_and_largest() -> None:
    """One bucket of 0 … 100: its percentiles are the values themselves."""
    (only,) = series.buckets([(0.5, float(v)) for v in range(101)], 1.0 * series.BUCKETS).items

    assert series.Bucket(10.0, 101, 50.0, 99.0, 100.0) == only


def test_empty_buckets_in_between_are_kept() -> None:
    """A pause is seen as a pause, not bridged by a line."""
    busy = [(t / 100, 10.0) for t in range(100)]
    later = [(9 + t / 100, 10.0) for t in range(100)]

    items = series.buckets(busy + later, 10.0).items

    assert 0 == items[len(items) // 2].count
    assert None is items[len(items) // 2].p50


@pytest.mark.parametrize(
    ("duration_s", "count", "width"),
    [(120.0, 10**6, 1.0), (60.0, 10**6, 0.5), (10.0, 100, 1.0), (0.0, 0, 0.001), (1.0, 1, 10.0)],
)
def test_buckets_have_a_round_width(duration_s: float, count: int, width: float) -> None:
    """1, 2 or 5 times a power of ten; wider where there is little to put in."""
    assert width == pytest.approx(series.bucket_width(duration_s, count))

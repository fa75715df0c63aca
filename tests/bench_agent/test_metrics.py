"""Tests of the figures."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_agent import metrics
from bench_agent.protocol import RequestRecord
from bench_agent.traffic import Traffic
from tests.bench_agent.records import MS, failed, record

SECOND = 1000 * MS


@st.composite
def traffics(draw: st.DrawFn) -> list[RequestRecord]:
    """Requests of a few seconds, some of them failed."""
    records = []
    for index in range(draw(st.integers(0, 8))):
        sent = draw(st.integers(0, 3 * SECOND))
        chunks = sorted(draw(st.lists(st.integers(1, 3 * SECOND), min_size=1, max_size=8)))
        last = sent + chunks[-1]
        records.append(
            record(
                index,
                success=draw(st.booleans()),
                sent_ns=sent,
                first_chunk_ns=sent + chunks[0],
                last_chunk_ns=last,
                chunk_ns=tuple(chunks),
                done_ns=last + draw(st.integers(0, MS)),
                output_tokens=draw(st.integers(1, 20)),
            )
        )
    return records


def test_a_request_in_figures() -> None:
    """First token after 50 ms, then one each 10 ms."""
    assert (50.0, [10.0, 10.0]) == (metrics.ttft_ms(record()), metrics.itl_ms(record()))


def test_a_record_without_chunks_has_no_first_token() -> None:
    """To ask is a mistake of the caller."""
    with pytest.raises(ValueError, match="chunks"):
        metrics.ttft_ms(record(first_chunk_ns=None))


@pytest.mark.parametrize(("tokens", "tpot"), [(3, 10.0 * MS), (0, None), (1, None), (None, None)])
def test_one_token_has_no_time_per_token(tokens: int | None, tpot: float | None) -> None:
    """VLLM leaves such requests out of the distribution."""
    assert tpot == metrics.tpot_ns(Traffic.of([record(output_tokens=tokens)]), 0)


def test_the_share_of_coalesced_reads() -> None:
    """Of all reads; 0 when nothing was read."""
    records = [record(reads=3, coalesced=1), record(reads=1, coalesced=0)]

    assert (0.25, 0.0) == (metrics.coalesced_share(records), metrics.coalesced_share([]))


@pytest.mark.parametrize(
    ("objectives", "good"),
    [
        ({"ttft": 50.0}, 3),
        ({"ttft": 49.999999}, 0),
        ({"tpot": 10.0}, 3),
        ({"tpot": 9.0}, 1),
        ({"e2el": 70.0}, 3),
        ({"e2el": 69.0}, 0),
        ({"ttft": 50.0, "tpot": 9.0, "e2el": 70.0}, 1),
    ],
)
def test_good_is_what_meets_every_objective(objectives: dict[str, float], good: int) -> None:
    """The limit is within, a failure is not good, and a single token has a TPOT of 0."""
    traffic = Traffic.of([record(0), record(1), record(2, output_tokens=1), failed(3)])

    assert good == metrics.good_requests(traffic, objectives)


def test_peak_concurrency_is_exact() -> None:
    """Requests one after the other are one, though vLLM's buckets count ten."""
    one_by_one = Traffic.of(record(i, start_ms=i * 71) for i in range(10))
    touching = Traffic.of([record(0, sent_ns=0, done_ns=5), record(1, sent_ns=5, done_ns=9)])
    overlapping = Traffic.of(record(i, start_ms=i * 30) for i in range(3))

    assert (1, 1, 3, 0) == tuple(
        metrics.peak_concurrency(t) for t in (one_by_one, touching, overlapping, Traffic.of([]))
    )
    assert (10, 0) == tuple(metrics.vllm_concurrency(t) for t in (one_by_one, Traffic.of([])))


@given(traffics())
def test_vllm_counts_a_request_in_each_second_it_touches(records: list[RequestRecord]) -> None:
    """By adding one to each bucket, as vLLM does."""
    good = [r for r in records if r.success]
    first = min((r.sent_ns for r in good), default=0)
    buckets = [0] * 8
    for r in good:
        for second in range((r.sent_ns - first) // SECOND, (r.last_chunk_ns - first) // SECOND + 1):
            buckets[second] += 1

    assert max(buckets) == metrics.vllm_concurrency(Traffic.of(records))


@given(traffics())
def test_peaks_are_those_of_each_token_in_its_second(records: list[RequestRecord]) -> None:
    """By adding each chunk, and its share of the usage, to its bucket."""
    good = [r for r in records if r.success]
    first = min((r.sent_ns for r in good), default=0)
    chunks, tokens = [0.0] * 8, [0.0] * 8
    for r in good:
        for offset in r.chunk_ns:
            second = (r.sent_ns + offset - first) // SECOND
            chunks[second] += 1
            tokens[second] += (r.output_tokens or 0) / len(r.chunk_ns)
    found = metrics.output_peaks(Traffic.of(records))

    assert max(chunks) == found[1]
    assert math.isclose(max(tokens), found[0], rel_tol=1e-9)


def test_seconds_count_from_the_first_send() -> None:
    """Not from a request's own: of its chunks, two came in the second second."""
    chunks = (50 * MS, 200 * MS, 300 * MS)
    traffic = Traffic.of(
        [
            record(0, sent_ns=0, chunk_ns=(MS,), output_tokens=1),
            record(1, sent_ns=900 * MS, chunk_ns=chunks, output_tokens=9),
        ]
    )

    assert (6.0, 2.0) == metrics.output_peaks(traffic)


def test_peaks_end_where_a_clock_was_set_back() -> None:
    """Stamps that fall are counted, once each."""
    stamps = (2 * SECOND, SECOND // 2, SECOND // 4)
    back = record(0, sent_ns=0, chunk_ns=stamps)

    assert any(b < a for a, b in pairwise(stamps))
    assert (3.0, 3.0) >= metrics.output_peaks(Traffic.of([back])) > (0.0, 0.0)

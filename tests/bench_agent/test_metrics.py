"""Tests of the figures."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_agent import metrics
from tests.bench_agent.records import MS, failed, record

FLOATS = st.lists(st.floats(0, 1e6), min_size=1, max_size=50)


@given(FLOATS)
def test_statistics_are_those_of_the_standard_library(values: list[float]) -> None:
    """Mean, median and population deviation; inclusive quantiles are numpy's linear ones."""
    found = metrics.stats(values)

    assert found is not None
    assert math.isclose(statistics.fmean(values), found.mean, rel_tol=1e-9, abs_tol=1e-9)
    assert math.isclose(statistics.pstdev(values), found.std, rel_tol=1e-6, abs_tol=1e-6)
    assert math.isclose(statistics.median(values), found.median, rel_tol=1e-9, abs_tol=1e-9)
    assert (min(values), max(values), len(values)) == (found.min, found.max, found.count)


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=50))
def test_percentiles_are_numpy_s(values: list[float]) -> None:
    """Linear between neighbours."""
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    found = metrics.stats(values)

    assert found is not None
    for q in metrics.PERCENTILES:
        assert math.isclose(cuts[q - 1], found.percentiles[f"p{q}"], rel_tol=1e-9, abs_tol=1e-6)


def test_known_percentiles() -> None:
    """numpy.percentile([1, 2, 3, 4], …) by hand."""
    assert [1.0, 2.5, 3.7, 4.0] == [
        pytest.approx(metrics.percentile([1, 2, 3, 4], q)) for q in (0, 50, 90, 100)
    ]


def test_without_values_there_are_no_statistics() -> None:
    """None, not zero: zero milliseconds would be a good figure."""
    assert metrics.stats([]) is None
    with pytest.raises(ValueError, match="no values"):
        metrics.percentile([], 50)


def test_a_request_in_figures() -> None:
    """First token after 50 ms, last after 70 ms, three tokens, sent 1 ms late."""
    one = record()

    assert (50.0, 70.0, 10.0, [10.0, 10.0], 1.0) == (
        metrics.ttft_ms(one),
        metrics.e2el_ms(one),
        metrics.tpot_ms(one),
        metrics.itl_ms(one),
        metrics.send_delay_ms(one),
    )


@pytest.mark.parametrize("tokens", [0, 1, None])
def test_one_token_has_no_time_per_token(tokens: int | None) -> None:
    """VLLM leaves such requests out of the distribution."""
    assert metrics.tpot_ms(record(output_tokens=tokens)) is None


def test_a_record_without_chunks_has_no_first_token() -> None:
    """To ask is a mistake of the caller."""
    with pytest.raises(ValueError, match="chunks"):
        metrics.ttft_ms(record(first_chunk_ns=None))


def test_failures_are_counted_by_class() -> None:
    """Successes are no class."""
    found = metrics.failures([record(), failed(), failed(), failed(failure="timeout")])

    assert {"reset": 2, "timeout": 1} == found


def test_peak_concurrency_is_exact() -> None:
    """Requests one after the other are one, though vLLM's buckets would count ten."""
    one_by_one = [record(i, start_ms=i * 71) for i in range(10)]
    touching = [record(0, sent_ns=0, done_ns=5), record(1, sent_ns=5, done_ns=9)]
    overlapping = [record(i, start_ms=i * 30) for i in range(3)]

    assert (1, 1, 3, 0) == tuple(
        metrics.peak_concurrency(r) for r in (one_by_one, touching, overlapping, [])
    )


def test_the_share_of_coalesced_reads() -> None:
    """Of all reads; 0 when nothing was read."""
    records = [record(reads=3, coalesced=1), record(reads=1, coalesced=0)]

    assert (0.25, 0.0) == (metrics.coalesced_share(records), metrics.coalesced_share([]))


def test_the_peak_of_chunks_in_a_second() -> None:
    """VLLM's buckets begin with the first start."""
    late = record(1, start_ms=1000, chunk_ns=(MS,))

    assert (3.0, 0.0) == (
        metrics.peak_chunks_per_s([record(), late]),
        metrics.peak_chunks_per_s([]),
    )

"""Tests of distributions."""

from __future__ import annotations

import math
import random
import statistics
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_agent import distribution
from bench_agent.protocol import Stats

FLOATS = st.lists(st.floats(0, 1e6), min_size=1, max_size=50)
#: Gaps in ns, also those of a clock that was set back, and many that are equal.
GAPS = st.lists(st.integers(-(10**6), 10**11) | st.sampled_from([0, 10_000_000]), max_size=60)


def close(expected: float, found: float) -> bool:
    return math.isclose(expected, found, rel_tol=1e-9, abs_tol=1e-6)


@given(FLOATS)
def test_statistics_are_those_of_the_standard_library(values: list[float]) -> None:
    """Mean, median and population deviation."""
    found = distribution.stats(values)

    assert found is not None
    assert math.isclose(statistics.fmean(values), found.mean, rel_tol=1e-9, abs_tol=1e-9)
    assert math.isclose(statistics.pstdev(values), found.std, rel_tol=1e-6, abs_tol=1e-6)
    assert math.isclose(statistics.median(values), found.median, rel_tol=1e-9, abs_tol=1e-9)
    assert (min(values), max(values), len(values)) == (found.min, found.max, found.count)


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=50))
def test_percentiles_are_numpy_s(values: list[float]) -> None:
    """Inclusive quantiles are numpy's linear ones."""
    cuts = statistics.quantiles(values, n=1000, method="inclusive")
    found = distribution.stats(values, (1, 50, 90, 95, 99, 99.9))

    assert found is not None
    assert ["p1", "p50", "p90", "p95", "p99", "p99.9"] == list(found.percentiles)
    assert all(
        close(cuts[round(float(name[1:]) * 10) - 1], value)
        for name, value in found.percentiles.items()
    )


def test_known_percentiles() -> None:
    """numpy.percentile([1, 2, 3, 4], …) by hand."""
    assert [1.0, 2.5, 3.7, 4.0] == [
        pytest.approx(distribution.percentile([1, 2, 3, 4], q)) for q in (0, 50, 90, 100)
    ]


def test_without_values_there_are_no_statistics() -> None:
    """None, not zero: zero milliseconds would be a good figure."""
    assert distribution.stats([]) is None
    assert (None, None) == distribution.nested_ms(array("q"), array("q"))
    with pytest.raises(ValueError, match="no values"):
        distribution.percentile([], 50)


def test_percentiles_are_named_as_vllm_names_them() -> None:
    """Whole ones without a point."""
    assert ["p99", "p99.9", "p5"] == [distribution.name_of(q) for q in (99.0, 99.9, 5)]


def same(expected: Stats | None, found: Stats | None) -> bool:
    if expected is None or found is None:
        return expected is found
    pairs = [(getattr(expected, name), getattr(found, name)) for name in ("mean", "median", "std")]
    pairs += [
        (expected.percentiles[name], found.percentiles[name]) for name in expected.percentiles
    ]
    exact = (expected.min, expected.max, expected.count) == (found.min, found.max, found.count)
    return exact and all(math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-7) for a, b in pairs)


@given(GAPS, GAPS)
def test_counting_gives_what_sorting_gives(inner: list[int], outer: list[int]) -> None:
    """Of both parts together and of the inner one alone."""
    asked = (1.0, 50.0, 99.0, 99.9)
    both, alone = distribution.nested_ms(array("q", inner), array("q", outer), asked)

    assert same(distribution.stats_ms(inner + outer, asked), both)
    assert same(distribution.stats_ms(inner, asked), alone)


def test_counting_gives_what_sorting_gives_for_many() -> None:
    """More than one block, and a straggler that makes the buckets wide."""
    dice = random.Random(1)
    inner = [int(dice.gauss(1e7, 1e6)) for _ in range(70_000)]
    outer = [*(int(dice.gauss(2e7, 1e5)) for _ in range(3000)), 9_000_000_000]
    both, alone = distribution.nested_ms(array("q", inner), array("q", outer))

    assert same(distribution.stats_ms(inner + outer), both)
    assert same(distribution.stats_ms(inner), alone)

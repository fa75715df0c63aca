"""Tests of the histogram of delays."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bench_agent.load.lag import Lag, percentiles


@given(st.lists(st.integers(0, 10**11), min_size=1))
def test_percentiles_are_at_most_an_eighth_too_low(delays: list[int]) -> None:
    """And never too high."""
    lag = Lag()
    for delay in delays:
        lag.add(delay)
    found = percentiles(lag.buckets)

    assert found is not None
    assert max(delays) * 7 / 8 / 1e6 <= found["max"] <= max(delays) / 1e6


def test_nothing_has_no_percentiles() -> None:
    """Nobody looked, so nobody was late."""
    assert percentiles({}) is None


def test_a_negative_delay_is_none() -> None:
    """Clocks may differ by a hair."""
    lag = Lag()
    lag.add(-5)

    assert {"p50": 0.0, "p99": 0.0, "max": 0.0} == percentiles(lag.buckets)

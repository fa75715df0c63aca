"""Tests of the comparison of a client with the truth."""

from __future__ import annotations

from typing import Any

import pytest

from bench_agent.simulator.comparison import ComparisonError, compare
from tests.bench_agent.records import MS, record

TRUTH = {"r0": {"arrived_ns": 0, "sent_ns": [49 * MS, 59 * MS, 70 * MS]}}


def test_errors_are_differences_from_the_truth() -> None:
    """The client saw the first token 1 ms late, and one gap 1 ms too short."""
    found = compare([record()], TRUTH)

    assert {"mean": 1.0, "p99": 1.0, "max": 1.0} == found["ttft_error_ms"]
    assert (0.5, 1.0) == (found["itl_error_ms"]["mean"], found["itl_error_ms"]["max"])


def test_stamps_are_compared_uncorrected() -> None:
    """The client's less the simulator's: 51 - 49, 61 - 59 and 71 - 70; the true gaps beside it."""
    found = compare([record()], TRUTH)

    assert (1.666667, 2.0) == (found["token_error_ms"]["mean"], found["token_error_ms"]["max"])
    assert {"p50": 10.5, "p99": 10.99} == found["true_itl_ms"]


@pytest.mark.parametrize("truths", [{"r0": {"arrived_ns": 0, "sent_ns": [1]}}, {}])
def test_different_numbers_of_tokens_are_no_error_but_a_failure(truths: dict[str, Any]) -> None:
    """Then nothing can be compared; nor can a request that the simulator never saw."""
    with pytest.raises(ComparisonError, match="different tokens"):
        compare([record()], truths)


def test_single_tokens_have_no_gaps() -> None:
    """Zero, since nothing was compared."""
    one = record(chunk_ns=(49 * MS,), first_chunk_ns=50 * MS)
    truth = {"r0": {"arrived_ns": 0, "sent_ns": [49 * MS]}}
    found = compare([one], truth)

    assert (0.0, 0.0) == (found["itl_error_ms"]["max"], found["true_itl_ms"]["p99"])

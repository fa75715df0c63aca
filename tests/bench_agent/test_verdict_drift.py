"""Tests of drift: what chance does to the halves of a point is none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench_agent.protocol import Point, PointSummary
from bench_agent.summary import Measured, summarise
from bench_agent.traffic import Traffic
from bench_agent.verdict import judge_point
from tests.bench_agent.records import MS, record, run_spec

GOOD = [record(0), record(1)]
STEADY = {
    "from_ns": 0,
    "to_ns": 20_000 * MS,
    "requests": 400,
    "first_half": 100.0,
    "second_half": 100.0,
    "ttft_ms": {"mean": 500.0},
}


def measured(point: Point = Point("p", 2, max_concurrency=2)) -> PointSummary:  # noqa: B008 - frozen
    return summarise(run_spec(), point, Traffic.of(GOOD), Measured(0, 1000 * MS), calibration=None)


@pytest.mark.parametrize(
    ("point", "second_half", "drifts"),
    [
        # 15 % and a time to first token in ten seconds, 5 %
        (Point("p", 2, max_concurrency=2), 79.0, True),
        (Point("p", 2, max_concurrency=2), 121.0, True),
        (Point("p", 2, max_concurrency=2), 81.0, False),
        (Point("p", 2, max_concurrency=2), 119.0, False),
        # and 30 %: three deviations of arrivals by chance, 200 to a half
        (Point("p", 2, request_rate=20.0), 49.0, True),
        (Point("p", 2, request_rate=20.0), 51.0, False),
        (Point("p", 2, arrivals="trace"), 49.0, False),
    ],
)
def test_drift_beyond_chance_is_a_reason(point: Point, second_half: float, drifts: bool) -> None:
    """A trace changes on purpose."""
    spec = run_spec()
    summary = measured(point)
    drifting = replace(summary, steady={**STEADY, "second_half": second_half})
    found = judge_point(spec, drifting, Traffic.of(GOOD), Measured(0, MS), None)
    said = f"Output throughput drifted by {second_half - 100:+.1f}% from the first half"

    assert drifts == any(reason.startswith(said) for reason in found.reasons)
    assert drifts != found.valid


def test_nothing_in_the_first_half_is_no_drift() -> None:
    """The first tokens took longer than that."""
    summary = replace(measured(), steady={**STEADY, "first_half": 0.0})

    assert judge_point(run_spec(), summary, Traffic.of(GOOD), Measured(0, MS), None).valid

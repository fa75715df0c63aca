from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench_agent.protocol import Point, Verdict
from reporting import figures
from reporting.run import load


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0, "0"),
        (0.0, "0.00"),
        (0.0421, "0.042"),
        (51.239, "51.24"),
        (118.04, "118.0"),
        (1037.28, "1,037"),
        (12800, "12,800"),
        (-4.5, "-4.50"),
    ],
)
def test_numbers_bear_about_four_figures(value: float | None, text: str) -> None:
    """Thousands are separated, small figures keep their digits, counts have none."""
    assert text == figures.number(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0.0421, "0.042 s"),
        (12.34, "12.3 s"),
        (245, "4 min 05 s"),
        (3599.9, "60 min 00 s"),
        (7380, "2 h 03 min"),
    ],
)
def test_durations_read_well_at_any_length(value: float | None, text: str) -> None:
    """Milliseconds to hours, each in its own unit."""
    assert text.replace("60 min 00 s", "1 h 00 min") == figures.seconds(value)


def test_times_are_in_utc() -> None:
    """From nanoseconds and from RFC 3339 alike; what is no time stays as it is."""
    assert "2026-11-21 11:34:05 UTC" == figures.when(1_795_260_845_999_999_999)
    assert "2026-11-21 11:34:05 UTC" == figures.when_iso("2026-11-21T12:34:05+01:00")
    assert "yesterday" == figures.when_iso("yesterday")


@pytest.mark.parametrize(
    ("point", "text"),
    [
        (Point("a", 1, max_concurrency=4), "rate inf, concurrency 4"),
        (Point("a", 1, request_rate=2.5), "2.50 req/s, no cap"),
    ],
)
def test_a_load_in_words(point: Point, text: str) -> None:
    """Rate and cap, the open ends said too."""
    assert text == figures.load(point)


@pytest.mark.parametrize(
    ("calibration", "text"),
    [
        (None, None),
        ({}, None),
        ({"host": "a", "ttft_error_ms": "?"}, None),
        ({"ttft_error_ms": 0.184, "runs": 3}, "TTFT +0.184 ms"),
        ({"itl_error_ms": {"mean": -0.02}}, "ITL mean -0.020 ms"),
        ({"ttft_error_ms": {"max": 3.0}, "of": {"ttft_error_ms": 1}}, None),
        (
            {"ttft_error_ms": {"mean": 1, "percentiles": {"p99": 2}}, "itl_error_ms": 0.5},
            "TTFT mean +1.000 ms, P99 +2.000 ms; ITL +0.500 ms",
        ),
    ],
)
def test_the_clients_own_error_is_found_by_its_name(
    calibration: dict[str, Any] | None, text: str | None
) -> None:
    """A plain number or a distribution; what is neither is no error."""
    assert text == figures.client_error(calibration)


def test_the_headline_is_a_valid_point_where_there_is_one(whole: Path) -> None:
    """The fastest point counts only if it can be believed, or if none can."""
    points = load(whole).points
    doubted = tuple(replace(p, verdict=Verdict(valid=False)) for p in points)

    assert points[1].output_throughput > points[0].output_throughput
    assert points[0] == figures.best(points)
    assert doubted[1] == figures.best(doubted)
    assert None is figures.best(())

"""Tests of the client's own error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench_agent import calibration
from bench_agent.calibration import CalibrationError, calibrate, compare, largest_streams
from bench_agent.load.worker import Tally
from bench_agent.protocol import Point
from tests.bench_agent.records import MS, record, run_spec

TRUTH = {"r0": {"arrived_ns": 0, "sent_ns": [49 * MS, 59 * MS, 70 * MS]}}


def go_on(_tally: Tally) -> bool:
    """Nobody stops it."""
    return True


def test_errors_are_differences_from_the_truth() -> None:
    """The client saw the first token 1 ms late, and one gap 1 ms too short."""
    found = compare([record()], TRUTH)

    assert {"mean": 1.0, "p99": 1.0, "max": 1.0} == found["ttft_error_ms"]
    assert (0.5, 1.0) == (found["itl_error_ms"]["mean"], found["itl_error_ms"]["max"])


def test_different_numbers_of_tokens_are_no_error_but_a_failure() -> None:
    """Then nothing can be compared."""
    short = {"r0": {"arrived_ns": 0, "sent_ns": [1]}}

    with pytest.raises(CalibrationError, match="different tokens"):
        compare([record()], short)


def test_single_tokens_have_no_gaps() -> None:
    """Zero, since nothing was compared."""
    one = record(chunk_ns=(49 * MS,), first_chunk_ns=50 * MS)
    truth = {"r0": {"arrived_ns": 0, "sent_ns": [49 * MS]}}

    assert 0.0 == compare([one], truth)["itl_error_ms"]["max"]


@pytest.mark.parametrize(
    ("points", "streams"),
    [
        ((Point("a", 100, 4), Point("b", 100, 16)), 16),
        ((Point("a", 10, 64),), 10),
        ((Point("a", 1000),), 256),
    ],
)
def test_the_largest_load_is_calibrated(points: tuple[Point, ...], streams: int) -> None:
    """Within what is known to work."""
    assert streams == largest_streams(run_spec(points=points))


@pytest.mark.integration
def test_the_client_is_right_within_a_millisecond(tmp_path: Path) -> None:
    """On this very host, token by token; the next run finds it in the cache."""
    spec = run_spec(points=(Point("a", 8, 4),))
    first = calibrate(spec, 1, tmp_path, go_on)
    again = calibrate(spec, 1, tmp_path, go_on)

    assert (4, 512, False, True) == (
        first["streams"],
        first["tokens"],
        first["cached"],
        again["cached"],
    )
    assert first["ttft_error_ms"]["mean"] < 1.0
    assert first["itl_error_ms"]["mean"] < 1.0
    assert {**first, "cached": True} == again


def test_another_agent_does_not_use_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does another host, or a load of another size; a torn file is no calibration."""
    measured: list[int] = []

    def measure(streams: int, _workers: int, _tick: Any) -> dict[str, Any]:
        measured.append(streams)
        return {"streams": streams}

    monkeypatch.setattr(calibration, "measure", measure)
    spec = run_spec(points=(Point("a", 8, 4),))
    calibrate(spec, 1, tmp_path, go_on)
    calibrate(spec, 1, tmp_path, go_on)
    monkeypatch.setattr("bench_agent.identity.agent_sha256", lambda: "other")
    calibrate(spec, 1, tmp_path, go_on)
    for path in tmp_path.iterdir():
        path.write_text(json.dumps({"key": "torn"}))
    calibrate(spec, 1, tmp_path, go_on)

    assert [4, 4, 4] == measured


def test_a_stopped_calibration_says_nothing(tmp_path: Path) -> None:
    """And is not cached."""
    with pytest.raises(CalibrationError, match="could not be measured"):
        calibrate(run_spec(), 1, tmp_path / "cache", lambda _tally: False)

    assert not (tmp_path / "cache").exists()

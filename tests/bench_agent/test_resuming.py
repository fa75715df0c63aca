"""Tests of runs that ended before they were through: sealed, and taken up again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bench_agent import storage
from bench_agent.layout import RunDir
from bench_agent.protocol import Limits, Point, Target
from bench_agent.resuming import CannotResume, reopen
from bench_agent.sealing import seal_dead_run
from bench_agent.storage import read_json
from tests.bench_agent.records import PATIENT, run_spec
from tests.bench_agent.test_runner import summary

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("own_signals")]
Simulate = Callable[..., str]
Run = Callable[..., tuple[RunDir, str]]


def test_a_run_is_taken_up_where_it_ended(simulate: Simulate, go: Run) -> None:
    """Points that are through are kept as they are, the others are measured again."""
    points = (Point("00-c2", 4, 2), Point("01-c2", 40, 2))
    slow = run_spec(url=simulate(itl_ms=100.0), points=points, planned_s=3.0, limits=PATIENT)
    folder, state = go(slow)
    kept = folder.records("00-c2").read_bytes()
    quick = replace(slow, target=Target((simulate(),), "simulated"), planned_s=30.0)
    reopen(folder, quick)
    assert not folder.sealed
    again, end = go(quick)
    found = summary(again)

    assert ("incomplete", "done") == (state, end)
    assert [4, 40] == [p.completed for p in found.points]
    assert kept == folder.records("00-c2").read_bytes()
    assert folder.sealed


@pytest.mark.parametrize("change", [{"num_warmups": 9}, {"points": (Point("00-c2", 9, 2),)}])
def test_another_plan_is_no_plan_to_go_on_with(
    simulate: Simulate, go: Run, change: dict[str, Any]
) -> None:
    """The points would not be comparable."""
    spec = run_spec(url=simulate(itl_ms=500.0), planned_s=0.5)
    folder, _ = go(spec)

    with pytest.raises(CannotResume, match="another plan"):
        reopen(folder, replace(spec, **change))
    assert folder.sealed


def test_a_run_that_is_done_is_not_taken_up(simulate: Simulate, go: Run) -> None:
    """There is nothing left to measure, and its seal stays."""
    spec = run_spec(url=simulate())
    folder, _ = go(spec)

    with pytest.raises(CannotResume, match="is done"):
        reopen(folder, spec)
    assert folder.sealed


def test_sealing_keeps_what_was_closed(simulate: Simulate, go: Run) -> None:
    """A point that was through keeps its figures and its verdict when the process dies later."""
    points = (Point("00-c2", 4, 2), Point("01-c2", 40, 2))
    limits = Limits(max_client_cpu=1e-6)  # so that the point is invalid for what no record knows
    spec = run_spec(url=simulate(itl_ms=100.0), points=points, planned_s=3.0, limits=limits)
    folder, _ = go(spec)
    before = (folder.point("00-c2") / "summary.json").read_bytes()
    status = read_json(folder.status)
    folder.sums.unlink()
    storage.write_json(folder.status, {**status, "state": "running", "pid": 1 << 22})
    seal_dead_run(folder)
    found = summary(folder)

    assert before == (folder.point("00-c2") / "summary.json").read_bytes()
    assert any("busiest" in reason for reason in found.points[0].verdict.reasons)
    assert ["00-c2", "01-c2"] == [p.point.name for p in found.points]


def test_a_run_taken_up_in_vain_keeps_what_was_closed(
    simulate: Simulate, go: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server is gone by then; the points that were through are still what they were."""
    points = (Point("00-c2", 4, 2), Point("01-c2", 40, 2))
    spec = run_spec(url=simulate(itl_ms=100.0), points=points, planned_s=3.0, limits=PATIENT)
    folder, _ = go(spec)
    before = (folder.point("00-c2") / "summary.json").read_bytes()
    again = replace(spec, target=Target(("http://127.0.0.1:1",), "simulated"))
    reopen(folder, again)
    _, state = go(again)

    assert "failed" == state
    assert before == (folder.point("00-c2") / "summary.json").read_bytes()
    assert "00-c2" in [p.point.name for p in summary(folder).points]

"""What a run came to, told by whether it is an error."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from bench_agent import protocol, wire
from bench_agent.protocol import Point, PointSummary, RunSummary, Verdict
from provisioning.errors import BenchError, UsageError
from provisioning.outcome import require_fit
from provisioning.rundir import RunDir

GOLDEN = Path(__file__).parents[1] / "golden" / "protocol" / "PointSummary.json"


def point(name: str, requested: int, failed: int, *, valid: bool = True) -> PointSummary:
    """A point of which *failed* requests did not succeed."""
    one = wire.decode(PointSummary, json.loads(GOLDEN.read_text()))
    return dataclasses.replace(
        one,
        point=Point(name),
        verdict=Verdict(valid, () if valid else ("Drift.",)),
        requested=requested,
        completed=requested - failed,
        failed=failed,
    )


def run(folder: Path, *points: PointSummary, **changes: Any) -> RunDir:
    """A run at home, of which up to a tenth of the requests may fail."""
    values: dict[str, Any] = {
        "schema": protocol.SCHEMA,
        "run_id": folder.name,
        "state": "done",
        "verdict": Verdict(valid=True),
        "started_ns": 0,
        "ended_ns": 1,
        "points": points,
    }
    summary = RunSummary(**(values | changes))
    (folder / "summary.json").write_text(json.dumps(wire.encode(summary)))
    about = {"spec": {"limits": {"max_failed_share": 0.1}}}
    (folder / "manifest.json").write_text(json.dumps(about))
    return RunDir(folder)


def search(*names: str) -> dict[str, Any]:
    steps = [{"point": name, "value": 1.0, "good_share": None, "ok": False} for name in names]
    return {"over": "request_rate", "share": 0.99, "steps": steps, "highest": None}


def test_a_run_that_measured_all_is_fit(tmp_path: Path) -> None:
    """As long as failures are within the limit."""
    assert 2 == len(require_fit(run(tmp_path, point("a", 10, 0), point("b", 10, 1))).points)


def test_a_point_may_be_invalid_for_other_reasons(tmp_path: Path) -> None:
    """The verdict is told with the result; it is no failure of the run."""
    require_fit(run(tmp_path, point("a", 10, 0, valid=False)))


@pytest.mark.parametrize("state", ["incomplete", "failed"])
def test_a_run_that_did_not_end_is_not(tmp_path: Path, state: str) -> None:
    """However good what it measured is."""
    with pytest.raises(BenchError, match=f"ended as {state}") as caught:
        require_fit(run(tmp_path, point("a", 10, 0), state=state))
    assert 7 == caught.value.exit_code


@pytest.mark.parametrize(
    ("requested", "failed"),
    [(10, 2), (10, 10), (0, 0)],
    ids=["more than the limit", "all", "nothing was sent"],
)
def test_failures_are_told(tmp_path: Path, requested: int, failed: int) -> None:
    """By the point, also where another one went well."""
    both = point("a", 10, 0), point("b", requested, failed)
    with pytest.raises(BenchError, match=rf"allows: b \({failed} of {requested}\)") as caught:
        require_fit(run(tmp_path, *both))
    assert 7 == caught.value.exit_code


def test_a_run_without_points_is_not_fit(tmp_path: Path) -> None:
    """Nothing measured is no success."""
    with pytest.raises(BenchError, match=r"No request of the run \S+ succeeded"):
        require_fit(run(tmp_path))


def test_a_search_may_go_beyond_what_holds(tmp_path: Path) -> None:
    """There requests fail: that is what it looks for."""
    points = point("a", 10, 0), point("s1", 10, 0), point("s2", 10, 10)
    require_fit(run(tmp_path, *points, search=search("s1", "s2")))


def test_a_search_in_which_nothing_succeeds_is_told(tmp_path: Path) -> None:
    """It found nothing out."""
    points = point("a", 10, 0), point("s1", 10, 10)
    with pytest.raises(BenchError, match="No request of the search succeeded"):
        require_fit(run(tmp_path, *points, search=search("s1")))


def test_a_search_does_not_excuse_the_points_before_it(tmp_path: Path) -> None:
    """Those were asked for as they are."""
    points = point("a", 10, 5), point("s1", 10, 0)
    with pytest.raises(BenchError, match=r"a \(5 of 10\)"):
        require_fit(run(tmp_path, *points, search=search("s1")))


def test_a_summary_of_another_release_is_told(tmp_path: Path) -> None:
    """With the key that does not fit."""
    found = run(tmp_path, point("a", 10, 0))
    data = json.loads((tmp_path / "summary.json").read_text()) | {"surprise": 1}
    (tmp_path / "summary.json").write_text(json.dumps(data))
    with pytest.raises(UsageError, match="of another release: surprise"):
        require_fit(found)


def test_a_missing_summary_is_told(tmp_path: Path) -> None:
    """And how to get it."""
    with pytest.raises(UsageError, match=r"summary\.json cannot be read"):
        require_fit(RunDir(tmp_path))

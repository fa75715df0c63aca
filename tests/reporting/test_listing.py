from __future__ import annotations

import json
from pathlib import Path

import pytest

from reporting.listing import Row, runs
from tests.data import make_results

OTHER = "20261121T113406Z-chat-0001"


@pytest.fixture
def results(whole: Path, failed: Path) -> Path:
    """Both golden runs under one root."""
    assert whole.parent == failed.parent
    return whole.parent.parent


def test_runs_are_listed_newest_first(results: Path) -> None:
    """With state, verdict and the figures of the best point that can be believed."""
    newest, oldest = runs(results)

    assert (make_results.FAILED, "failed", "") == (newest.run_id, newest.state, newest.verdict)
    assert "The engine exited with 98 before it was ready." == newest.problem
    assert ("done", "not valid", "00-c4") == (oldest.state, oldest.verdict, oldest.point)
    assert ("local", "rehearsal") == (oldest.stack, oldest.recipe)
    assert "2026-11-21T11:34:05+00:00" == oldest.opened_at
    assert 323.5 == pytest.approx(oldest.output_throughput, abs=0.1)
    assert 56.89 == pytest.approx(oldest.ttft_ms, abs=0.01)


def test_stacks_are_mixed_by_time(results: Path) -> None:
    """The newest run of any stack comes first."""
    make_results.write_whole(results, run_id=OTHER).rename(results / "elsewhere")
    (results / "azure").mkdir()
    (results / "elsewhere").rename(results / "azure" / OTHER)

    assert ["local", "azure", "local"] == [row.stack for row in runs(results)]


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("summary.json", "{", "is not JSON"),
        ("summary.json", '{"schema": 9}', "has schema 9"),
        ("home/run.json", "[]", "holds no JSON object"),
    ],
)
def test_a_damaged_run_is_listed_as_broken(
    results: Path, whole: Path, name: str, text: str, problem: str
) -> None:
    """It is a row with the reason, never left out."""
    (whole / name).write_text(text)

    row = runs(results)[1]

    assert (make_results.WHOLE, "rehearsal", "broken") == (row.run_id, row.recipe, row.state)
    assert problem in row.problem


def test_directories_of_something_else_are_listed_too(results: Path) -> None:
    """An empty folder and a foreign name, the latter as the oldest; files are no runs."""
    (results / "local" / OTHER).mkdir()
    (results / "local" / "zz-notes").mkdir()
    (results / "local" / "index.sqlite").touch()
    (results / "README").touch()

    rows = runs(results)

    assert 4 == len(rows)
    assert "It holds no run." == next(r for r in rows if r.run_id == OTHER).problem
    assert ("zz-notes", "Its name is no run id.") == (rows[-1].run_id, rows[-1].problem)


def test_a_run_under_way_is_listed_with_its_state(results: Path, failed: Path) -> None:
    """Not whole yet: what came home so far is not read."""
    home = failed / "home" / "run.json"
    home.write_text(json.dumps(json.loads(home.read_text()) | {"state": "launched", "error": None}))
    (failed / "summary.json").write_text("{half")

    row = runs(results)[0]

    assert ("launched", "", "") == (row.state, row.verdict, row.problem)


def test_a_run_without_a_home_file_is_listed(results: Path, whole: Path) -> None:
    """Its name and its summary are enough."""
    (whole / "home" / "run.json").unlink()

    row = runs(results)[1]

    assert ("rehearsal", "done", "") == (row.recipe, row.state, row.opened_at)


def test_rows_are_plain_json(results: Path) -> None:
    """For --json."""
    row = runs(results)[1]

    assert row == Row(**json.loads(json.dumps(row.as_dict())))


def test_no_results_yet(tmp_path: Path) -> None:
    """A folder that is not there, or is empty, has no runs."""
    assert [] == runs(tmp_path / "nothing")
    assert [] == runs(tmp_path)

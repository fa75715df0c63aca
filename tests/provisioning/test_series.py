"""The variants of a recipe, run in turn."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from provisioning import bench, recipe, rundir, series
from provisioning.errors import BenchError, CommandError, HostError, StackError, UsageError
from provisioning.recipe_schema import Recipe
from provisioning.remote import LocalRemote
from provisioning.rundir import RunDir
from provisioning.series import Outcome
from provisioning.site import Site
from tests.provisioning.fakes import NoRemote
from tests.provisioning.test_bench import Told
from tests.provisioning.test_stack import OUTPUTS

SITE = Site("local", NoRemote(), "/w")
SPARK = recipe.series("spark-vllm", rehearse=True)


def ignored(outcome: Outcome) -> None:
    """Nobody listens."""


@pytest.fixture
def benched(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None]]:
    """What would have been run, with the id of its series; those of `latency` fail."""
    ran: list[tuple[str, str | None]] = []

    def one(
        site: Site,
        recipe: Recipe,
        results: Path,
        progress: Told,
        *,
        series_id: str | None,
        opened: Callable[[RunDir], None],
    ) -> RunDir:
        del site, progress
        ran.append((recipe.title, series_id))
        if recipe.variant == "context":
            raise HostError("The host is locked.", "Wait.")
        run = RunDir(results / recipe.title)
        opened(run)
        if recipe.variant == "latency":
            raise BenchError("The agent died.", "Look.")
        return run

    monkeypatch.setattr(bench, "bench", one)
    monkeypatch.setattr(series, "require_fit", lambda run: run)
    return ran


def test_one_that_fails_costs_the_others_nothing(
    benched: list[tuple[str, str | None]], tmp_path: Path
) -> None:
    """All are run, in order and under one id; what came of each is told when it is over."""
    heard: list[Outcome] = []
    told = Told()

    series_id, outcomes = series.run(SITE, SPARK, tmp_path, told, heard.append)

    assert [(one.title, series_id) for one in SPARK] == benched
    assert heard == outcomes
    assert [None, "The agent died.", "The host is locked."] == [
        o.error and o.error.what for o in outcomes
    ]
    assert [True, True, False] == [o.run is not None for o in outcomes]
    assert "2 of 3: spark-vllm:latency" in told.notes
    assert series_id
    assert series_id.split("-", 1)[1].startswith("spark-vllm-")


def test_one_recipe_makes_no_series(benched: list[tuple[str, str | None]], tmp_path: Path) -> None:
    """It has no id that nothing else shares."""
    assert None is series.run(SITE, SPARK[:1], tmp_path, Told(), ignored)[0]
    assert [("spark-vllm:throughput", None)] == benched


def test_what_is_wrong_with_the_last_is_told_before_the_first(
    benched: list[tuple[str, str | None]], tmp_path: Path
) -> None:
    """No hour is paid for a series that cannot be whole."""
    wrong = recipe.load("rehearsal", ["engine.name=simulatr"])
    with pytest.raises(UsageError, match="no engine 'simulatr'"):
        series.run(SITE, [*SPARK, wrong], tmp_path, Told(), ignored)
    assert [] == benched


def test_a_stack_has_to_last_for_all_of_them(
    benched: list[tuple[str, str | None]], tmp_path: Path
) -> None:
    """It would for each by itself."""
    each = recipe.load("rehearsal", ["planned_s=1200"])
    ends = (datetime.now(UTC) + timedelta(minutes=45)).isoformat()
    outputs = dataclasses.replace(OUTPUTS, expires_at=ends)
    site = dataclasses.replace(SITE, outputs=outputs)

    series.run(site, [each], tmp_path, Told(), ignored)
    with pytest.raises(StackError, match="may take 40 min"):
        series.run(site, [each, each], tmp_path, Told(), ignored)
    assert 1 == len(benched)


@pytest.mark.parametrize("worst", [BenchError("a", "b"), CommandError("ls", 2), HostError("a")])
def test_the_worst_of_them_gives_phase_and_exit_code(worst: Any) -> None:
    """Whatever kind of error it was."""
    error = series.failed(worst, 2, 3)
    assert (worst.exit_code, worst.phase) == (error.exit_code, error.phase)
    assert "2 of 3 runs of the series have no fit result." == error.what


def test_what_came_of_one_is_plain_json() -> None:
    """Done, failed with a run, and never begun."""
    run = RunDir(Path("/r/run-1"))
    error = HostError("The host is locked.", "Wait.")
    assert {
        "recipe": "spark-vllm:throughput",
        "run_id": "run-1",
        "results": "/r/run-1",
        "error": None,
        "exit_code": 0,
    } == Outcome(SPARK[0], run, None).about()
    told = Outcome(SPARK[0], None, error).about()
    assert (None, {"what": "The host is locked.", "advice": "Wait."}, 5) == (
        *(told["run_id"], told["error"], told["exit_code"]),
    )


def test_what_would_be_run_is_listed() -> None:
    """Names, points and the longest that each may take."""
    (first, *_) = listed = series.listing(SPARK)
    assert ["spark-vllm:throughput", "spark-vllm:latency", "spark-vllm:context"] == [
        each["recipe"] for each in listed
    ]
    assert ("simulator", "compose", ["00-single", "01-batched"]) == (
        *(first["engine"], first["launcher"], first["points"]),
    )
    assert first["planned_s"] > 0


@pytest.mark.integration
def test_a_run_that_could_not_be_prepared_is_a_result_of_its_variant(tmp_path: Path) -> None:
    """Its directory says which variant of which series it was, and what went wrong."""
    made = recipe.load("spark-vllm:latency", ["launcher=process"], rehearse=True)
    (tmp_path / "w").write_text("no folder")
    site = Site("local", LocalRemote(tmp_path), str(tmp_path / "w"))

    series_id, outcomes = series.run(site, [made, made], tmp_path / "r", Told(), ignored)

    states = [run.state() for run in rundir.runs(tmp_path / "r", "local")]
    assert [True, True] == [o.error is not None and o.run is not None for o in outcomes]
    assert [("latency", series_id, "failed")] * 2 == [
        (s.variant, s.series_id, s.state) for s in states if s
    ]

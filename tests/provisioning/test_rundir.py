"""Run directories at home and the controller's account of them."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench_agent.protocol import RUN_ID, SUMS
from provisioning import rundir
from provisioning.errors import HostError, UsageError


def test_a_run_id_tells_when_and_what() -> None:
    """A run id is the time, the recipe and four hex digits, fit for a folder."""
    made = rundir.new_run_id("G4 Qwen3_32B", datetime(2026, 11, 21, 9, 0, tzinfo=UTC))

    assert made.startswith("20261121T090000Z-g4-qwen3-32b-")
    assert RUN_ID.fullmatch(made)


def test_an_opened_run_is_known_before_anything_is_asked(tmp_path: Path) -> None:
    """The directory and its account are on disk at once."""
    run = rundir.open_run(tmp_path, "local", "rehearsal", "me@here")

    state = run.state()
    assert state is not None
    assert ("opened", "rehearsal", "me@here") == (state.state, state.recipe, state.owner)


def test_a_result_folder_without_room_starts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Less than the least room is refused before a run is opened."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=5 * 2**20))

    with pytest.raises(UsageError, match="has 5 MiB of room"):
        rundir.open_run(tmp_path, "local", "rehearsal", "me")

    assert [] == list(rundir.runs(tmp_path, "local"))


def test_a_result_folder_that_is_a_file_is_told(tmp_path: Path) -> None:
    """A folder that cannot be made is one sentence, and what to do."""
    (tmp_path / "results").write_text("")

    with pytest.raises(UsageError, match="cannot be written"):
        rundir.open_run(tmp_path / "results", "local", "rehearsal", "me")


@pytest.mark.parametrize(
    ("state", "settled"),
    [("opened", True), ("launched", False), ("failed", True), ("lost", True), ("collected", True)],
)
def test_only_a_launched_run_may_be_lost(tmp_path: Path, state: str, settled: bool) -> None:
    """A run that the host was asked for, and that is not home, is unsettled."""
    run = rundir.open_run(tmp_path, "local", "rehearsal", "me")
    run.change(state=state)

    assert settled == run.settled()


def test_a_run_of_unknown_state_counts_as_open(tmp_path: Path) -> None:
    """A damaged account is never taken for 'nothing to lose'."""
    run = rundir.open_run(tmp_path, "local", "rehearsal", "me")
    (run.home / "run.json").write_text("{")

    assert not run.settled()


@pytest.mark.parametrize("file", [SUMS, rundir.ABANDONED])
def test_whole_and_abandoned_runs_are_settled(tmp_path: Path, file: str) -> None:
    """A run that is home, or given up, does not hold back a teardown."""
    run = rundir.open_run(tmp_path, "local", "rehearsal", "me")
    run.change(state="launched")
    (run.path / file).write_text("")

    assert run.settled()


def test_the_newest_run_is_found_without_a_name(tmp_path: Path) -> None:
    """Runs are ordered by their time."""
    for stamp in ("20261121T090000Z", "20261121T100000Z"):
        (tmp_path / "local" / f"{stamp}-rehearsal-0000").mkdir(parents=True)

    assert "20261121T100000Z-rehearsal-0000" == rundir.find(tmp_path, "local", None).run_id


def test_a_run_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    """An unknown run id lists the known ones."""
    (tmp_path / "local" / "20261121T090000Z-rehearsal-0000").mkdir(parents=True)

    with pytest.raises(UsageError, match=r"Known: 20261121T090000Z-rehearsal-0000"):
        rundir.find(tmp_path, "local", "nix")


def test_what_went_wrong_is_kept_with_the_run(tmp_path: Path) -> None:
    """A failed launch is a result too."""
    run = rundir.open_run(tmp_path, "local", "rehearsal", "me")

    rundir.record_error(run, HostError("Python is too old.", "Install a newer one.", log="3.8"))

    state = run.state()
    assert state is not None
    assert {
        "what": "Python is too old.",
        "advice": "Install a newer one.",
        "phase": "provision",
        "log": "3.8",
    } == state.error


def test_an_open_run_comes_before_newer_ones_that_are_settled(tmp_path: Path) -> None:
    """What may be lost is what `fab attach` and `fab collect` are about."""
    for stamp, state in (("20261121T090000Z", "launched"), ("20261121T100000Z", "failed")):
        run = rundir.RunDir(tmp_path / "local" / f"{stamp}-rehearsal-0000")
        run.path.mkdir(parents=True)
        run.change(state=state)

    found = rundir.find_open(tmp_path, "local", None)

    assert "20261121T090000Z-rehearsal-0000" == found.run_id


def test_a_run_whose_controller_died_early_comes_before_older_results(tmp_path: Path) -> None:
    """`fab attach` after such a death is about the run that holds the host."""
    for stamp, state in (("20261121T090000Z", "collected"), ("20261121T100000Z", "opened")):
        run = rundir.RunDir(tmp_path / "local" / f"{stamp}-rehearsal-0000")
        run.path.mkdir(parents=True)
        run.change(state=state)
    (tmp_path / "local" / "20261121T090000Z-rehearsal-0000" / SUMS).touch()

    found = rundir.find_open(tmp_path, "local", None)

    assert "20261121T100000Z-rehearsal-0000" == found.run_id


def test_one_controller_at_a_time(tmp_path: Path) -> None:
    """Who asks second is told that it is not the controller."""
    run = rundir.open_run(tmp_path, "local", "rehearsal", "me")

    with run.controlled() as first, run.controlled() as second:
        assert (True, False) == (first, second)

"""Tests of a run, made in this process."""

from __future__ import annotations

import errno
import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bench_agent import calibration
from bench_agent import runner as runner_module
from bench_agent.closing import close_point, copy_log
from bench_agent.journal import planned_end_ns
from bench_agent.layout import RunDir
from bench_agent.load.tally import Tally
from bench_agent.probe import Server
from bench_agent.protocol import Limits, Point, RunSummary, Search, Target
from bench_agent.runner import Runner
from bench_agent.storage import read_json, read_records
from bench_agent.wire import decode
from tests.bench_agent.records import PATIENT, run_spec

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("own_signals")]
Simulate = Callable[..., str]
Run = Callable[..., tuple[RunDir, str]]


def events(folder: RunDir) -> list[tuple[str, str]]:
    """Kind and message of all events."""
    found = [json.loads(line) for line in folder.events.read_text().splitlines()]
    assert list(range(1, len(found) + 1)) == [each["seq"] for each in found]
    return [(each["kind"], each["message"]) for each in found]


def summary(folder: RunDir) -> RunSummary:
    """The run's summary."""
    return decode(RunSummary, read_json(folder.summary))


def test_a_whole_run(simulate: Simulate, go: Run, tmp_path: Path) -> None:
    """Every point measured, everything written, everything summed up, nothing left over."""
    log, key = tmp_path / "engine.log", tmp_path / "key"
    log.write_text("INFO: started with key sesame\n")
    key.write_text("sesame\n")
    url = simulate(api_key="sesame")
    spec = run_spec(
        target=Target((url,), "simulated", api_key_file=str(key), log=str(log)),
        points=(Point("00-c2", 4, 2), Point("01-inf", 3)),
        num_warmups=2,
        limits=PATIENT,
        recipe_yaml="a: 1\n",
        context={"price": 1},
    )
    folder, state = go(spec)
    found = summary(folder)

    assert ("done", True, [4, 3]) == (
        state,
        found.verdict.valid,
        [p.completed for p in found.points],
    )
    assert [
        "agent.log", "manifest.json", "points/00-c2/records.jsonl", "points/00-c2/summary.json",
        "points/00-c2/vllm.json", "points/01-inf/records.jsonl", "points/01-inf/summary.json",
        "points/01-inf/vllm.json", "recipe.yaml", "server.log", "summary.json", "telemetry.jsonl",
    ][1:] == folder.files()  # fmt: skip
    assert "INFO: started with key [REDACTED]\n" == folder.server_log.read_text()
    assert {"alive.lock", "done.json", "events.jsonl", "spec.json", "status.json"} >= {
        p.name for p in folder.control.iterdir()
    }
    assert [
        ("state", "starting"), ("state", "probing"), ("state", "warming"), ("state", "running"),
        ("point", "00-c2"), ("point_done", "00-c2: 4 of 4 requests completed"),
        ("state", "warming"), ("state", "running"), ("point", "01-inf"),
        ("point_done", "01-inf: 3 of 3 requests completed"), ("state", "closing"), ("end", "done"),
    ] == events(folder)  # fmt: skip
    status = read_json(folder.status)
    assert (7, 7, 0, 21, 2, 2) == tuple(
        status[k]
        for k in (
            "requested", "completed", "failed", "output_tokens", "points_done", "points_total",
        )
    )  # fmt: skip
    manifest = read_json(folder.manifest)
    assert ({"price": 1}, False) == (manifest["context"], "context" in manifest["spec"])


def test_sums_are_those_of_sha256sum(simulate: Simulate, go: Run) -> None:
    """Any machine can check a result without this project."""
    folder, _ = go(run_spec(url=simulate()))
    check = os.spawnlp(
        os.P_WAIT, "sh", "sh", "-c", f"cd {folder.path} && sha256sum --quiet -c SHA256SUMS"
    )

    assert 0 == check
    assert len(folder.sums.read_text().splitlines()) == len(folder.files())


def test_warm_ups_are_no_measured_prompts(simulate: Simulate, go: Run) -> None:
    """They are not on record, and not among the counted."""
    folder, _ = go(run_spec(url=simulate(), num_warmups=5))

    assert 2 == len(list(read_records(folder.records("00-c2"))))


def test_the_planned_end_is_kept(simulate: Simulate, go: Run) -> None:
    """What was measured until then is sealed; the run says that it is incomplete."""
    spec = run_spec(
        url=simulate(itl_ms=100.0),
        points=(Point("a", 9, 2), Point("b", 9, 2)),
        planned_s=0.5,
    )
    folder, state = go(spec)
    found = summary(folder)

    assert ("incomplete", False, ["a"]) == (
        state,
        found.verdict.valid,
        [p.point.name for p in found.points],
    )
    assert folder.sealed
    assert "planned end" in read_json(folder.status)["message"]


def test_the_machine_s_end_is_the_run_s() -> None:
    """A minute before it goes, and never before the run began."""
    second = 1_000_000_000
    start = 1795262400 * second  # 12:00:00
    ends = [
        planned_end_ns(run_spec(planned_s=600.0, expires_at=at), start) - start
        for at in (None, "2026-11-21T12:05:00Z", "2026-11-21T13:00:00Z", "2026-11-21T11:00:00Z")
    ]

    assert [600 * second, 240 * second, 600 * second, 0] == ends


def test_a_run_after_its_end_measures_nothing(go: Run) -> None:
    """It closes at once."""
    folder, state = go(run_spec(expires_at="2020-01-01T00:00:00Z"))

    assert ("incomplete", ()) == (state, summary(folder).points)


def test_a_stop_is_obeyed(simulate: Simulate, go: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM in the middle: everything measured is written."""
    shown = runner_module.Runner._show

    def show(self: Runner, tally: Tally) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        shown(self, tally)

    monkeypatch.setattr(runner_module.Runner, "_show", show)
    folder, state = go(run_spec(url=simulate(itl_ms=200.0)))

    assert ("incomplete", "Stopped by SIGTERM.") == (state, read_json(folder.status)["message"])
    assert ("end", "incomplete") == events(folder)[-1]


def test_a_dead_server_fails_a_run_at_once(go: Run) -> None:
    """There is nothing to be measured, and the reason is said."""
    folder, state = go(run_spec())

    assert ("failed", ()) == (state, summary(folder).points)
    assert "Connection refused" in read_json(folder.status)["message"]


@pytest.mark.parametrize("behaviour", ["status-500", "error-event", "cut", "no-usage", "silent"])
def test_failures_are_counted(simulate: Simulate, faulty: str, go: Run, behaviour: str) -> None:
    """An instance that fails each request makes an invalid point, not a stalled run."""
    target = Target((simulate(), f"{faulty}/{behaviour}"), "simulated")
    spec = run_spec(
        target=target,
        points=(Point("00-c2", 4, 2),),
        num_warmups=4,
        limits=Limits(request_timeout_s=0.5),
    )
    folder, state = go(spec)
    found = summary(folder).points[0]

    assert ("done", 2, 2, False) == (state, found.completed, found.failed, found.verdict.valid)
    assert ("note", "2 of 4 warm-up requests failed.") in events(folder)


def test_a_search_finds_the_highest_load_that_holds(simulate: Simulate, go: Run) -> None:
    """The simulator runs four at a time: with five, one waits longer than it may."""
    spec = run_spec(
        url=simulate(max_num_seqs=4, ttft_ms=300.0),
        points=(Point("00-c1", 1, 1),),
        search=Search("max_concurrency", low=2, high=16, share=1.0, num_prompts=16),
        goodput={"ttft": 450.0},
        limits=PATIENT,
    )
    folder, state = go(spec)
    found = summary(folder).search

    assert found is not None
    assert ("done", 4, 5) == (state, found["highest"], found["lowest_failed"])
    assert [s["point"] for s in found["steps"]] == [
        p.point.name for p in summary(folder).points[1:]
    ]


def test_a_load_by_duration_counts_what_it_sent(simulate: Simulate, go: Run) -> None:
    """Nobody knows beforehand how many requests there will be."""
    points = (Point("00-c2", None, 2, duration_s=0.6),)
    folder, state = go(run_spec(url=simulate(), points=points, limits=PATIENT))
    found = summary(folder).points[0]

    assert ("done", found.requested) == (state, read_json(folder.status)["requested"])
    assert found.requested == found.completed > 5


def test_a_server_without_usage_is_counted_by_its_tokenizer(
    simulate: Simulate, go: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The figures are its own all the same, and the records say where they come from."""
    found = replace(Server(), usage=False)
    monkeypatch.setattr(runner_module, "probe", lambda *_: found)
    folder, state = go(run_spec(url=simulate(), limits=PATIENT))
    records = list(read_records(folder.records("00-c2")))

    assert ("done", [3, 3]) == (state, [r.output_tokens for r in records])
    assert {"tokenizer"} == {r.tokens_from for r in records}


def test_a_full_disk_fails_the_run_and_is_said(
    simulate: Simulate, go: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state is failed, the message says why, and what there is, is sealed."""

    def writer(records: Path) -> Callable[[bytes], None]:
        def write(line: bytes) -> None:
            with records.open("ab") as file:
                file.write(line if not file.tell() else line[:40])
            if b'"index":1' in line:
                raise OSError(errno.ENOSPC, "No space left on device", "records.jsonl")

        return write

    monkeypatch.setattr("bench_agent.load.pool._writer", writer)
    points = (Point("00-c1", 2, 1),)
    folder, state = go(run_spec(url=simulate(), points=points))

    assert ("failed", "failed") == (state, read_json(folder.status)["state"])
    assert "No space left on device" in read_json(folder.status)["message"]
    assert ("end", "failed") == events(folder)[-1]
    assert ("failed", True, 1) == (
        summary(folder).state,
        folder.sealed,
        summary(folder).points[0].completed,
    )
    assert 1 == folder.records("00-c1").read_bytes().count(b"\n")


def test_a_point_is_closed_without_what_does_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its summary is small; vllm.json may be left out of a failed run, and only there."""

    def pieces(*_args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    spec, run = run_spec(), RunDir(tmp_path)
    run.point("00-c2").mkdir(parents=True)
    run.records("00-c2").touch()
    monkeypatch.setattr("bench_agent.closing.pieces", pieces)
    close_point(run, spec, spec.points[0], None, None, lenient=True)

    assert (run.point("00-c2") / "summary.json").exists()
    with pytest.raises(OSError, match="No space"):
        close_point(run, spec, spec.points[0], None, None)


def test_a_missing_key_file_fails_the_run(go: Run) -> None:
    """In words."""
    target = Target(("http://127.0.0.1:1",), "m", api_key_file="/nowhere/key")
    folder, state = go(run_spec(target=target))

    assert ("failed", "No such file or directory: /nowhere/key.") == (
        state,
        read_json(folder.status)["message"],
    )


def test_a_bug_fails_the_run_and_shows_in_its_log(
    simulate: Simulate, go: Run, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Even when sealing trips over it as well, the run ends with a word."""

    def broken(*_args: object, **_options: object) -> None:
        raise ZeroDivisionError("odd")

    monkeypatch.setattr("bench_agent.closing.close_point", broken)
    folder, state = go(run_spec(url=simulate()))

    assert ("failed", False) == (state, folder.sealed)
    assert ("end", "failed") == events(folder)[-1]
    assert "ZeroDivisionError: odd" in capfd.readouterr().err


def test_a_calibrated_run_publishes_the_client_s_error(simulate: Simulate, go: Run) -> None:
    """In its summary and its events."""
    folder, state = go(run_spec(url=simulate(), calibrate=True, limits=PATIENT))
    found = summary(folder)

    assert ("done", True) == (state, found.verdict.valid)
    assert found.calibration is not None
    assert found.calibration["ttft_error_ms"]["mean"] < 5.0
    assert ("state", "calibrating") in events(folder)
    assert any("own TTFT error" in message for _, message in events(folder))


def test_a_calibration_that_fails_makes_points_invalid(
    simulate: Simulate, go: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run goes on; the figures cannot be trusted."""

    def fails(*_args: object) -> None:
        raise calibration.CalibrationError("It did not work.")

    monkeypatch.setattr(calibration, "calibrate", fails)
    folder, state = go(run_spec(url=simulate(), calibrate=True))

    assert ("done", False) == (state, summary(folder).verdict.valid)
    assert ("note", "It did not work.") in events(folder)


def test_a_log_that_is_not_there_is_not_copied(tmp_path: Path) -> None:
    """Without a key it is copied as it is."""
    (tmp_path / "log").write_text("a\n")
    copy_log(str(tmp_path / "none"), tmp_path / "b", None)
    copy_log(str(tmp_path / "log"), tmp_path / "c", None)

    copy_log(str(tmp_path / "log"), Path("/nowhere/d"), None)

    assert (False, "a\n") == ((tmp_path / "b").exists(), (tmp_path / "c").read_text())


def test_a_stop_between_points_leaves_no_empty_point(simulate: Simulate, go: Run) -> None:
    """What was not begun is not in the result."""
    spec = run_spec(
        url=simulate(),
        points=(Point("00-c2", 2, 2), Point("01-c2", 2, 2)),
        point_gap_s=30.0,
        planned_s=3.0,
        limits=PATIENT,
    )
    folder, state = go(spec)

    assert ("incomplete", ["00-c2"]) == (state, [p.point.name for p in summary(folder).points])
    assert not folder.point("01-c2").exists()

"""Tests of a run, made in this process."""

from __future__ import annotations

import errno
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench_agent import runner as runner_module
from bench_agent import storage
from bench_agent.closing import close_point, copy_log
from bench_agent.journal import Journal, planned_end_ns
from bench_agent.layout import RunDir, Workdir
from bench_agent.protocol import Limits, Point, RunSpec, RunSummary, Target
from bench_agent.runner import Runner
from bench_agent.storage import read_json, read_records
from bench_agent.wire import decode
from tests.bench_agent.records import PATIENT, run_spec

pytestmark = pytest.mark.usefixtures("own_signals")
Simulate = Callable[..., str]
Run = Callable[..., tuple[RunDir, str]]


@pytest.fixture
def go(tmp_path: Path) -> Run:
    """Run a spec; its folder and the state that it ended in."""

    def run(spec: RunSpec) -> tuple[RunDir, str]:
        workdir = Workdir(tmp_path)
        folder = workdir.run(spec.run_id)
        folder.control.mkdir(parents=True)
        return folder, Runner(workdir, folder, spec, Journal(folder, spec)).run()

    return run


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
    assert {"alive.lock", "events.jsonl", "status.json"} >= {
        p.name for p in folder.control.iterdir()
    }
    assert [
        ("state", "starting"), ("state", "warming"), ("state", "running"), ("point", "00-c2"),
        ("point_done", "00-c2: 4 of 4 requests completed"), ("point", "01-inf"),
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
    sampled = runner_module.Telemetry.sample

    def sample(self: Any, point: str) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        sampled(self, point)

    monkeypatch.setattr(runner_module.Telemetry, "sample", sample)
    folder, state = go(run_spec(url=simulate(itl_ms=200.0)))

    assert ("incomplete", "Stopped by SIGTERM.") == (state, read_json(folder.status)["message"])
    assert ("end", "incomplete") == events(folder)[-1]


def test_a_dead_server_does_not_stall_a_run(go: Run) -> None:
    """All requests refused: done, and not valid."""
    folder, state = go(run_spec(num_warmups=1))
    found = summary(folder)

    assert ("done", False, {"refused": 2}) == (state, found.verdict.valid, found.points[0].failures)
    assert ("note", "1 of 1 warm-up requests failed.") in events(folder)


@pytest.mark.parametrize("behaviour", ["status-500", "error-event", "cut", "no-usage", "silent"])
def test_failures_are_counted(faulty: str, go: Run, behaviour: str) -> None:
    """A server that fails each request makes an invalid point, not a stalled run."""
    spec = run_spec(url=f"{faulty}/{behaviour}", limits=Limits(request_timeout_s=0.3))
    folder, state = go(spec)
    found = summary(folder).points[0]

    assert ("done", 0, 2, False) == (state, found.completed, found.failed, found.verdict.valid)


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
    written = storage.write_json

    def write_json(path: Path, value: object) -> None:
        if path.name == "vllm.json":
            raise OSError(errno.ENOSPC, "No space left on device")
        written(path, value)

    spec, run = run_spec(), RunDir(tmp_path)
    run.point("00-c2").mkdir(parents=True)
    monkeypatch.setattr(storage, "write_json", write_json)
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


@pytest.mark.integration
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
        raise runner_module.CalibrationError("It did not work.")

    monkeypatch.setattr(runner_module, "calibrate", fails)
    folder, state = go(run_spec(url=simulate(), calibrate=True))

    assert ("done", False) == (state, summary(folder).verdict.valid)
    assert ("note", "It did not work.") in events(folder)


@pytest.mark.parametrize(
    ("points", "workers", "expected"),
    [((Point("a", 64),), None, 1), ((Point("a", 64),), 3, 3)],
)
def test_one_worker_is_enough_for_most(
    tmp_path: Path, points: tuple[Point, ...], workers: int | None, expected: int
) -> None:
    """Unless the spec says otherwise."""
    spec = run_spec(points=points, workers=workers)
    folder = RunDir(tmp_path)

    assert expected == Runner(Workdir(tmp_path), folder, spec, Journal(folder, spec))._workers()


def test_large_loads_get_more_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One for each 512 streams, but no more than cores."""
    spec = run_spec(points=(Point("a", 4000),))
    runner = Runner(Workdir(tmp_path), RunDir(tmp_path), spec, Journal(RunDir(tmp_path), spec))
    found = []
    for cores in (2, 64):
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        found.append(runner._workers())

    assert [2, 8] == found


def test_a_log_that_is_not_there_is_not_copied(tmp_path: Path) -> None:
    """Without a key it is copied as it is."""
    (tmp_path / "log").write_text("a\n")
    copy_log(str(tmp_path / "none"), tmp_path / "b", None)
    copy_log(str(tmp_path / "log"), tmp_path / "c", None)

    copy_log(str(tmp_path / "log"), Path("/nowhere/d"), None)

    assert (False, "a\n") == ((tmp_path / "b").exists(), (tmp_path / "c").read_text())

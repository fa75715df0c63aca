"""A run whose engine dies."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench_agent import clock, engines
from bench_agent import runner as runner_module
from bench_agent.layout import RunDir
from bench_agent.load.pool import drive
from bench_agent.load.tally import Tally
from bench_agent.protocol import EngineProcess, Point, RunSummary, Target
from bench_agent.runner import Runner
from bench_agent.storage import read_json, read_records
from bench_agent.wire import decode
from tests.bench_agent.records import PATIENT, run_spec

Simulate = Callable[..., str]
Run = Callable[..., tuple[RunDir, str]]


@pytest.fixture
def engine() -> Iterator[subprocess.Popen[bytes]]:
    """A process that stands for the engine's."""
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def known(number: int, **changes: Any) -> EngineProcess:
    """How a process is known."""
    one = EngineProcess(number, clock.process_started(number) or 0, clock.boot_id())
    return replace(one, **changes)


def target(*processes: EngineProcess, url: str = "http://127.0.0.1:1") -> Target:
    """A target with these processes."""
    return Target((url,), "simulated", engines=processes)


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill it; it stays a zombie."""
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)


def test_an_engine_that_lives_is_no_news() -> None:
    """Nor is a server whose processes nobody knows."""
    me = known(os.getpid())

    assert ["", "", ""] == [engines.died(target(*some)) for some in ((), (me,), (me, me))]


@pytest.mark.parametrize("change", [{"pid_started": 1}, {"boot_id": "x"}, {"pid": 2**22 + 1}])
def test_another_process_is_not_the_engine(change: dict[str, Any]) -> None:
    """One that was started anew has another number or start; after a reboot, all are others."""
    one = known(os.getpid(), **change)

    assert f"The engine died (process {one.pid})." == engines.died(target(one))


def test_any_of_several_counts() -> None:
    """Which of them is told."""
    me, other = known(os.getpid()), known(2**22 + 1)

    assert "The engine 2 of 3 died (process 4194305)." == engines.died(target(me, other, me))


def test_a_zombie_has_died(engine: subprocess.Popen[bytes]) -> None:
    """Its parent may never look."""
    one = known(engine.pid)
    end(engine)

    assert "died" in engines.died(target(one))


@pytest.mark.integration
@pytest.mark.usefixtures("own_signals")
def test_a_run_fails_soon_after_its_engine_died(
    simulate: Simulate,
    go: Run,
    engine: subprocess.Popen[bytes],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """What was measured before is kept, and the engine's log: the first point whole."""
    shown = runner_module.Runner._show
    killed: list[float] = []
    log = tmp_path / "log"

    def show(self: Runner, tally: Tally) -> None:
        if not killed and self._journal.status.point == "b" and tally.completed:
            log.write_text("last words\n")
            end(engine)
            killed.append(time.monotonic())
        shown(self, tally)

    monkeypatch.setattr(runner_module.Runner, "_show", show)
    where = replace(target(known(engine.pid), url=simulate(itl_ms=20.0)), log=str(log))
    points = (Point("a", 2, 2), Point("b", 100_000, 2), Point("c", 2, 2))
    folder, state = go(run_spec(target=where, points=points, limits=PATIENT, planned_s=60.0))
    took = time.monotonic() - killed[0]
    found = decode(RunSummary, read_json(folder.summary))

    assert ("failed", True, True) == (state, took < 5, folder.sealed)
    assert f"The engine died (process {engine.pid})." == read_json(folder.status)["message"]
    assert f"The run is failed. The engine died (process {engine.pid})." in found.verdict.reasons
    assert [("a", 2), ("b", True)] == [
        (p.point.name, p.completed if p.point.name == "a" else p.completed > 0)
        for p in found.points
    ]
    assert found.points[1].requested == len(list(read_records(folder.records("b"))))
    assert "last words\n" == folder.server_log.read_text()
    assert ["a"] == read_json(folder.done)


@pytest.mark.integration
@pytest.mark.usefixtures("own_signals")
def test_a_run_whose_engine_died_before_it_says_so(go: Run) -> None:
    """Rather than that nobody answers."""
    folder, state = go(run_spec(target=target(known(2**22 + 1))))

    assert ("failed", "The engine died (process 4194305).") == (
        state,
        read_json(folder.status)["message"],
    )


@pytest.mark.integration
@pytest.mark.usefixtures("own_signals")
def test_an_engine_that_died_with_the_last_request_is_noticed(
    simulate: Simulate,
    go: Run,
    engine: subprocess.Popen[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All requests may be over before anybody looks: that point is not through."""
    monkeypatch.setattr(runner_module, "drive", killing(engine))
    where = target(known(engine.pid), url=simulate())
    folder, state = go(run_spec(target=where, limits=PATIENT))

    assert ("failed", None) == (state, read_json(folder.done))


def killing(engine: subprocess.Popen[bytes]) -> Callable[..., Any]:
    """A drive that ends the engine when its load is through."""

    def driven(*args: Any) -> Any:
        outcome = drive(*args)
        if engine.poll() is None:
            engine.send_signal(signal.SIGKILL)
            os.waitid(os.P_PID, engine.pid, os.WEXITED | os.WNOWAIT)
        return outcome

    return driven

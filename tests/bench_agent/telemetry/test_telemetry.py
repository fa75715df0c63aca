"""Tests of telemetry as a run has it: another process."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench_agent import clock, observed, telemetry
from bench_agent.client import Client
from bench_agent.layout import RunDir
from bench_agent.liveness import hold
from bench_agent.protocol import Target
from bench_agent.telemetry import Telemetry
from tests.bench_agent.telemetry.conftest import Smi, eventually, sets

Simulate = Callable[..., str]
Start = Callable[..., Telemetry]
NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir(tmp_path)


@pytest.fixture
def start(run: RunDir) -> Iterator[Start]:
    """Start one; closed in the end."""
    started: list[Telemetry] = []

    def begin(url: str = NOWHERE) -> Telemetry:
        started.append(Telemetry(run, Target((url,), "simulated"), None))
        return started[-1]

    yield begin
    for each in started:
        each.close()


def lines(run: RunDir) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run.telemetry.read_text().splitlines()]


def gone(pid: int | None) -> Callable[[], bool]:
    assert pid
    return lambda: clock.process_started(pid) is None


def ask(url: str, tokens: int) -> None:
    body = {"model": "simulated", "prompt": "one two three", "max_tokens": tokens}
    client = Client(url)
    assert 200 == client.request("POST", "/v1/completions", body)[0]
    client.close()


def test_a_point_is_seen(simulate: Simulate, start: Start, run: RunDir) -> None:
    """What the server did between begin and end, and nothing else."""
    url = simulate()
    watch = start(url)
    ask(url, 5)
    watch.begin("00-c1")
    started = time.time_ns()
    ask(url, 9)
    ended = time.time_ns()
    watch.end()
    ask(url, 7)
    watch.close()
    server = observed.read(run.telemetry, "00-c1", started, ended).server or {}

    assert ["begin", "end"] == [line["mark"] for line in lines(run) if "mark" in line]
    assert (9, {"stop": 0, "length": 1, "abort": 0, "error": 0}, False) == (
        server["generation_tokens"], server["requests"], server["restarted"]
    )  # fmt: skip
    assert 4.0 < server["ttft_ms_mean"] <= server["e2el_ms_mean"] < 1000
    assert (None, None) == (server["prefix_cache_hit_ratio"], server["prefill_ms_mean"])


def test_its_death_is_no_harm(start: Start) -> None:
    """Begin and end return at once, and the close is one."""
    watch = start()
    watch.begin("p")
    os.kill(watch.pid or 0, signal.SIGKILL)
    assert eventually(gone(watch.pid))
    begun = time.monotonic()
    watch.end()
    watch.begin("q")
    watch.close()
    watch.begin("r")

    assert (True, None) == (time.monotonic() - begun < 0.5, watch.pid)


def test_one_that_hangs_is_no_harm(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is waited for, but not for long; the close ends it."""
    monkeypatch.setattr(telemetry, "PATIENCE_S", 0.2)
    monkeypatch.setattr(telemetry, "_CLOSE_S", 0.1)
    watch = start()
    watch.begin("p")
    pid = watch.pid
    os.kill(pid or 0, signal.SIGSTOP)
    begun = time.monotonic()
    watch.end()
    waited = time.monotonic() - begun
    watch.close()

    assert (True, True) == (0.2 <= waited < 2.0, gone(pid)())


@pytest.mark.integration
def test_a_silent_server_holds_a_point_up_for_two_seconds(
    faulty: str, start: Start, run: RunDir
) -> None:
    """At the most, at its begin and at its end; both are marked."""
    watch = start(f"{faulty}/silent")
    took = []
    for mark in (lambda: watch.begin("p"), watch.end):
        begun = time.monotonic()
        mark()
        took.append(time.monotonic() - begun)

    assert max(took) < 2.3
    assert [("begin", None), ("end", None)] == [(x.get("mark"), x["server"]) for x in lines(run)]


def test_a_late_answer_is_not_the_next_ones(start: Start, pipe: tuple[int, int]) -> None:
    """Each order is waited for by its own time."""
    watch = start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watch, "_answers", pipe[0])
        os.write(pipe[1], b"5\n")
        begun = time.monotonic()
        watch._wait_for(b"7\n", 0.2)
        os.write(pipe[1], b"8\n7\n")
        watch._wait_for(b"7\n", 5.0)

    assert 0.2 <= time.monotonic() - begun < 4.0


def test_it_is_let_end_by_itself(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """A close kills only what does not."""
    ends = []
    wait = os.waitpid
    monkeypatch.setattr(os, "waitpid", lambda *args: ends.append(wait(*args)) or ends[-1])
    start().close()

    assert [0] == [status for _, status in ends]


def test_signals_are_for_the_parent(start: Start) -> None:
    """Which ends it in its own time."""
    watch = start()
    watch.begin("p")
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(watch.pid or 0, number)
    watch.end()

    assert not gone(watch.pid)()


def test_the_runs_lock_is_not_held_by_it(start: Start, run: RunDir) -> None:
    """Whose only descriptors are the three streams and its two pipes; it is nicer, too."""
    run.control.mkdir()
    lock = hold(run.alive)
    assert lock is not None
    watch = start()
    watch.begin("p")
    held = [str(found.readlink()) for found in Path(f"/proc/{watch.pid}/fd").iterdir()]
    os.close(lock)
    again = hold(run.alive)
    assert again is not None
    os.close(again)

    assert 2 == sum(name.startswith("pipe:") for name in set(held) - streams())
    assert not [name for name in held if "alive" in name]
    assert 5 == os.getpriority(os.PRIO_PROCESS, watch.pid or 0) - os.nice(0)


def streams() -> set[str]:
    """What the three streams are, which may be pipes."""
    return {str(Path(f"/proc/self/fd/{n}").readlink()) for n in range(3)}


@pytest.mark.integration
def test_it_goes_when_its_parent_is_gone(run: RunDir, smi: Smi) -> None:
    """Even if another fork still holds its pipes; nvidia-smi goes along."""
    pids = smi(sets(*range(9)) + "exec sleep 60")
    readable, writable = os.pipe()
    parent = os.fork()
    if parent == 0:
        watch = Telemetry(run, Target((NOWHERE,), "m"), None)
        watch.begin("p")
        sibling = os.fork()
        if sibling == 0:
            signal.alarm(60)
            signal.pause()
        eventually(lambda: pids.exists() and pids.read_text())
        os.write(writable, f"{watch.pid} {sibling}".encode())
        os.kill(os.getpid(), signal.SIGKILL)
    os.close(writable)
    os.waitpid(parent, 0)
    watcher, sibling = map(int, os.read(readable, 100).split())
    os.close(readable)
    try:
        assert eventually(gone(watcher), 5.0)
        assert eventually(gone(int(pids.read_text().split()[0])), 5.0)
        assert not gone(sibling)()
    finally:
        os.kill(sibling, signal.SIGKILL)


def test_nvidia_smi_goes_when_it_is_killed(start: Start, smi: Smi) -> None:
    """By nobody's hand but the kernel's."""
    pids = smi(sets(*range(9)) + "exec sleep 60")
    watch = start()
    assert eventually(lambda: pids.exists() and pids.read_text())
    os.kill(watch.pid or 0, signal.SIGKILL)

    assert eventually(gone(int(pids.read_text().split()[0])))


def test_a_bug_in_it_is_told_and_ends_it(
    start: Start, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """It never returns into the parent's code."""
    monkeypatch.setattr(os, "nice", lambda _: 1 // 0)
    watch = start()
    watch.begin("p")

    assert eventually(gone(watch.pid))
    assert "ZeroDivisionError" in capfd.readouterr().err


@pytest.mark.integration
def test_at_rest_it_costs_next_to_nothing(simulate: Simulate, start: Start, smi: Smi) -> None:
    """Less than one in a hundred of a core, with a server and eight GPUs twice a second."""
    smi(f"while :; do\n{sets(1, count=8)}sleep 0.48\ndone")
    watch = start(simulate())
    watch.begin("p")
    before = clock.cpu_ticks(watch.pid or 0)
    begun = time.monotonic()
    assert eventually(lambda: time.monotonic() > begun + 5)
    share = (clock.cpu_ticks(watch.pid or 0) - before) / os.sysconf("SC_CLK_TCK") / 5

    assert share < 0.01

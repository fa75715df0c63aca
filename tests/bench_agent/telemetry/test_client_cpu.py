"""Tests of measuring the agent's own CPU."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from bench_agent import clock
from bench_agent.telemetry import client_cpu
from bench_agent.telemetry.client_cpu import ClientCpu


@pytest.fixture
def busy_child() -> Iterator[int]:
    """A process that does nothing but count."""
    pid = os.fork()
    if pid == 0:
        while True:
            pass
    yield pid
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_the_first_look_tells_nothing() -> None:
    """Nor does one right after another."""
    cpu = ClientCpu(os.getppid())

    assert [(None, None), (None, None)] == [cpu.cores(0.0), cpu.cores(0.1)]


def test_a_busy_process_is_seen(busy_child: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cores are seconds of CPU by seconds of time, since the last look."""
    monkeypatch.setattr(client_cpu, "_family", lambda _: [os.getpid(), busy_child])
    cpu = ClientCpu(0)
    cpu.cores(0.0)
    before = clock.cpu_ticks(busy_child)
    deadline = time.monotonic() + 20
    while clock.cpu_ticks(busy_child) < before + 10 and time.monotonic() < deadline:
        pass
    total, busiest = cpu.cores(0.8)

    assert total is not None
    assert busiest is not None
    assert 0.1 <= busiest <= total


def test_a_new_process_counts_from_its_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is gone does not count; one whose number was given out anew is not negative."""
    ticks = {1: 100, 2: 500, 3: 70}
    family = [1, 2]
    monkeypatch.setattr(client_cpu, "_family", lambda _: family)
    monkeypatch.setattr(clock, "cpu_ticks", lambda pid: ticks[pid])
    cpu = ClientCpu(1)
    cpu._hz = 100
    cpu.cores(0.0)
    ticks[1], ticks[2] = 150, 20
    first = cpu.cores(1.0)
    family[:] = [1, 3]

    assert ((0.5, 0.5), (0.35, 0.35)) == (first, cpu.cores(3.0))


def test_the_family_is_all_below(busy_child: int) -> None:
    """But not what this process itself has started: that is nvidia-smi."""
    found = client_cpu._family(os.getppid())

    assert (os.getppid(), True, False) == (found[0], os.getpid() in found, busy_child in found)


def test_a_process_that_is_gone_has_no_children() -> None:
    """It is no error."""
    assert [2**22 + 1] == client_cpu._family(2**22 + 1)

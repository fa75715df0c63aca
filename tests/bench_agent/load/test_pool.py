"""Tests of worker processes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bench_agent.load import pool
from bench_agent.load.plan import LoadError
from bench_agent.load.pool import describe, drive
from bench_agent.load.tally import Tally
from bench_agent.storage import read_records
from tests.bench_agent.load.loads import load

pytestmark = pytest.mark.integration
Simulate = Callable[..., str]


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_workers_share_the_load(simulate: Simulate, records_path: Path, workers: int) -> None:
    """Every request once, however many workers there are: never more than streams."""
    outcome = drive(load(simulate(), workers=workers), records_path, lambda _: True)
    found = sorted(read_records(records_path), key=lambda r: r.index)

    assert (list(range(6)), {True}) == ([r.index for r in found], {r.success for r in found})
    assert min(workers, 2) == outcome.workers == len({r.worker for r in found})
    assert (6, False) == (outcome.tally.completed, outcome.stopped)


def test_the_same_prompts_are_sent_by_any_number_of_workers(
    simulate: Simulate, tmp_path: Path
) -> None:
    """Request ids and prompts belong to the number of the request."""
    url = simulate()
    seen = []
    for workers in (1, 2):
        path = tmp_path / f"{workers}.jsonl"
        drive(load(url, workers=workers), path, lambda _: True)
        seen.append({r.index: r.request_id for r in read_records(path)})

    assert seen[0] == seen[1]


def test_no_records_are_written_without_a_file(simulate: Simulate) -> None:
    """A warm-up leaves no trace."""
    assert 6 == drive(load(simulate()), None, lambda _: True).tally.completed


def test_a_load_can_be_stopped(simulate: Simulate, records_path: Path) -> None:
    """The tick says so; what was sent is on record."""
    slow = load(simulate(itl_ms=100.0), output_len=100)
    outcome = drive(slow, records_path, lambda tally: tally.streaming == 0)

    assert outcome.stopped
    assert ["stopped", "stopped"] == [r.failure for r in read_records(records_path)]


def test_a_load_can_be_stopped_before_it_starts(
    simulate: Simulate, records_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is sent then."""
    monkeypatch.setattr(pool, "work", lambda *_: signal.pause())
    outcome = drive(load(simulate()), records_path, lambda _: False)

    assert (True, 0, False) == (outcome.stopped, outcome.tally.requested, records_path.exists())


def test_a_full_disk_is_said(simulate: Simulate) -> None:
    """The worker's trouble arrives in the parent, in words."""
    with pytest.raises(LoadError, match="No space left on device"):
        drive(load(simulate()), Path("/dev/full"), lambda _: True)


def test_a_worker_that_dies_is_noticed(
    simulate: Simulate, records_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed worker must not look like a finished one."""
    monkeypatch.setattr(pool, "work", lambda *_: os.kill(os.getpid(), signal.SIGKILL))

    with pytest.raises(LoadError, match="worker died"):
        drive(load(simulate()), records_path, lambda _: True)


def test_workers_go_with_their_parent(simulate: Simulate, records_path: Path) -> None:
    """Killed without a chance to say anything, the parent leaves no worker behind."""
    url = simulate(itl_ms=100.0)
    readable, writable = os.pipe()  # after the simulator, which must not hold it
    parent = os.fork()
    if parent == 0:
        os.setpgid(0, 0)

        def tick(tally: Tally) -> bool:
            if tally.streaming:
                os.write(writable, b"x")
            return True

        drive(load(url, output_len=1000, timeout_s=100.0, workers=2), records_path, tick)
        os._exit(0)
    os.close(writable)
    assert b"x" == os.read(readable, 1)
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)

    assert gone(readable)


def gone(readable: int) -> bool:
    """Whether all holders of the other end go within five seconds."""
    os.set_blocking(readable, False)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            if not os.read(readable, 4096):
                return True
        except BlockingIOError:  # noqa: PERF203 - it polls
            time.sleep(0.01)
    return False


def test_errors_are_told_in_one_line() -> None:
    """With the file where there is one; what was not foreseen with its type."""
    missing = OSError(2, "No such file or directory", "/x")

    assert "No such file or directory: /x." == describe(missing)
    assert "ValueError: odd" == describe(ValueError("odd"))
    assert "plain" == describe(LoadError("plain"))


def test_due_times_do_not_depend_on_the_number_of_workers(
    simulate: Simulate, tmp_path: Path
) -> None:
    """Request i of an open loop is due at the same time after the start."""
    url = simulate()
    seen = []
    for workers in (1, 3):
        path = tmp_path / f"{workers}.jsonl"
        made = load(url, request_rate=100.0, max_concurrency=None, num_prompts=30, workers=workers)
        outcome = drive(made, path, lambda _: True)
        seen.append({r.index: r.due_ns - outcome.started_ns for r in read_records(path)})

    assert 30 == len(seen[0])
    assert seen[0] == seen[1]


def test_an_outcome_says_how_late_the_client_was(simulate: Simulate) -> None:
    """Of all workers together."""
    outcome = drive(load(simulate(), workers=2), None, lambda _: True)

    assert outcome.lag_ms is not None
    assert outcome.tally.busiest_cpu > 0

"""Whether the process behind a status is still that process."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from bench_agent import clock
from bench_agent.layout import RunDir
from bench_agent.protocol import ACTIVE_STATES, CLOSED_STATES, DIED, RunListing, RunStatus
from bench_agent.storage import read_json
from bench_agent.wire import WireError, decode


def read_status(run: RunDir) -> RunStatus | None:
    """What the run last said of itself; None when it has said nothing."""
    try:
        return decode(RunStatus, read_json(run.status))
    except WireError:
        return None


def is_alive(status: RunStatus) -> bool:
    """Whether the process that wrote *status* runs: same boot, same pid, same start."""
    return status.boot_id == clock.boot_id() and status.pid_started == clock.process_started(
        status.pid
    )


def state_of(run: RunDir, status: RunStatus | None) -> str:
    """The run's state as it is now: `DIED` when its process is gone and nothing is sealed."""
    if status is not None and status.state in CLOSED_STATES:
        return status.state
    if status is not None and is_alive(status):
        return status.state
    again = read_status(run)  # it may have closed between the two looks
    if again is not None and again.state in CLOSED_STATES:
        return again.state
    if run.sealed:  # it was killed after the seal and before its last word
        summary = read_json(run.summary) or {}
        return str(summary.get("state", DIED))
    return DIED


def is_active(run: RunDir) -> bool:
    """Whether a process is at work on the run."""
    return state_of(run, read_status(run)) in ACTIVE_STATES


def listing(run: RunDir) -> RunListing:
    """The run as ``status`` lists it."""
    status = read_status(run)
    return RunListing(run.run_id, state_of(run, status), run.sealed, status)


def hold(path: Path, patience_s: float = 0.0) -> int | None:
    """Lock *path* as long as this process or a fork of it lives; None when another one does.

    Workers inherit the lock: who gets it after a crash knows that nobody writes any more.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # noqa: PERF203 - it waits
            if time.monotonic() >= deadline:
                os.close(descriptor)
                return None
            time.sleep(0.02)
        else:
            return descriptor

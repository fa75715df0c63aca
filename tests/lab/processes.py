"""Processes that the lab starts and ends: known by id and start time, never by name."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tests.lab.machine import HOME


def started_at(pid: int) -> str | None:
    """When process *pid* started, in the kernel's ticks; None when it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def identity(pid: int) -> str:
    """What tells process *pid* from a later one with the same number."""
    return f"{pid}:{started_at(pid)}"


def alive(identity_: str) -> bool:
    """Whether the process with that identity still runs."""
    pid, _, start = identity_.partition(":")
    return pid.isdigit() and started_at(int(pid)) == start


def start(name: str, argv: Sequence[str | Path], **options: object) -> None:
    """Run *argv* in a session of its own, until `stop(name)`."""
    HOME.mkdir(mode=0o700, exist_ok=True)
    with (HOME / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            **options,  # type: ignore[call-overload] # passed through
        )
    (HOME / f"{name}.pid").write_text(identity(process.pid))
    # Its exit is the business of whoever looks for it; no warning about a child still running.
    process.returncode = 0


def running(name: str) -> bool:
    """Whether the process that `start` began as *name* still runs."""
    try:
        return alive((HOME / f"{name}.pid").read_text())
    except OSError:
        return False


def stop(name: str, *, patience_s: float = 15.0) -> bool:
    """End the process *name*; False when there was none."""
    path = HOME / f"{name}.pid"
    if not running(name):
        path.unlink(missing_ok=True)
        return False
    mark = path.read_text()
    pid = int(mark.partition(":")[0])
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + patience_s
    while alive(mark) and time.monotonic() < deadline:
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        time.sleep(0.05)
    if alive(mark):
        os.kill(pid, signal.SIGKILL)
    path.unlink(missing_ok=True)
    return True

"""Processes of a local host: told apart for certain, found however detached, stopped.

Linux only: all of it is read from /proc.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

MARKER = "LLM_DYNO_HOST"
_PROC = Path("/proc")
_POLL_S = 0.02
_KILL_PATIENCE_S = 5.0


@dataclass(frozen=True)
class ProcessId:
    """One process for all time: `started` is clock ticks since boot (field 22 of its stat)."""

    pid: int
    started: int
    boot_id: str


@dataclass(frozen=True)
class _Stat:
    parent: int
    state: str
    threads: int
    started: int


def identify(pid: int) -> ProcessId | None:
    """The process that has *pid* now; None when there is none, or only its zombie."""
    stat = _stat(pid)
    # A leader that has ended counts until its last thread has: they hold its files and ports.
    if stat is None or (stat.state in "ZX" and stat.threads <= 1):
        return None
    return ProcessId(pid, stat.started, boot_id())


def alive(process: ProcessId) -> bool:
    """Whether that very process runs: not a later one of the same number."""
    return identify(process.pid) == process


def boot_id() -> str:
    """This boot of the machine."""
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()


def marked(marker: str) -> set[ProcessId]:
    """Every process that was started with ``LLM_DYNO_HOST=<marker>`` in its environment."""
    entry = f"{MARKER}={marker}".encode()
    found = (identify(pid) for pid in _pids() if entry in _environment(pid))
    return {process for process in found if process}


def below(pid: int) -> set[ProcessId]:
    """Children, and their children, of *pid*; not itself."""
    stats = {p: stat for p in _pids() if (stat := _stat(p))}
    family = {pid}
    while grown := {p for p, s in stats.items() if s.parent in family} - family:
        family |= grown
    return {process for p in family - {pid} if (process := identify(p))}


def send(process: ProcessId, number: signal.Signals) -> None:
    """Send a signal to that very process; nothing happens when it is gone."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        if alive(process):  # the handle now holds this process, whatever happens to its number
            signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return
    finally:
        os.close(handle)


def stop(find: Callable[[], Collection[ProcessId]], patience_s: float) -> Collection[ProcessId]:
    """Stop what *find* finds: TERM, *patience_s* to end, then KILL. Returns what is left."""
    for process in find():
        send(process, signal.SIGTERM)
        send(process, signal.SIGCONT)  # a stopped process could not act on it
    left = _wait(find, patience_s)
    if left:
        _wait(lambda: _killed(find()), _KILL_PATIENCE_S)
    return find()


def _killed(processes: Collection[ProcessId]) -> Collection[ProcessId]:
    for process in processes:
        send(process, signal.SIGKILL)
    return processes


def _wait(find: Callable[[], Collection[ProcessId]], patience_s: float) -> Collection[ProcessId]:
    deadline = time.monotonic() + patience_s
    while (left := find()) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    return left


def _pids() -> Iterator[int]:
    own = os.getpid()
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and int(entry.name) != own:
            yield int(entry.name)


def _environment(pid: int) -> list[bytes]:
    try:
        return (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:  # gone, or somebody else's
        return []


def _stat(pid: int) -> _Stat | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the name before it may hold anything
    return _Stat(int(fields[1]), fields[0], threads=int(fields[17]), started=int(fields[19]))

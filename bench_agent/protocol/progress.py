"""What a run says of itself, and how its files travel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class RunStatus:
    """``control/status.json``: written to a temporary file and renamed, at least each second.

    `pid`, `pid_started` (clock ticks since boot, field 22 of ``/proc/<pid>/stat``) and
    `boot_id` tell a live agent from a number that was given out again.
    `requested` is what the plan asks for in all (where a point has no number, what was sent);
    `completed` and `failed` count what is over.
    """

    schema: int
    run_id: str
    state: str
    pid: int
    pid_started: int
    boot_id: str
    started_ns: int
    updated_ns: int
    planned_end_ns: int
    point: str = ""
    points_done: int = 0
    points_total: int = 0
    requested: int = 0
    completed: int = 0
    failed: int = 0
    output_tokens: int = 0
    output_tokens_per_s: float = 0.0
    eta_s: float | None = None
    message: str = ""


@dataclass(frozen=True)
class Event:
    """A line of ``control/events.jsonl`` and of ``agent follow``; `seq` counts from 1.

    `kind`: ``state`` (message: the new state), ``point`` (a point begins), ``point_done``,
    ``note`` (something a person should know), ``progress`` (follow only, carries the status),
    ``end`` (the last one; message: the closed state or ``died``).
    """

    seq: int
    t_ns: int
    kind: str
    message: str = ""
    status: RunStatus | None = None


@dataclass(frozen=True)
class RunListing:
    """One run as ``agent status`` lists it: `state` is `DIED` where its process is gone."""

    run_id: str
    state: str
    sealed: bool
    status: RunStatus | None = None


@dataclass(frozen=True)
class HostStatus:
    """What ``agent status`` prints: the lock's owner.json or null, and all runs, oldest first."""

    schema: int
    now_ns: int
    lock: dict[str, Any] | None
    runs: tuple[RunListing, ...]


@dataclass(frozen=True)
class Frame:
    """The header line of one file in the stream of ``agent send``, followed by `length` bytes.

    The stream ends with a frame whose `path` is empty: `sealed` then says whether the run is
    whole, and `sha256` is that of SHA256SUMS.
    """

    path: str
    offset: int = 0
    length: int = 0
    sealed: bool = False
    sha256: str = ""

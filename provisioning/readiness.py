"""From the engine's start to its first answer: one exchange, however long it takes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from provisioning.command import quote
from provisioning.errors import LaunchError, RemoteError
from provisioning.facts.python import Pythons, usable
from provisioning.host import Host
from provisioning.launchers.base import Handle

_PROBE = Path(__file__).parent / "readiness_probe.py"

#: What an engine is doing, by what its log says (vLLM's words, and the simulator's).
PHASES = (
    ("download", re.compile(r"downloading|Fetching \d+ files", re.IGNORECASE)),
    ("load weights", re.compile(r"Starting to load model|Loading (safetensors|weights)")),
    ("compile", re.compile(r"torch\.compile|Dynamo bytecode|Compiling a graph")),
    ("profile memory", re.compile(r"Available KV cache memory|GPU KV cache size|Memory profiling")),
    ("capture graphs", re.compile(r"[Cc]apturing .*[Gg]raph|Graph capturing")),
    ("serve", re.compile(r"Application startup complete|Starting vLLM API server|Uvicorn running")),
)


@dataclass(frozen=True)
class Progress:
    """Seconds since the wait began, the phase the engine is in, and its newest log line."""

    seconds: float
    phase: str
    line: str


@dataclass
class Ready:
    """How long it took, in all and by phase (seconds; a phase that was not seen is not there)."""

    seconds: float = 0.0
    phases: dict[str, float] = field(default_factory=dict)


def wait(
    host: Host,
    handle: Handle,
    timeout_s: float,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Ready:
    """Wait until the engine answers; *on_progress* hears each log line, and at least each second.

    Raises:
        LaunchError: the engine ended, or did not answer within *timeout_s*; with its log's tail.
            It is left as it is.
        RemoteError: the connection broke; the engine goes on.
    """
    python = usable(host.fact(Pythons), host.name).path
    task = {
        "pid": handle.pid,
        "pid_started": handle.pid_started,
        "boot_id": handle.boot_id,
        "url": handle.base_url + handle.ready_path,
        "log": handle.log,
        "api_key_file": handle.api_key_file,
        "timeout_s": timeout_s,
    }
    command = quote(python, "-I", "-S", "-", json.dumps(task))
    with host.remote.stream(command, stdin=_PROBE.read_bytes()) as lines:
        return _follow(map(json.loads, lines), host, timeout_s, on_progress)


def phase_of(line: str) -> str | None:
    """The phase that a log line tells of; None for one that tells nothing."""
    return next((name for name, pattern in PHASES if pattern.search(line)), None)


def _follow(
    messages: Iterator[dict[str, Any]],
    host: Host,
    timeout_s: float,
    on_progress: Callable[[Progress], None],
) -> Ready:
    ready, phase, since, line = Ready(), "start", 0.0, ""
    for message in messages:
        seconds = message["seconds"]
        line = message.get("line", line)
        entered = phase_of(message.get("line", "")) or phase
        if entered != phase or "end" in message:
            ready.phases[phase] = round(ready.phases.get(phase, 0.0) + seconds - since, 3)
            phase, since = entered, seconds
        if "end" in message:
            ready.seconds = seconds
            _require_ready(message, host, timeout_s, phase)
            return ready
        on_progress(Progress(seconds, phase, line))
    raise RemoteError(
        f"The wait for the engine on {host.name} broke off.",
        "The engine goes on; try again.",
        host=host.name,
    )


def _require_ready(message: dict[str, Any], host: Host, timeout_s: float, phase: str) -> None:
    log = "\n".join(message.get("tail", ()))
    if message["end"] == "exited":
        raise LaunchError(
            f"The engine ended before it was ready (in phase: {phase}).",
            "The end of its log says why.",
            host=host.name,
            log=log,
        )
    if message["end"] == "late":
        raise LaunchError(
            f"The engine was not ready within {timeout_s:g} s (in phase: {phase}; "
            f"last answer: {message['answer']}).",
            "If it only needs longer, say `--set timeouts.ready_s=…`.",
            host=host.name,
            log=log,
        )

"""From the engine's start to its first answer: one exchange, however long it takes."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from provisioning.command import quote
from provisioning.engine_schema import Timeouts
from provisioning.errors import LaunchError, RemoteError
from provisioning.facts.python import Pythons, usable
from provisioning.host import Host
from provisioning.launchers.base import Handle
from provisioning.readiness_phases import START, Tracker, title

_PROBE = Path(__file__).parent / "readiness_probe.py"
_TAIL = 20
_TELL_EVERY_S, _TELL_SAME_S = 10.0, 30.0
#: The phase of the last `Progress`.
READY = "ready"


class NotReadyError(LaunchError):
    """The engine ended, or was given up: in which `phase_reached`, and how (`end`).

    `end` is ``exited``, ``late`` (all in all) or ``hung`` (longer in its phase than that may last).
    """

    end = "exited"
    phase_reached = START


@dataclass(frozen=True)
class Progress:
    """Seconds since the wait began, the phase the engine is in, and its newest log line.

    `in_phase_s`: for how long it is in it. `detail`: how far it is, such as ``3/17 shards``.
    """

    seconds: float
    phase: str
    line: str
    in_phase_s: float = 0.0
    detail: str = ""


@dataclass
class Ready:
    """How long it took, in all and by phase (seconds; a phase that was not seen is not there)."""

    seconds: float = 0.0
    phases: dict[str, float] = field(default_factory=dict)


def wait(
    host: Host,
    handle: Handle,
    timeouts: Timeouts,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Ready:
    """Wait until the engine answers; *on_progress* hears each log line, and at least each second.

    Raises:
        NotReadyError: the engine ended, did not answer in time, or was in one phase for longer
            than *timeouts* give it; with its log's tail. It is left as it is.
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
        "timeout_s": timeouts.ready_s,
    }
    command = quote(python, "-I", "-S", "-", json.dumps(task))
    with host.remote.stream(command, stdin=_PROBE.read_bytes()) as lines:
        return _Wait(host, timeouts, on_progress).follow(map(json.loads, lines))


class Teller:
    """Says in a few lines how a start goes on: each phase, and now and then how far it is."""

    def __init__(self, note: Callable[[str], None], name: str = "engine") -> None:
        self._note = note
        self._name = name
        self._last = Progress(0.0, START, "")
        self._told = 0.0
        self._detail = ""

    def __call__(self, now: Progress) -> None:
        """Hear what is."""
        last, self._last = self._last, now
        silent_s = now.seconds - self._told
        if now.phase == READY:
            self._say(now, f"{title(last.phase)} took {now.in_phase_s:.1f} s")
            self._say(now, f"ready after {now.seconds:.1f} s")
        elif now.phase != last.phase:
            self._say(now, f"{title(last.phase)} took {last.in_phase_s:.1f} s; {title(now.phase)}")
        elif silent_s >= (_TELL_EVERY_S if now.detail != self._detail else _TELL_SAME_S):
            self._detail = now.detail
            far = f" {now.detail}" if now.detail else ""
            self._say(now, f"{title(now.phase)}{far} ({now.in_phase_s:.0f} s)")

    def _say(self, now: Progress, text: str) -> None:
        self._told = now.seconds
        self._note(f"{self._name}: {text}")


class _Wait:
    def __init__(
        self, host: Host, timeouts: Timeouts, on_progress: Callable[[Progress], None]
    ) -> None:
        self._host = host
        self._timeouts = timeouts
        self._on_progress = on_progress
        self._tracker = Tracker()
        self._tail: deque[str] = deque(maxlen=_TAIL)

    def follow(self, messages: Iterator[dict[str, Any]]) -> Ready:
        for message in messages:
            self._hear(message)
            if message.get("end") == "ready":
                return self._ready(message["seconds"])
            if "end" in message:
                self._failed(message)
            self._keep_deadline()
        raise RemoteError(
            f"The wait for the engine on {self._host.name} broke off.",
            "The engine goes on; try again.",
            host=self._host.name,
        )

    def _ready(self, seconds: float) -> Ready:
        took = self._tracker.seconds[self._tracker.phase]
        self._on_progress(Progress(seconds, READY, self._last_line(), took))
        return Ready(seconds, dict(self._tracker.seconds))

    def _hear(self, message: dict[str, Any]) -> None:
        tracker, seconds = self._tracker, message["seconds"]
        if "line" in message:
            self._tail.append(message["line"])
            tracker.line(message["line"], seconds)
        else:
            tracker.tick(seconds)
        if "end" not in message:
            took = tracker.seconds[tracker.phase]
            now = Progress(seconds, tracker.phase, self._last_line(), took, tracker.detail)
            self._on_progress(now)

    def _keep_deadline(self) -> None:
        phase = self._tracker.phase
        limit_s = getattr(self._timeouts.phases, f"{phase}_s")
        if self._tracker.seconds[phase] < limit_s:
            return
        last = self._last_line()
        self._give_up(
            "hung",
            f"The engine was in phase {title(phase)} for more than {limit_s:g} s and was given up; "
            + (f"its last line: {last}" if last else "it has said nothing."),
            f"If it only needs longer, say `--set timeouts.phases.{phase}_s=…`.",
            list(self._tail),
        )

    def _failed(self, message: dict[str, Any]) -> NoReturn:
        phase, tail = title(self._tracker.phase), message.get("tail") or list(self._tail)
        if message["end"] == "exited":
            self._give_up(
                "exited",
                f"The engine ended before it was ready (in phase: {phase}).",
                "The end of its log says why.",
                tail,
            )
        self._give_up(
            "late",
            f"The engine was not ready within {self._timeouts.ready_s:g} s (in phase: {phase}; "
            f"last answer: {message['answer']}).",
            "If it only needs longer, say `--set timeouts.ready_s=…`.",
            tail,
        )

    def _give_up(self, end: str, what: str, advice: str, tail: list[str]) -> NoReturn:
        error = NotReadyError(what, advice, host=self._host.name, log="\n".join(tail))
        error.end, error.phase_reached = end, self._tracker.phase
        raise error

    def _last_line(self) -> str:
        return self._tail[-1] if self._tail else ""

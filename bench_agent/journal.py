"""What a run says of itself while it goes on: status and events."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import suppress
from dataclasses import replace
from typing import Any

from bench_agent import clock, storage
from bench_agent.layout import RunDir
from bench_agent.protocol import SCHEMA, Event, RunSpec, RunStatus
from bench_agent.wire import encode

#: Signals that a run minds: a hang-up is ignored, the others end it in good order.
STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
#: The machine goes at `expires_at`; results must be closed, and home, before.
EXPIRY_MARGIN_NS = 60_000_000_000


class Journal:
    """Writes status.json (by rename) and events.jsonl (append only)."""

    def __init__(self, run: RunDir, spec: RunSpec) -> None:
        started_ns = time.time_ns()
        self._run = run
        # A run that is taken up again goes on counting.
        self._seq = events_so_far(run)
        self.status = RunStatus(
            schema=SCHEMA,
            run_id=spec.run_id,
            state="starting",
            pid=os.getpid(),
            pid_started=clock.process_started(os.getpid()) or 0,
            boot_id=clock.boot_id(),
            started_ns=started_ns,
            updated_ns=started_ns,
            planned_end_ns=planned_end_ns(spec, started_ns),
            points_total=len(spec.points),
            requested=sum(point.num_prompts or 0 for point in spec.points),
        )

    def update(self, **changes: Any) -> None:
        """Write the status with *changes*."""
        self.status = replace(self.status, updated_ns=time.time_ns(), **changes)
        storage.write_json(self._run.status, encode(self.status), durable=False)

    def event(self, kind: str, message: str = "") -> None:
        """Log an event."""
        self._seq += 1
        append_event(self._run, Event(self._seq, time.time_ns(), kind, message))

    def state(self, state: str, message: str = "") -> None:
        """The run is now in *state*."""
        self.update(state=state, message=message)
        self.event("state", state)

    def end(self, state: str, message: str) -> None:
        """The last word. It must get through even when the disk is full of other things."""
        with suppress(OSError):
            self.update(state=state, message=message, eta_s=None, output_tokens_per_s=0.0)
        with suppress(OSError):
            self.event("end", state)


def planned_end_ns(spec: RunSpec, started_ns: int) -> int:
    """When the run has to end: as planned, and before the machine goes."""
    end = started_ns + int(spec.planned_s * 1e9)
    if spec.expires_at is not None:
        end = min(end, clock.parse_time(spec.expires_at) - EXPIRY_MARGIN_NS)
    return max(end, started_ns)


def events_so_far(run: RunDir) -> int:
    """How many events were logged."""
    return len(run.events.read_bytes().splitlines()) if run.events.exists() else 0


def append_event(run: RunDir, event: Event) -> None:
    """One line of events.jsonl."""
    storage.append(run.events, json.dumps(encode(event)).encode() + b"\n")

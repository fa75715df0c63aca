"""Sealing a run whose process died: what its records tell is summarised."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

from bench_agent import closing, storage
from bench_agent.journal import append_event, events_so_far
from bench_agent.layout import RunDir
from bench_agent.liveness import hold, is_active, read_status
from bench_agent.protocol import Event, RunSpec
from bench_agent.specs import spec_of

#: Workers of a dead agent notice within milliseconds; this is for a machine that swaps.
_PATIENCE_S = 10.0
MESSAGE = "The agent's process died; sealed from the records it left."


class StillActive(Exception):  # noqa: N818 - a refusal
    """A process is at work on the run."""


def seal_dead_run(run: RunDir) -> str | None:
    """Close a run that has no process any more; its state, or None when it was sealed before.

    Raises:
        StillActive: it has one.
        SpecError: the run has no spec that can be read.
        OSError: the disk is full.
    """
    if run.sealed:
        return None
    if is_active(run) or hold(run.alive, _PATIENCE_S) is None:
        raise StillActive(run.run_id)
    if run.sums.exists():  # another one was faster
        return None
    spec = spec_of(storage.read_json(run.spec))
    state = _summarise(run, spec)
    _last_word(run, state)
    return state


def _summarise(run: RunDir, spec: RunSpec) -> str:
    for path in run.path.rglob("*.jsonl"):
        storage.drop_torn_line(path)
    for path in run.path.rglob("*.tmp"):
        path.unlink()
    points = closing.close_points(run, spec)
    state = "incomplete" if any(p.requested for p in points) else "failed"
    status = read_status(run)
    started = status.started_ns if status else time.time_ns()
    ended = max([p.ended_ns for p in points] + [status.updated_ns if status else started])
    closing.close_run(
        run,
        spec,
        state=state,
        started_ns=started,
        ended_ns=ended,
        points=points,
        calibration=None,
        phases={},
        secret=_secret(spec),
    )
    return state


def _secret(spec: RunSpec) -> str | None:
    with suppress(OSError):
        return closing.read_secret(spec)
    return None


def _last_word(run: RunDir, state: str) -> None:
    status = storage.read_json(run.status)
    if isinstance(status, dict):
        change: dict[str, Any] = {"state": state, "message": MESSAGE, "eta_s": None}
        storage.write_json(run.status, {**status, **change, "updated_ns": time.time_ns()})
    seq = events_so_far(run)
    append_event(run, Event(seq + 1, time.time_ns(), "note", MESSAGE))
    append_event(run, Event(seq + 2, time.time_ns(), "end", state))

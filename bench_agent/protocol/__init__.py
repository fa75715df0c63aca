"""What controller and agent say to each other; the contract of every module here.

All of it is JSON. Times on the wire are nanoseconds since the Unix epoch
(CLOCK_REALTIME, the clock of the kernel's receive stamps); units stand in names.

On a host, below its working folder::

    agent/bench-agent-<sha12>.pyz      the archive, named by its hash
    lock/owner.json                    who uses the host (an atomic mkdir)
    calibration/<key>.json             cached calibrations
    engines/<run-id>/                  launcher files of the engine: env (0600), log, pid
    runs/<run-id>/                     the result directory
    runs/<run-id>/control/             spec.json status.json events.jsonl: not part of the result

A result directory is whole when, and only when, ``SHA256SUMS`` lies in it.
"""

from __future__ import annotations

import re

from bench_agent.protocol.progress import Event, Frame, HostStatus, RunListing, RunStatus
from bench_agent.protocol.results import (
    Manifest,
    PointSummary,
    RequestRecord,
    RunSummary,
    Stats,
    Verdict,
)
from bench_agent.protocol.spec import (
    EngineProcess,
    Limits,
    Point,
    RampUp,
    RunSpec,
    Search,
    Target,
    Workload,
)

__all__ = [
    "ACTIVE_STATES",
    "CLOSED_STATES",
    "CONTROL",
    "DIED",
    "FAILURES",
    "RUN_ID",
    "SCHEMA",
    "SUMS",
    "EngineProcess",
    "Event",
    "Frame",
    "HostStatus",
    "Limits",
    "Manifest",
    "Point",
    "PointSummary",
    "RampUp",
    "RequestRecord",
    "RunListing",
    "RunSpec",
    "RunStatus",
    "RunSummary",
    "Search",
    "Stats",
    "Target",
    "Verdict",
    "Workload",
]

SCHEMA = 1

#: States in which the agent is at work.
ACTIVE_STATES = ("starting", "probing", "calibrating", "warming", "running", "closing")
#: States that never change again. `done`: every point ran to its end. `incomplete`: stopped
#: or out of time; what was measured is sealed. `failed`: the agent could not measure.
CLOSED_STATES = ("done", "incomplete", "failed")
#: Reported, never written: an active state whose process is gone.
DIED = "died"

SUMS = "SHA256SUMS"
CONTROL = "control"
RUN_ID = re.compile(r"\d{8}T\d{6}Z-[a-z0-9][a-z0-9-]*-[0-9a-f]{4}")

#: Failure classes of a request (`RequestRecord.failure`).
FAILURES = (
    "refused",  # no connection
    "reset",  # the connection broke before the reply was over
    "timeout",  # longer than `Limits.request_timeout_s`
    "stalled",  # after its first byte, silent for longer than `Limits.stall_timeout_s`
    "http_error",  # a status other than 200; `error` holds the body's head
    "stream_error",  # an error event inside the stream
    "truncated",  # the stream ended without finish reason or [DONE]
    "no_usage",  # finished, but without the token counts
    "wrong_usage",  # finished, with token counts that cannot be
    "bad_reply",  # not HTTP, or not JSON where JSON was due
    "stopped",  # the run ended before the request did
)

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
from dataclasses import dataclass, field
from typing import Any

SCHEMA = 1

#: States in which the agent is at work.
ACTIVE_STATES = ("starting", "calibrating", "warming", "running", "closing")
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
    "http_error",  # a status other than 200; `error` holds the body's head
    "stream_error",  # an error event inside the stream
    "truncated",  # the stream ended without finish reason or [DONE]
    "no_usage",  # finished, but without the token counts
    "bad_reply",  # not HTTP, or not JSON where JSON was due
    "stopped",  # the run ended before the request did
)


@dataclass(frozen=True)
class Target:
    """The server under load.

    `base_urls` bear no ``/v1``; several are instances of one model, used in turn.
    `api` is ``completions`` or ``chat``. `api_key_file` names a 0600 file on the host.
    `log` names the engine's log there; it becomes ``server.log``.
    """

    base_urls: tuple[str, ...]
    model: str
    api: str = "completions"
    api_key_file: str | None = None
    log: str | None = None


@dataclass(frozen=True)
class Workload:
    """A named traffic shape: a module of `bench_agent.workloads` and its numbers (tokens)."""

    name: str = "random"
    input_len: int = 128
    output_len: int = 64
    seed: int = 0
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Point:
    """One load level. `name` is its folder below ``points/``: ``00-c4``, ``01-inf``.

    `max_concurrency` None: no cap. `request_rate` (requests/s) None: as fast as the cap lets.
    """

    name: str
    num_prompts: int
    max_concurrency: int | None = None
    request_rate: float | None = None


@dataclass(frozen=True)
class Limits:
    """What a point may do and still be valid."""

    max_failed_share: float = 0.0
    request_timeout_s: float = 600.0
    max_send_delay_ms: float = 10.0  # P99 of sent - due
    max_coalesced_share: float = 0.2  # reads that held several events
    max_client_error_ms: float = 5.0  # mean TTFT error seen in calibration


@dataclass(frozen=True)
class RunSpec:
    """One run: what the controller hands to ``agent start`` on standard input.

    `planned_s`: the agent ends itself that long after its start, whatever happens.
    `expires_at`: when the machine goes (RFC 3339), None when nobody knows.
    `context` goes into the manifest as it is: no secrets.
    """

    schema: int
    run_id: str
    stack: str
    recipe: str
    target: Target
    workload: Workload
    points: tuple[Point, ...]
    planned_s: float
    limits: Limits = Limits()
    num_warmups: int = 0
    ignore_eos: bool = True
    temperature: float | None = None
    extra_body: dict[str, Any] = field(default_factory=dict)
    workers: int | None = None
    calibrate: bool = True
    expires_at: str | None = None
    recipe_yaml: str = ""
    context: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RunStatus:
    """``control/status.json``: written to a temporary file and renamed, at least each second.

    `pid`, `pid_started` (clock ticks since boot, field 22 of ``/proc/<pid>/stat``) and
    `boot_id` tell a live agent from a number that was given out again.
    `requested` is what the plan asks for in all; `completed` and `failed` count what is over.
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
class RequestRecord:
    """A line of ``records.jsonl``: one request, measured.

    `due_ns` is when the load wanted it sent, `sent_ns` when the first byte went out.
    `first_chunk_ns` is vLLM's first token (first event that holds a choice),
    `first_content_ns` the first event with text in it. `chunk_ns` are the arrival times of all
    counted chunks as offsets from `sent_ns`. `stamped_by` is ``kernel`` or ``user``.
    `coalesced` of `reads` reads held more than one event: their stamps are upper bounds.
    Token counts come from the server's usage.
    """

    index: int
    request_id: str
    endpoint: str
    success: bool
    due_ns: int
    sent_ns: int
    done_ns: int
    first_chunk_ns: int | None = None
    first_content_ns: int | None = None
    last_chunk_ns: int | None = None
    chunk_ns: tuple[int, ...] = ()
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    finish_reason: str | None = None
    failure: str | None = None
    error: str | None = None
    http_status: int | None = None
    stamped_by: str = "kernel"
    reads: int = 0
    coalesced: int = 0
    worker: int = 0


@dataclass(frozen=True)
class Stats:
    """A distribution in milliseconds; `percentiles` by name: ``p50``, ``p90``, ``p95``, ``p99``."""

    mean: float
    median: float
    std: float
    min: float
    max: float
    percentiles: dict[str, float]
    count: int


@dataclass(frozen=True)
class Verdict:
    """Whether a point can be believed, and why not."""

    valid: bool
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class PointSummary:
    """``points/<name>/summary.json``. A distribution is None when nothing succeeded.

    `client` holds the client's own figures: send_delay_ms (Stats or null), coalesced_share,
    stamped_by, cpu_s, workers, clock_step_ms.
    """

    schema: int
    run_id: str
    point: Point
    verdict: Verdict
    started_ns: int
    ended_ns: int
    duration_s: float
    requested: int
    completed: int
    failed: int
    failures: dict[str, int]
    total_input_tokens: int
    total_output_tokens: int
    request_throughput: float
    output_throughput: float
    total_token_throughput: float
    peak_concurrency: int
    ttft_ms: Stats | None = None
    tpot_ms: Stats | None = None
    itl_ms: Stats | None = None
    e2el_ms: Stats | None = None
    client: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RunSummary:
    """``summary.json``: the run, its points in order, and the calibration that it rests on."""

    schema: int
    run_id: str
    state: str
    verdict: Verdict
    started_ns: int
    ended_ns: int
    points: tuple[PointSummary, ...]
    calibration: dict[str, Any] | None = None


@dataclass(frozen=True)
class Manifest:
    """``manifest.json``: everything that can move a number, without secrets.

    `agent`: sha256, version, python. `host`: hostname, os, kernel, cpu, cores, memory_mib,
    boot_id. `spec`: the RunSpec less its context. `context`: what the controller knew (engine
    arguments and environment, stack, price, phase times so far). `phases`: seconds a phase.
    """

    schema: int
    run_id: str
    stack: str
    recipe: str
    state: str
    started_ns: int
    ended_ns: int
    agent: dict[str, Any]
    host: dict[str, Any]
    spec: dict[str, Any]
    context: dict[str, Any]
    phases: dict[str, float]


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

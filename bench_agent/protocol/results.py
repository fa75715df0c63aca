"""What a result directory holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bench_agent.protocol.spec import Point


@dataclass(frozen=True)
class RequestRecord:
    """A line of ``records.jsonl``: one request, measured.

    `due_ns` is when the load wanted it sent, `sent_ns` when the first byte went out.
    `first_chunk_ns` is vLLM's first token (first event that holds a choice),
    `first_content_ns` the first event with text in it. `chunk_ns` are the arrival times of all
    counted chunks as offsets from `sent_ns`. `stamped_by` is ``kernel`` or ``user``.
    `coalesced` of `reads` reads held more than one event: their stamps are upper bounds.
    Token counts come from the server's usage, or from where `tokens_from` says: ``usage``, or
    ``tokenizer`` where streams bear no usage and the server's own /tokenize counted the text.
    `asked_tokens` is the request's max_tokens, `asked_prompt_tokens` what the workload meant.
    `text` is the reply where texts are kept.
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
    asked_tokens: int | None = None
    asked_prompt_tokens: int | None = None
    tokens_from: str = "usage"
    text: str | None = None


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
    stamped_by, cpu_s, workers, clock_step_ms, and where known busiest_cpu (cores), lag_ms
    ({p50, p99, max}: how late the loop woke up), lost_segments (of the tap).
    `ttft_content_ms`: to the first chunk with text; `e2el_from_due_ms`: from the time at which
    the request was due, so with what it waited in the client; `queue_ms`: that wait.
    `peak_output_throughput`: most tokens in one second of the point, usage spread over chunks.
    `request_goodput` (requests/s) is None without objectives, `good_share` likewise.
    `steady`: the figures between ramp-up and drain, None when there is no such time:
    from_ns, to_ns, requests, output_throughput, request_throughput, ttft_ms, tpot_ms, itl_ms,
    e2el_ms (Stats or null), first_half and second_half output_throughput.
    `server` and `gpu` are what telemetry saw during the point, None where there was none;
    see `bench_agent.observed`. `unsupported_percentiles`: shown, but from too few requests.
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
    request_goodput: float | None = None
    good_share: float | None = None
    peak_output_throughput: float = 0.0
    ttft_content_ms: Stats | None = None
    e2el_from_due_ms: Stats | None = None
    queue_ms: Stats | None = None
    steady: dict[str, Any] | None = None
    server: dict[str, Any] | None = None
    gpu: dict[str, Any] | None = None
    unsupported_percentiles: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunSummary:
    """``summary.json``: the run, its points in order, and the calibration that it rests on.

    `server`: what the probe found the server to support (`bench_agent.probe`), None without one.
    `search`: over, share, steps [{point, value, good_share, ok}], highest (the highest load that
    held; None if none did), lowest_failed (None if none failed), ended (why it stopped); None
    without a search.
    """

    schema: int
    run_id: str
    state: str
    verdict: Verdict
    started_ns: int
    ended_ns: int
    points: tuple[PointSummary, ...]
    calibration: dict[str, Any] | None = None
    server: dict[str, Any] | None = None
    search: dict[str, Any] | None = None


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

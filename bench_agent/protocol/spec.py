"""What a run is to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class EngineProcess:
    """A process without which the server is dead: start (clock ticks since boot) and boot tell it
    from another that was given its number.
    """  # noqa: D205 - one thought

    pid: int
    pid_started: int
    boot_id: str


@dataclass(frozen=True)
class Target:
    """The server under load.

    `base_urls` bear no ``/v1``; several are instances of one model, used in turn.
    `api` is ``completions`` or ``chat``. `api_key_file` names a 0600 file on the host.
    `log` names the engine's log there; it becomes ``server.log``. `routing` says which
    instance is next: ``round_robin`` or ``least_busy`` (fewest of this client's requests).
    `ca_file`: certificates to trust for https instead of the system's; `insecure`: any.
    `engines`: the server's processes, where it runs on this host; when one of them is gone,
    started anew or not, the run has failed.
    """

    base_urls: tuple[str, ...]
    model: str
    api: str = "completions"
    api_key_file: str | None = None
    log: str | None = None
    routing: str = "round_robin"
    ca_file: str | None = None
    insecure: bool = False
    engines: tuple[EngineProcess, ...] = ()


@dataclass(frozen=True)
class Workload:
    """A named traffic shape: a module of `bench_agent.workloads` and its numbers (tokens)."""

    name: str = "random"
    input_len: int = 128
    output_len: int = 64
    seed: int = 0
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RampUp:
    """A rate that changes over a point, as vLLM's ``--ramp-up-strategy`` does it.

    `strategy` is ``linear`` or ``exponential``; rates in requests/s, both above 0.
    """

    strategy: str
    start_rps: float
    end_rps: float


@dataclass(frozen=True)
class Point:
    """One load level. `name` is its folder below ``points/``: ``00-c4``, ``01-inf``.

    `num_prompts` None: as many as `duration_s` lets; with both, whatever comes first. No request
    is sent after `duration_s`; those in flight are let end.
    `max_concurrency` None: no cap. `request_rate` (requests/s) None: as fast as the cap lets.
    `burstiness` shapes the arrivals of a rate, as vLLM defines it: gamma with that shape, 1 is
    Poisson; None: a constant interval. `ramp_up` takes the place of `request_rate`.
    `ramp_up_s`: the slots of a closed loop open evenly over that long.
    `arrivals` ``trace``: requests are due when the workload's trace says.
    `repeat_of`: the name of the point that this one measures once more.
    """

    name: str
    num_prompts: int | None = None
    max_concurrency: int | None = None
    request_rate: float | None = None
    duration_s: float | None = None
    burstiness: float | None = 1.0
    ramp_up: RampUp | None = None
    ramp_up_s: float = 0.0
    arrivals: str = "rate"
    repeat_of: str | None = None


@dataclass(frozen=True)
class Search:
    """After the points: the highest load at which `share` of the requests meet `RunSpec.goodput`.

    `over` is ``max_concurrency`` or ``request_rate``; the answer is looked for by bisection
    between `low` and `high` until the bracket is narrower than `precision` (a share of its
    lower end), in at most `max_steps` points. Each point has `num_prompts` or `duration_s`.
    """

    over: str
    low: float
    high: float
    share: float = 0.99
    precision: float = 0.05
    max_steps: int = 12
    num_prompts: int | None = None
    duration_s: float | None = None
    burstiness: float | None = 1.0


@dataclass(frozen=True)
class Limits:
    """What a point may do and still be valid."""

    max_failed_share: float = 0.0
    request_timeout_s: float = 600.0
    max_send_delay_ms: float = 10.0  # P99 of sent - due
    max_coalesced_share: float = 0.2  # reads that held several events
    max_client_error_ms: float = 5.0  # mean TTFT error seen in calibration
    stall_timeout_s: float = 120.0  # silence inside a stream
    max_client_cpu: float = 0.9  # of one core, by the busiest of the client's processes
    max_client_lag_ms: float = 20.0  # P99 of how late the client's loop woke up
    max_token_gap: float = 0.01  # share by which client and server may disagree on tokens
    max_cache_hit_excess: float = 0.02  # prefix-cache hits beyond what the workload intends
    max_preemptions: int = 0  # of requests, by the server
    max_throttled_share: float = 0.0  # of GPU samples: thermal or hardware slowdown
    max_drift: float = 0.15  # of output throughput, first half to second half of the steady window


@dataclass(frozen=True)
class RunSpec:
    """One run: what the controller hands to ``agent start`` on standard input.

    `planned_s`: the agent ends itself that long after its start, whatever happens.
    `expires_at`: when the machine goes (RFC 3339), None when nobody knows.
    `context` goes into the manifest as it is: no secrets.
    `num_warmups` requests go before each point, with prompts of their own, and are not counted.
    `goodput`: service-level objectives in ms by metric (``ttft``, ``tpot``, ``e2el``), as vLLM's
    ``--goodput``. `percentiles`: asked for beside the usual 50, 90, 95 and 99; a point that has
    too few requests for one of these is invalid. `point_gap_s`: silence between points.
    `keep_texts`: replies stand in the records and in ``vllm.json``.
    """

    schema: int
    run_id: str
    stack: str
    recipe: str
    target: Target
    workload: Workload
    points: tuple[Point, ...]
    planned_s: float
    limits: Limits = field(default_factory=Limits)
    num_warmups: int = 0
    ignore_eos: bool = True
    temperature: float | None = None
    extra_body: dict[str, Any] = field(default_factory=dict)
    workers: int | None = None
    calibrate: bool = True
    expires_at: str | None = None
    recipe_yaml: str = ""
    context: dict[str, Any] = field(default_factory=dict)
    search: Search | None = None
    goodput: dict[str, float] = field(default_factory=dict)
    percentiles: tuple[float, ...] = ()
    point_gap_s: float = 0.0
    keep_texts: bool = False

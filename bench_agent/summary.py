"""From the traffic of a point to its summary: pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench_agent import metrics, steady
from bench_agent.distribution import PERCENTILES, name_of, nested_ms, stats_ms
from bench_agent.observed import Observed
from bench_agent.protocol import (
    SCHEMA,
    Point,
    PointSummary,
    RunSpec,
    RunSummary,
    Stats,
    Verdict,
)
from bench_agent.traffic import UNKNOWN, Traffic, late_ns
from bench_agent.verdict import judge_point, judge_run, supports
from bench_agent.wire import encode


@dataclass(frozen=True)
class Measured:
    """What is known of a point beside its records. None: it was lost with the process.

    `stopped`: before the load was through. `lag_ms`: {p50, p99, max} of how late the client's
    loop woke up; `busiest_cpu`: cores that its busiest process kept busy. `template`: tokens
    that the chat template adds to a prompt.
    """

    started_ns: int
    ended_ns: int
    workers: int | None = None
    cpu_s: float | None = None
    clock_step_ms: float | None = None
    lost_segments: int | None = None
    lag_ms: dict[str, float] | None = None
    busiest_cpu: float | None = None
    stopped: bool | None = None
    template: int | None = None


def measured_from(traffic: Traffic) -> Measured:
    """The best guess when only the records are left."""
    return Measured(
        started_ns=min(traffic.due, default=0),
        ended_ns=max(traffic.done, default=0),
        workers=len(set(traffic.worker)) or None,
    )


def summarise(
    spec: RunSpec,
    point: Point,
    traffic: Traffic,
    measured: Measured,
    *,
    calibration: dict[str, Any] | None,
    observed: Observed | None = None,
) -> PointSummary:
    """The summary of one point, with its verdict."""
    rows = list(traffic.rows())
    seconds = (measured.ended_ns - measured.started_ns) / 1e9
    tokens_in = sum(max(0, traffic.prompt_tokens[row]) for row in rows)
    tokens_out = sum(max(0, traffic.output_tokens[row]) for row in rows)
    asked = asked_percentiles(spec)
    good = metrics.good_requests(traffic, spec.goodput) if spec.goodput else None
    summary = PointSummary(
        schema=SCHEMA,
        run_id=spec.run_id,
        point=point,
        verdict=Verdict(valid=True),
        started_ns=measured.started_ns,
        ended_ns=measured.ended_ns,
        duration_s=seconds,
        requested=len(traffic),
        completed=len(rows),
        failed=len(traffic) - len(rows),
        failures=dict(sorted(traffic.failures.items())),
        total_input_tokens=tokens_in,
        total_output_tokens=tokens_out,
        request_throughput=_rate(len(rows), seconds),
        output_throughput=_rate(tokens_out, seconds),
        total_token_throughput=_rate(tokens_in + tokens_out, seconds),
        peak_concurrency=metrics.peak_concurrency(traffic),
        client=_client(traffic, point, measured, observed),
        request_goodput=None if good is None else _rate(good, seconds),
        good_share=good / len(traffic) if good is not None and len(traffic) else None,
        peak_output_throughput=metrics.output_peaks(traffic)[0],
        server=observed.server if observed else None,
        gpu=_with_joules(observed.gpu if observed else None, tokens_out, len(rows)),
        unsupported_percentiles=tuple(
            name_of(q) for q in asked if rows and not supports(len(rows), q)
        ),
        **_distributions(traffic, point, asked),
    )
    return replace(summary, verdict=judge_point(spec, summary, traffic, measured, calibration))


def run_summary(
    spec: RunSpec,
    state: str,
    *,
    started_ns: int,
    ended_ns: int,
    points: Sequence[PointSummary],
    calibration: dict[str, Any] | None,
    server: dict[str, Any] | None = None,
    search: dict[str, Any] | None = None,
    why: str = "",
) -> RunSummary:
    """The summary of the run; *why*: what ended it before its time, as a sentence."""
    return RunSummary(
        schema=SCHEMA,
        run_id=spec.run_id,
        state=state,
        verdict=judge_run(state, points, why),
        started_ns=started_ns,
        ended_ns=ended_ns,
        points=tuple(points),
        calibration=calibration,
        server=server,
        search=search,
    )


def asked_percentiles(spec: RunSpec) -> list[float]:
    """The usual ones and those of the spec, rising."""
    return sorted({*PERCENTILES, *map(float, spec.percentiles)})


def _distributions(traffic: Traffic, point: Point, asked: Iterable[float]) -> dict[str, Any]:
    """Everything that is a distribution, of successes alone; None without one."""
    rows = list(traffic.rows())

    def of(values: Iterable[float]) -> Stats | None:
        return stats_ms(values, asked)

    # A rate that is meant to change has no steady time.
    within = None if point.ramp_up else steady.window(traffic)
    itl, itl_within = nested_ms(*steady.split_gaps(traffic, within), asked)
    waits = [traffic.sent[row] - traffic.due[row] for row in rows]
    tpots = (metrics.tpot_ns(traffic, row) for row in rows)
    contents = (traffic.content[row] for row in rows)
    return {
        "ttft_ms": of(traffic.ttft[row] for row in rows),
        "tpot_ms": of(tpot for tpot in tpots if tpot is not None),
        "itl_ms": itl,
        "e2el_ms": of(traffic.e2el[row] for row in rows),
        "ttft_content_ms": of(content for content in contents if content != UNKNOWN),
        "e2el_from_due_ms": of(
            traffic.e2el[row] + wait for row, wait in zip(rows, waits, strict=True)
        ),
        "queue_ms": of(waits),
        "steady": steady.figures(traffic, within, itl_within, asked) if within else None,
    }


def _rate(count: int, seconds: float) -> float:
    return count / seconds if seconds > 0 else 0.0


def _client(
    traffic: Traffic, point: Point, measured: Measured, observed: Observed | None
) -> dict[str, Any]:
    """`PointSummary.client`: what the client says of itself."""
    seen = (observed.client if observed else None) or {}
    late = late_ns(traffic, point, measured.workers or 1)
    busiest = measured.busiest_cpu
    return {
        "send_delay_ms": encode(stats_ms(late)),
        "coalesced_share": traffic.coalesced / traffic.reads if traffic.reads else 0.0,
        "stamped_by": sorted(traffic.stamped_by),
        "cpu_s": measured.cpu_s,
        "workers": measured.workers,
        "clock_step_ms": measured.clock_step_ms,
        "lost_segments": measured.lost_segments,
        "busiest_cpu": seen.get("busiest_cpu_max") if busiest is None else busiest,
        "lag_ms": measured.lag_ms,
    }


def _with_joules(gpu: dict[str, Any] | None, tokens: int, requests: int) -> dict[str, Any] | None:
    """What telemetry saw of the GPUs, and their energy a token and a request where it is known."""
    if gpu is None:
        return None
    energy = gpu.get("energy_j") if gpu.get("energy_valid") else None
    joules = None if energy is None else float(energy)
    return {
        **gpu,
        "joules_per_output_token": joules / tokens if joules is not None and tokens else None,
        "joules_per_request": joules / requests if joules is not None and requests else None,
    }

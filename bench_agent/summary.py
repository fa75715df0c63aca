"""From the records of a point to its summary: pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench_agent import metrics
from bench_agent.protocol import (
    SCHEMA,
    Point,
    PointSummary,
    RequestRecord,
    RunSpec,
    RunSummary,
    Verdict,
)
from bench_agent.verdict import judge_point, judge_run
from bench_agent.wire import encode


@dataclass(frozen=True)
class Measured:
    """What is known of a point beside its records. None: it was lost with the process."""

    started_ns: int
    ended_ns: int
    workers: int | None = None
    cpu_s: float | None = None
    clock_step_ms: float | None = None


def measured_from(records: Sequence[RequestRecord]) -> Measured:
    """The best guess when only the records are left."""
    return Measured(
        started_ns=min((r.due_ns for r in records), default=0),
        ended_ns=max((r.done_ns for r in records), default=0),
        workers=len({r.worker for r in records}) or None,
    )


def summarise(
    spec: RunSpec,
    point: Point,
    records: Sequence[RequestRecord],
    measured: Measured,
    calibration: dict[str, Any] | None,
) -> PointSummary:
    """The summary of one point, with its verdict."""
    good = metrics.succeeded(records)
    seconds = (measured.ended_ns - measured.started_ns) / 1e9
    tokens_in = sum(r.prompt_tokens or 0 for r in good)
    tokens_out = sum(r.output_tokens or 0 for r in good)
    summary = PointSummary(
        schema=SCHEMA,
        run_id=spec.run_id,
        point=point,
        verdict=Verdict(valid=True),
        started_ns=measured.started_ns,
        ended_ns=measured.ended_ns,
        duration_s=seconds,
        requested=len(records),
        completed=len(good),
        failed=len(records) - len(good),
        failures=metrics.failures(records),
        total_input_tokens=tokens_in,
        total_output_tokens=tokens_out,
        request_throughput=_rate(len(good), seconds),
        output_throughput=_rate(tokens_out, seconds),
        total_token_throughput=_rate(tokens_in + tokens_out, seconds),
        peak_concurrency=metrics.peak_concurrency(records),
        ttft_ms=metrics.stats(metrics.ttft_ms(r) for r in good),
        tpot_ms=metrics.stats(v for r in good if (v := metrics.tpot_ms(r)) is not None),
        itl_ms=metrics.stats(v for r in good for v in metrics.itl_ms(r)),
        e2el_ms=metrics.stats(metrics.e2el_ms(r) for r in good),
        client=_client(records, good, measured),
    )
    return replace(summary, verdict=judge_point(spec, summary, records, calibration))


def run_summary(
    spec: RunSpec,
    state: str,
    *,
    started_ns: int,
    ended_ns: int,
    points: Sequence[PointSummary],
    calibration: dict[str, Any] | None,
) -> RunSummary:
    """The summary of the run."""
    return RunSummary(
        schema=SCHEMA,
        run_id=spec.run_id,
        state=state,
        verdict=judge_run(state, points),
        started_ns=started_ns,
        ended_ns=ended_ns,
        points=tuple(points),
        calibration=calibration,
    )


def _rate(count: int, seconds: float) -> float:
    return count / seconds if seconds > 0 else 0.0


def _client(
    records: Sequence[RequestRecord], good: Sequence[RequestRecord], measured: Measured
) -> dict[str, Any]:
    return {
        "send_delay_ms": encode(metrics.stats(metrics.send_delay_ms(r) for r in records)),
        "coalesced_share": metrics.coalesced_share(good),
        "stamped_by": sorted({r.stamped_by for r in good}),
        "cpu_s": measured.cpu_s,
        "workers": measured.workers,
        "clock_step_ms": measured.clock_step_ms,
    }

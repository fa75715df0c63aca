"""Whether a point can be believed: pure, from figures and limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench_agent import metrics
from bench_agent.protocol import Limits, PointSummary, RequestRecord, RunSpec, Verdict

#: Beyond this the clocks that stamps are read from were set during the point.
MAX_CLOCK_STEP_MS = 5.0
#: What the server counts and what was asked for or arrived may differ by this share.
MAX_TOKEN_GAP = 0.01


def judge_point(
    spec: RunSpec,
    summary: PointSummary,
    records: Sequence[RequestRecord],
    calibration: dict[str, Any] | None,
) -> Verdict:
    """All reasons not to believe the point."""
    reasons = [
        *_requests(summary, spec.limits),
        *_client(summary, spec.limits),
        *_tokens(spec, metrics.succeeded(records)),
        *_calibration(spec, calibration),
    ]
    return Verdict(valid=not reasons, reasons=tuple(reasons))


def judge_run(state: str, points: Sequence[PointSummary]) -> Verdict:
    """A run is as good as its points, and whole only when it is done."""
    reasons = [] if state == "done" else [f"The run is {state}."]
    reasons += [] if points else ["No point was measured."]
    reasons += [f"{p.point.name}: {r}" for p in points for r in p.verdict.reasons]
    return Verdict(valid=not reasons, reasons=tuple(reasons))


def _requests(summary: PointSummary, limits: Limits) -> list[str]:
    reasons = []
    if summary.requested < summary.point.num_prompts:
        total = summary.point.num_prompts
        reasons.append(
            f"The point was cut short: {summary.requested} of {total} requests were sent."
        )
    if not summary.completed:
        reasons.append("No request was completed.")
    share = summary.failed / summary.requested if summary.requested else 0.0
    if share > limits.max_failed_share:
        classes = ", ".join(f"{name} {count}" for name, count in summary.failures.items())
        reasons.append(
            f"{summary.failed} of {summary.requested} requests failed ({classes}); "
            f"the limit is {limits.max_failed_share:.1%}."
        )
    return reasons


def _client(summary: PointSummary, limits: Limits) -> list[str]:
    reasons = []
    delay = summary.client.get("send_delay_ms")
    p99 = delay["percentiles"]["p99"] if delay else 0.0
    if p99 > limits.max_send_delay_ms:
        reasons.append(
            f"The client sent late: P99 of the send delay is {p99:.1f} ms, "
            f"the limit is {limits.max_send_delay_ms:g} ms."
        )
    share = summary.client.get("coalesced_share", 0.0)
    if share > limits.max_coalesced_share:
        reasons.append(
            f"The client read late or the server sent tokens in bundles: {share:.1%} of reads held "
            f"several events, the limit is {limits.max_coalesced_share:.1%}."
        )
    step = summary.client.get("clock_step_ms") or 0.0
    if step > MAX_CLOCK_STEP_MS:
        reasons.append(f"The clock of the host was set by {step:.1f} ms during the point.")
    return reasons


def _tokens(spec: RunSpec, good: Sequence[RequestRecord]) -> list[str]:
    """Where the client's view and the server's usage disagree."""
    counted = sum(r.output_tokens or 0 for r in good)
    chunks = sum(len(r.chunk_ns) for r in good)
    asked = spec.workload.output_len * len(good)
    reasons = []
    # A server may close with a chunk that holds no token.
    if chunks > counted * (1 + MAX_TOKEN_GAP) + len(good):
        reasons.append(f"{chunks} chunks came, but the server counts only {counted} tokens.")
    if spec.ignore_eos and abs(counted - asked) > MAX_TOKEN_GAP * asked:
        reasons.append(f"{asked} output tokens were asked for, but the server counts {counted}.")
    if spec.target.api == "completions":  # for chat, the template adds some
        sent = spec.workload.input_len * len(good)
        prompt = sum(r.prompt_tokens or 0 for r in good)
        if abs(prompt - sent) > MAX_TOKEN_GAP * sent:
            reasons.append(f"{sent} prompt tokens were sent, but the server counts {prompt}.")
    return reasons


def _calibration(spec: RunSpec, calibration: dict[str, Any] | None) -> list[str]:
    if not spec.calibrate:
        return []
    if calibration is None:
        return ["The client's own error is unknown: the calibration failed."]
    error = calibration["ttft_error_ms"]["mean"]
    limit = spec.limits.max_client_error_ms
    if error > limit:
        told = f"The client's own TTFT error on this host is {error:.2f} ms"
        return [f"{told}, the limit is {limit:g} ms."]
    return []

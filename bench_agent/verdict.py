"""Whether a point can be believed: pure, from figures and limits. A reason is one sentence."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from bench_agent import clock, workloads
from bench_agent.distribution import name_of
from bench_agent.journal import EXPIRY_MARGIN_NS
from bench_agent.protocol import Limits, PointSummary, RunSpec, Verdict
from bench_agent.traffic import UNKNOWN, Traffic, is_open_loop

if TYPE_CHECKING:
    from bench_agent.summary import Measured

#: Beyond this the clocks that stamps are read from were set during the point.
MAX_CLOCK_STEP_MS = 5.0
#: Slowdowns that are faults; a power cap (`sw_power_cap`) is how a GPU under load runs.
_THROTTLES = ("hw_slowdown", "sw_thermal", "hw_thermal", "hw_power_brake")
#: What happens within this time of the end that the machine's expiry sets is due to it.
_EXPIRY_NS = 5_000_000_000


def judge_point(
    spec: RunSpec,
    summary: PointSummary,
    traffic: Traffic,
    measured: Measured,
    calibration: dict[str, Any] | None,
) -> Verdict:
    """All reasons not to believe the point."""
    reasons = [
        *_requests(spec, summary, measured),
        *client_faults(spec, summary, calibration),
        *_asked(spec, traffic),
        *_counted(spec, summary, traffic),
        *_server(spec, summary, measured),
        *_steadiness(summary, spec.limits),
        *_percentiles(spec, summary),
    ]
    return Verdict(valid=not reasons, reasons=tuple(reasons))


def judge_run(state: str, points: Sequence[PointSummary], why: str = "") -> Verdict:
    """A run is as good as its points, and whole only when it is done; *why* it is not."""
    reasons = [] if state == "done" else [f"The run is {state}.{f' {why}' if why else ''}"]
    reasons += [] if points else ["No point was measured."]
    reasons += [f"{p.point.name}: {r}" for p in points for r in p.verdict.reasons]
    return Verdict(valid=not reasons, reasons=tuple(reasons))


def supports(requests: int, q: float) -> bool:
    """Whether at least one of so many requests lies beyond the *q*-th percentile."""
    return requests * min(q, 100 - q) / 100 >= 1 - 1e-9


def client_faults(
    spec: RunSpec, summary: PointSummary, calibration: dict[str, Any] | None
) -> list[str]:
    """The reasons that are this client's fault: they say nothing of the server."""
    limits, client = spec.limits, summary.client
    delay = ((client.get("send_delay_ms") or {}).get("percentiles") or {}).get("p99")
    lag = (client.get("lag_ms") or {}).get("p99")
    share = client.get("coalesced_share")
    return [
        *_over(
            delay,
            limits.max_send_delay_ms,
            "The client sent late: P99 of the send delay is {:.1f} ms, the limit is {:g} ms.",
        ),
        *_over(
            lag,
            limits.max_client_lag_ms,
            "The client was late: P99 of its loop's lag is {:.1f} ms, the limit is {:g} ms.",
        ),
        *_over(
            client.get("busiest_cpu"),
            limits.max_client_cpu,
            "The client was the bottleneck: its busiest process used {:.2f} of a core, "
            "the limit is {:g}.",
        ),
        *_over(
            share,
            limits.max_coalesced_share,
            "The client read late or the server sent tokens in bundles: {:.1%} of reads held "
            "several events, the limit is {:.1%}.",
        ),
        *_over(
            client.get("clock_step_ms"),
            MAX_CLOCK_STEP_MS,
            "The clock of the host was set by {:.1f} ms during the point, the limit is {:g} ms.",
        ),
        *_calibration(spec, calibration),
    ]


def _over(value: float | None, limit: float, sentence: str) -> Iterator[str]:
    if value is not None and value > limit:
        yield sentence.format(value, limit)


def _calibration(spec: RunSpec, calibration: dict[str, Any] | None) -> Iterable[str]:
    if not spec.calibrate:
        return ()
    if calibration is None:
        return ("The client's own error is unknown: the calibration failed.",)
    return _over(
        calibration["ttft_error_ms"]["mean"],
        spec.limits.max_client_error_ms,
        "The client's own TTFT error on this host is {:.2f} ms, the limit is {:g} ms.",
    )


def _requests(spec: RunSpec, summary: PointSummary, measured: Measured) -> Iterator[str]:
    point, sent = summary.point, summary.requested
    planned = None if point.duration_s is not None else point.num_prompts
    short = planned is not None and sent < planned and measured.stopped is not False
    if short:
        yield f"The point was cut short: {sent} of {planned} requests were sent."
    elif measured.stopped:
        yield f"The point was cut short after {summary.duration_s:.1f} s and {sent} requests."
    if (short or measured.stopped or "stopped" in summary.failures) and _expired(spec, summary):
        yield f"The machine was about to go, at {spec.expires_at}, before the point was over."
    if not summary.completed:
        yield "No request was completed."
    limit = spec.limits.max_failed_share
    if sent and summary.failed / sent > limit:
        classes = ", ".join(f"{name} {count}" for name, count in summary.failures.items())
        yield f"{summary.failed} of {sent} requests failed ({classes}); the limit is {limit:.1%}."


def _expired(spec: RunSpec, summary: PointSummary) -> bool:
    """Whether the point ended when the journal ends runs on a machine that goes."""
    if spec.expires_at is None:
        return False
    end_ns = clock.parse_time(spec.expires_at) - EXPIRY_MARGIN_NS
    return summary.ended_ns >= end_ns - _EXPIRY_NS


def _asked(spec: RunSpec, traffic: Traffic) -> Iterator[str]:
    """Where the server's usage is not what was asked for.

    Records of old bear no such numbers: the workload's hold for all of them, but for the prompts
    of chat, to which the template adds some.
    """
    gap, work = spec.limits.max_token_gap, spec.workload
    outputs, prompts = [], []
    for row in traffic.rows():
        output, prompt = traffic.asked_output[row], traffic.asked_prompt[row]
        if output == UNKNOWN:
            output = work.output_len
            if prompt == UNKNOWN and spec.target.api == "completions":
                prompt = work.input_len
        outputs.append((output, traffic.output_tokens[row]))
        prompts.append((prompt, traffic.prompt_tokens[row]))
    if spec.ignore_eos:
        yield from _differ(outputs, gap, "output tokens were asked for")
    yield from _differ(prompts, gap, "prompt tokens were sent")


def _differ(pairs: Iterable[tuple[int, int]], gap: float, what: str) -> Iterator[str]:
    known = [pair for pair in pairs if UNKNOWN not in pair]
    asked, got = (sum(pair[side] for pair in known) for side in (0, 1))
    if abs(got - asked) > gap * asked:
        yield f"{asked} {what}, but the server counts {got}; the limit is {gap:.1%}."


def _counted(spec: RunSpec, summary: PointSummary, traffic: Traffic) -> Iterator[str]:
    """Where usage, chunks and the server's own counter disagree."""
    gap = spec.limits.max_token_gap
    tokens, chunks = summary.total_output_tokens, len(traffic.chunks)
    # A server may close with a chunk that holds no token.
    if chunks > tokens * (1 + gap) + summary.completed:
        yield (
            f"{chunks} chunks came, but the server counts only {tokens} tokens; "
            f"the limit is {gap:.1%}."
        )
    server = summary.server or {}
    counter, requests = server.get("generation_tokens"), server.get("requests")
    if counter is None:
        return
    # More than ours may be another client's, or of requests that failed here and not there.
    alone = requests and sum(requests.values()) <= summary.requested and not summary.failed
    if counter < tokens * (1 - gap) or (alone and counter > tokens * (1 + gap)):
        yield (
            f"The server's replies say {tokens} output tokens, its metrics {counter:.0f}; "
            f"the limit is {gap:.1%}."
        )


def _server(spec: RunSpec, summary: PointSummary, measured: Measured) -> Iterator[str]:
    limits, server = spec.limits, summary.server or {}
    if server.get("restarted"):
        yield "The server was restarted during the point."
    yield from _over(
        server.get("preemptions"),
        limits.max_preemptions,
        "The server preempted {:.0f} requests, the limit is {:g}.",
    )
    hits, meant = server.get("prefix_cache_hit_ratio"), _meant_hits(spec, measured)
    if hits is not None and meant is not None and hits > meant + limits.max_cache_hit_excess:
        yield (
            f"The prefix cache held {hits:.1%} of the prompt tokens, the workload means "
            f"{meant:.1%}; the limit is {limits.max_cache_hit_excess:.1%} more."
        )
    shares = (summary.gpu or {}).get("throttled_share") or {}
    share, name = max((shares.get(name) or 0.0, name) for name in _THROTTLES)
    limit = limits.max_throttled_share
    if share > limit:
        yield f"A GPU was slowed down ({name}) in {share:.1%} of samples, the limit is {limit:.1%}."


def _meant_hits(spec: RunSpec, measured: Measured) -> float | None:
    """The share of prompt tokens that the workload repeats; None: not known."""
    template = 0 if spec.target.api == "completions" else measured.template
    try:
        return workloads.cache_hit_share(spec.workload, template)
    except workloads.WorkloadError:  # a dead run is sealed later: its files may be gone
        return None


def _steadiness(summary: PointSummary, limits: Limits) -> Iterator[str]:
    """Drift, beyond what chance can do to the halves.

    One half may hold a time to first token more than the other. Arrivals by a clock scatter: by
    three times the deviation of a Poisson process, for as many requests as each half had. A
    trace changes on purpose.
    """
    steady = summary.steady
    if not steady or summary.point.arrivals == "trace" or not steady["first_half"]:
        return
    half_ms = (steady["to_ns"] - steady["from_ns"]) / 2e6
    chance = (steady["ttft_ms"] or {}).get("mean", 0.0) / half_ms
    if is_open_loop(summary.point):
        chance += 3 * math.sqrt(4 / max(1, steady["requests"]))
    drift = steady["second_half"] / steady["first_half"] - 1
    limit = limits.max_drift
    if abs(drift) > limit + chance:
        yield (
            f"Output throughput drifted by {drift:+.1%} from the first half of the steady time "
            f"to the second, the limit is {limit:.1%}."
        )


def _percentiles(spec: RunSpec, summary: PointSummary) -> Iterator[str]:
    for q in spec.percentiles if summary.completed else ():
        if not supports(summary.completed, q):
            least = math.ceil(100 / min(q, 100 - q) - 1e-6) if 0 < q < 100 else math.inf
            yield (
                f"{name_of(q).upper()} was asked for, but only {summary.completed} requests "
                f"completed, and it takes {least:g}."
            )

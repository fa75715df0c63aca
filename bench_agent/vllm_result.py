"""A point as ``vllm bench serve --save-result --save-detailed`` would have saved it.

Names, order, types and definitions are vLLM's (0.33), also where we believe them to mislead
(``max_concurrent_requests``); what is right, and what it has no name for, stands under
``llm_dyno``. As asked for with ``--percentile-metrics ttft,tpot,itl,e2el,client_queue_time,
e2el_including_client_queue``. Failed requests keep their places in the lists, with zeros.
"""

from __future__ import annotations

import json
import time
from array import array
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from itertools import repeat
from typing import Any

from bench_agent import metrics
from bench_agent.distribution import name_of, stats, stats_ms
from bench_agent.load.schedule import rate_at
from bench_agent.protocol import PointSummary, RunSpec, Stats
from bench_agent.traffic import UNKNOWN, Traffic, is_open_loop
from bench_agent.wire import encode

#: Requests whose entries are made at a time.
_ROWS = 64
_DISTRIBUTIONS = ("ttft", "tpot", "itl", "e2el")

Text = Callable[[int], str]


def pieces(
    spec: RunSpec, summary: PointSummary, traffic: Traffic, text: Text | None = None
) -> Iterator[bytes]:
    """The JSON object, one key a line, in vLLM's order; never the whole of it at once.

    *text*: the reply of a row, where replies were kept.
    """
    lists = _lists(spec, summary, traffic, text)
    first = True
    for part in (_head(spec, summary, traffic), lists, _tail(spec, summary, traffic)):
        for key, value in part.items():
            yield f"{'{' if first else ','}\n {json.dumps(key)}: ".encode()
            first = False
            if part is lists:
                yield from value
            else:
                yield json.dumps(value).encode()
    yield b"\n}\n"


def _head(spec: RunSpec, summary: PointSummary, traffic: Traffic) -> dict[str, Any]:
    backend = "openai-chat" if spec.target.api == "chat" else "vllm"
    point = summary.point
    ramp = point.ramp_up
    head: dict[str, Any] = {
        "date": time.strftime("%Y%m%d-%H%M%S", time.gmtime(summary.ended_ns / 1e9)),
        "endpoint_type": backend,
        "backend": backend,
        "label": None,
        "model_id": spec.target.model,
        "tokenizer_id": spec.target.model,
        "num_prompts": len(traffic) if point.num_prompts is None else point.num_prompts,
        "request_rate": "inf" if point.request_rate is None else float(point.request_rate),
        "burstiness": "inf" if point.burstiness is None else point.burstiness,
        "max_concurrency": point.max_concurrency,
    }
    if ramp:
        head["ramp_up_strategy"] = ramp.strategy
        head["ramp_up_start_rps"], head["ramp_up_end_rps"] = ramp.start_rps, ramp.end_rps
    same = "completed", "failed", "total_input_tokens", "total_output_tokens"
    rates = "request_throughput", "request_goodput", "output_throughput", "total_token_throughput"
    return (
        head
        | {"duration": summary.duration_s}
        | {name: getattr(summary, name) for name in (*same, *rates)}
    )


def _lists(
    spec: RunSpec, summary: PointSummary, traffic: Traffic, text: Text | None
) -> dict[str, Iterator[bytes]]:
    """One entry a request, by their indexes. Nanoseconds become seconds by an exponent alone."""
    rows = sorted(range(len(traffic)), key=traffic.index.__getitem__)

    def prompt(row: int) -> str:
        known = traffic.prompt_tokens[row], traffic.asked_prompt[row], spec.workload.input_len
        return str(next(tokens for tokens in known if tokens != UNKNOWN))

    def output(row: int) -> str:
        return str(max(0, traffic.output_tokens[row]) if traffic.good[row] else 0)

    def gaps(row: int) -> str:
        found = str(traffic.itl(row).tolist())[1:-1]
        return f"[{found.replace(',', 'e-9,')}e-9]" if found else "[]"

    def seconds(column: array[int]) -> Callable[[int], str]:
        return lambda row: f"{column[row]}e-9" if traffic.good[row] else "0.0"

    queued = client_queue_ns(summary, traffic)
    says = {
        "input_lens": prompt,
        "output_lens": output,
        "ttfts": seconds(traffic.ttft),
        "itls": gaps,
        "latencies": seconds(traffic.e2el),
        "start_times": lambda row: f"{traffic.sent[row]}e-9",
        "queue_times": lambda row: f"{queued[row]}e-9",
        "generated_texts": lambda row: json.dumps(text(row)) if text else '""',
        "errors": lambda row: json.dumps(traffic.errors.get(row, "")),
    }
    return {name: _list(rows, say) for name, say in says.items()}


def _list(rows: list[int], say: Callable[[int], str]) -> Iterator[bytes]:
    yield b"["
    for at in range(0, len(rows), _ROWS):
        entries = ", ".join(map(say, rows[at : at + _ROWS]))
        yield (", " if at else "").encode() + entries.encode()
    yield b"]"


def _tail(spec: RunSpec, summary: PointSummary, traffic: Traffic) -> dict[str, Any]:
    return {
        "max_output_tokens_per_s": metrics.output_peaks(traffic)[1],
        "max_concurrent_requests": metrics.vllm_concurrency(traffic),
        "rtfx": 0.0,
        **_rps_changes(summary, traffic),
        **_spec_decode(summary.server or {}),
        **_distributions(spec, summary, traffic),
        "llm_dyno": _ours(spec, summary, traffic),
    }


def client_queue_ns(summary: PointSummary, traffic: Traffic) -> list[int]:
    """The ``client_queue_time`` of vLLM: from a request's arrival to its start.

    Without a rate, all requests arrive at the start, and wait for those before them.
    """
    arrivals = traffic.due if is_open_loop(summary.point) else repeat(summary.started_ns)
    return [sent - arrival for sent, arrival in zip(traffic.sent, arrivals, strict=False)]


def _rps_changes(summary: PointSummary, traffic: Traffic) -> dict[str, Any]:
    """When a ramp-up's rate first reached each whole number of requests a second."""
    point = summary.point
    ramp = point.ramp_up
    if ramp is None:
        return {}
    by_time = point.duration_s is not None and point.num_prompts is None
    reached = int(ramp.start_rps)
    events = [(reached, summary.started_ns)]
    for index, due in sorted(zip(traffic.index, traffic.due, strict=True)):
        passed = (due - summary.started_ns) / 1e9 / (point.duration_s or 1)
        progress = passed if by_time else index / max(1, (point.num_prompts or len(traffic)) - 1)
        rate = int(rate_at(ramp, progress))
        events += [(rps, due) for rps in range(reached + 1, rate + 1)]
        reached = max(reached, rate)
    return {"rps_change_events": [{"rps": rps, "timestamp": _iso(ns)} for rps, ns in events]}


def _iso(ns: int) -> str:
    return datetime.fromtimestamp(ns / 1e9, tz=timezone.utc).isoformat()


def _spec_decode(server: dict[str, Any]) -> dict[str, Any]:
    """Speculative decoding, from what its counters did during the point; only if they moved."""
    moved = server.get("spec_decode") or {}
    drafts, drafted = moved.get("num_drafts") or 0, moved.get("num_draft_tokens") or 0
    accepted = moved.get("num_accepted_tokens") or 0
    if not drafted:
        return {}
    per_position = [of / drafts for of in moved.get("per_pos") or () if drafts]
    return {
        "spec_decode_acceptance_rate": accepted / drafted * 100,
        "spec_decode_acceptance_length": 1 + accepted / drafts if drafts else 0.0,
        "spec_decode_num_drafts": drafts,
        "spec_decode_draft_tokens": drafted,
        "spec_decode_accepted_tokens": accepted,
        "spec_decode_per_position_acceptance_rates": per_position,
    }


def _distributions(spec: RunSpec, summary: PointSummary, traffic: Traffic) -> dict[str, float]:
    """Means, medians, deviations and percentiles: the 99th, and those that were asked for."""
    asked = sorted({99.0, *map(float, spec.percentiles)})
    of: dict[str, Stats | None] = {k: getattr(summary, f"{k}_ms") for k in _DISTRIBUTIONS}
    point = summary.point
    if point.max_concurrency is not None:
        queued, rows = client_queue_ns(summary, traffic), list(traffic.rows())
        of["client_queue_time"] = stats_ms((queued[row] for row in rows), asked)
        if point.request_rate is not None:
            longer = (traffic.e2el[row] + queued[row] for row in rows)
            of["e2el_including_client_queue"] = stats_ms(longer, asked)
    found: dict[str, float] = {}
    for name, its in of.items():
        found |= {
            f"mean_{name}_ms": its.mean if its else 0.0,
            f"median_{name}_ms": its.median if its else 0.0,
            f"std_{name}_ms": its.std if its else 0.0,
        }
        for q in map(name_of, asked):
            found[f"{q}_{name}_ms"] = its.percentiles[q] if its else 0.0
    return found


def _ours(spec: RunSpec, summary: PointSummary, traffic: Traffic) -> dict[str, Any]:
    """The point's summary, less what stands above it under vLLM's names, and the seed's figures."""
    plain = encode(summary)
    verdict = plain.pop("verdict")
    above = ("completed", "failed", "total_", "request_", "output_throughput", "duration_s")
    kept = {name: value for name, value in plain.items() if not name.startswith(above)}
    return {
        **kept,
        "stack": spec.stack,
        "recipe": spec.recipe,
        "point": summary.point.name,
        "load": plain["point"],
        "valid": verdict["valid"],
        "reasons": verdict["reasons"],
        "replies": _replies(summary, traffic),
    }


def _replies(summary: PointSummary, traffic: Traffic) -> dict[str, float | None]:
    """What a client that does not stream says: whole replies, from the send to their very end."""
    rows = list(traffic.rows())
    took = stats((traffic.done[row] - traffic.sent[row]) / 1e9 for row in rows)
    return {
        "qps": summary.request_throughput,
        "prompt_tps": summary.total_token_throughput - summary.output_throughput,
        "decode_tps": summary.output_throughput,
        "latency_p50_s": took.percentiles["p50"] if took else None,
        "latency_p95_s": took.percentiles["p95"] if took else None,
        "prompt_tokens_mean": summary.total_input_tokens / len(rows) if rows else None,
        "completion_tokens_mean": summary.total_output_tokens / len(rows) if rows else None,
    }

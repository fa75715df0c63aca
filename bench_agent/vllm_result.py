"""A point as ``vllm bench serve --save-result --save-detailed`` would have saved it.

Names, order and types are vLLM's (0.33); what it has no name for stands under ``llm_dyno``.
``max_concurrent_requests`` is exact, unlike vLLM's own. ``generated_texts`` are empty: the
client does not keep them. Asked for: ``--percentile-metrics ttft,tpot,itl,e2el``.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from bench_agent import metrics
from bench_agent.protocol import PointSummary, RequestRecord, RunSpec, Stats
from bench_agent.wire import encode


def vllm_result(
    spec: RunSpec, summary: PointSummary, records: Sequence[RequestRecord]
) -> dict[str, Any]:
    """The JSON object, keys in vLLM's order."""
    ordered = sorted(records, key=lambda r: r.index)
    good = metrics.succeeded(ordered)
    head = _head(spec, summary)
    totals: dict[str, Any] = {
        "duration": summary.duration_s,
        "completed": summary.completed,
        "failed": summary.failed,
        "total_input_tokens": summary.total_input_tokens,
        "total_output_tokens": summary.total_output_tokens,
        "request_throughput": summary.request_throughput,
        "request_goodput": None,
        "output_throughput": summary.output_throughput,
        "total_token_throughput": summary.total_token_throughput,
    }
    peaks = {
        "max_output_tokens_per_s": metrics.peak_chunks_per_s(good),
        "max_concurrent_requests": summary.peak_concurrency,
        "rtfx": 0.0,
    }
    return {
        **head,
        **totals,
        **_detail(spec, summary, ordered),
        **peaks,
        **_distributions(summary),
        "llm_dyno": _ours(spec, summary),
    }


def _head(spec: RunSpec, summary: PointSummary) -> dict[str, Any]:
    backend = "openai-chat" if spec.target.api == "chat" else "vllm"
    rate = summary.point.request_rate
    return {
        "date": time.strftime("%Y%m%d-%H%M%S", time.gmtime(summary.started_ns / 1e9)),
        "endpoint_type": backend,
        "backend": backend,
        "label": None,
        "model_id": spec.target.model,
        "tokenizer_id": spec.target.model,
        "num_prompts": summary.point.num_prompts,
        "request_rate": "inf" if rate is None else rate,
        "burstiness": 1.0,
        "max_concurrency": summary.point.max_concurrency,
    }


def _detail(
    spec: RunSpec, summary: PointSummary, records: Sequence[RequestRecord]
) -> dict[str, Any]:
    length = spec.workload.input_len
    start = summary.started_ns
    return {
        "input_lens": [length if r.prompt_tokens is None else r.prompt_tokens for r in records],
        "output_lens": [(r.output_tokens or 0) if r.success else 0 for r in records],
        "ttfts": [metrics.ttft_ms(r) / 1e3 if r.success else 0.0 for r in records],
        "itls": [[v / 1e3 for v in metrics.itl_ms(r)] if r.success else [] for r in records],
        "latencies": [metrics.e2el_ms(r) / 1e3 if r.success else 0.0 for r in records],
        "start_times": [r.sent_ns / 1e9 for r in records],
        # Without a rate, vLLM has all requests arrive at the start.
        "queue_times": [(r.sent_ns - start) / 1e9 for r in records],
        "generated_texts": ["" for _ in records],
        "errors": [r.error or r.failure or "" for r in records],
    }


def _distributions(summary: PointSummary) -> dict[str, float]:
    found: dict[str, float] = {}
    for name in ("ttft", "tpot", "itl", "e2el"):
        stats: Stats | None = getattr(summary, f"{name}_ms")
        found |= {
            f"mean_{name}_ms": stats.mean if stats else 0.0,
            f"median_{name}_ms": stats.median if stats else 0.0,
            f"std_{name}_ms": stats.std if stats else 0.0,
            f"p99_{name}_ms": stats.percentiles["p99"] if stats else 0.0,
        }
    return found


def _ours(spec: RunSpec, summary: PointSummary) -> dict[str, Any]:
    return {
        "schema": summary.schema,
        "run_id": spec.run_id,
        "stack": spec.stack,
        "recipe": spec.recipe,
        "point": summary.point.name,
        "valid": summary.verdict.valid,
        "reasons": list(summary.verdict.reasons),
        "failures": summary.failures,
        "client": encode(summary.client),
    }

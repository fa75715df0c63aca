"""What telemetry saw during the points of the golden run, and their steady state."""

from __future__ import annotations

from typing import Any

from bench_agent.protocol import Stats
from bench_agent.wire import encode

SERVER: dict[str, Any] = {
    "running_max": 4,
    "waiting_max": 0,
    "kv_cache_usage_max": 0.021,
    "preemptions": 0,
    "prefix_cache_queries": 3072,
    "prefix_cache_hits": 0,
    "prefix_cache_hit_ratio": 0.0,
    "ttft_ms_mean": 51.1,
    "queue_ms_mean": 0.3,
}
GPU: dict[str, Any] = {
    "count": 8,
    "name": "NVIDIA L40S",
    "samples": 6,
    "power_w_mean": 3300.0,
    "energy_valid": True,
    "energy_reason": None,
    "temperature_c_max": 61.0,
    "throttled_share": {"sw_power_cap": 0.0, "hw_slowdown": 0.0},
}


def steady(started: int, ended: int, throughput: float, ttft: Stats) -> dict[str, Any]:
    """`PointSummary.steady`: three quarters of the point, a little faster than the whole."""
    return {
        "from_ns": started + (ended - started) // 8,
        "to_ns": ended - (ended - started) // 8,
        "requests": ttft.count // 2,
        "output_throughput": round(throughput * 1.06, 6),
        "request_throughput": round(throughput * 1.06 / 24, 6),
        "ttft_ms": encode(ttft),
        "tpot_ms": None,
        "itl_ms": None,
        "e2el_ms": None,
        "first_half": round(throughput * 1.07, 6),
        "second_half": round(throughput * 1.05, 6),
    }

"""What telemetry saw during one point: pure, from telemetry.jsonl."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

MAX_GAP_S = 3.0

Line = dict[str, Any]
#: (seconds, watts), in order.
Power = Sequence[tuple[float, float]]

#: NVML's nvmlClocksEventReasons.
_THROTTLES = {
    "sw_power_cap": 0x4,
    "hw_slowdown": 0x8,
    "sw_thermal": 0x20,
    "hw_thermal": 0x40,
    "hw_power_brake": 0x80,
}


@dataclass(frozen=True)
class Observed:
    """Figures of a point, None where there are none.

    `server`: running_max, waiting_max, kv_cache_usage_max (0-1) over the point's lines; restarted;
    as differences between its begin and its end: preemptions, prefix_cache_queries and _hits
    (tokens), prefix_cache_hit_ratio, prompt_tokens, generation_tokens, mean_generation_throughput
    (tokens/s), requests {finished_reason: n}, {ttft,queue,prefill,e2el}_ms_mean, and spec_decode
    {num_drafts, num_draft_tokens, num_accepted_tokens, per_pos [n]} if there was any.
    `gpu`: count, name, samples, power_w_mean and energy_j of all GPUs together, energy_valid,
    energy_reason (``no_power``, or as `energy_j` says), clock_sm_mhz_{mean,min},
    temperature_c_max, memory_used_mib_max (of one GPU), utilization_mean (%), throttled_share.
    `client`: cpu_mean (cores), busiest_cpu_max (cores).
    """

    server: dict[str, Any] | None = None
    gpu: dict[str, Any] | None = None
    client: dict[str, Any] | None = None


def read(path: Path, point: str, started_ns: int, ended_ns: int) -> Observed:
    """What the file says of *point*, whose load went on from *started_ns* to *ended_ns*."""
    lines = list(_lines(path))
    marked = _marked(lines, point)
    during = [line for line in lines if started_ns <= line["t_ns"] <= ended_ns]
    return Observed(
        server=_server(during, marked, (ended_ns - started_ns) / 1e9),
        gpu=_gpu([s for line in lines for s in line.get("gpu") or ()], started_ns, ended_ns),
        client=_client([*during, *marked[-1:]]),
    )


def _lines(path: Path) -> Iterator[Line]:
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        for text in file:
            try:
                line = json.loads(text)
            except ValueError:
                continue  # torn, on a full disk
            if isinstance(line, dict) and "t_ns" in line:
                yield line


def _marked(lines: list[Line], point: str) -> list[Line]:
    """The lines from the point's last begin to its end; none where a mark is missing."""
    found: list[Line] = []
    for line in lines:
        if line.get("mark") == "begin":
            found = [line] if line["point"] == point else found
        elif found and line["point"] == point and found[-1].get("mark") != "end":
            found.append(line)
    return found if found and found[-1].get("mark") == "end" else []


def _server(during: list[Line], marked: list[Line], seconds: float) -> dict[str, Any] | None:
    seen = [line["server"] for line in during if line.get("server")]
    told = [line["server"] for line in marked if line.get("server")]
    if not seen and not told:
        return None
    later = [*during, *marked[1:]]
    restarted = any((line.get("server") or {}).get("restarted") for line in later)
    whole = bool(marked) and marked[0].get("server") and marked[-1].get("server") and not restarted
    before, after = (told[0], told[-1]) if whole else ({}, {})
    moved = {key: value - before.get(key, 0.0) for key, value in after.items()}

    def count(key: str) -> int | None:
        return round(moved[key]) if key in moved else None

    tokens, hits, queries = map(
        count, ("generation_tokens", "prefix_cache_hits", "prefix_cache_queries")
    )
    figures: dict[str, Any] = {
        f"{key}_max": max((s[key] for s in seen if key in s), default=None)
        for key in ("running", "waiting", "kv_cache_usage")
    }
    figures |= {
        "restarted": restarted,
        "preemptions": count("preemptions"),
        "prefix_cache_queries": queries,
        "prefix_cache_hits": hits,
        "prefix_cache_hit_ratio": hits / queries if queries and hits is not None else None,
        "prompt_tokens": count("prompt_tokens"),
        "generation_tokens": tokens,
        "mean_generation_throughput": tokens / seconds if tokens is not None and seconds else None,
        "requests": _below("requests.", moved) or None,
    }
    for key in ("ttft", "queue", "prefill", "e2el"):
        n = moved.get(f"{key}_count")
        figures[f"{key}_ms_mean"] = moved[f"{key}_sum"] / n * 1e3 if n else None
    if moved.get("spec_decode.num_drafts"):
        positions = _below("spec_decode.per_pos.", moved)
        names = ("num_drafts", "num_draft_tokens", "num_accepted_tokens")
        figures["spec_decode"] = {name: count(f"spec_decode.{name}") for name in names} | {
            "per_pos": [positions[key] for key in sorted(positions, key=int)]
        }
    return figures


def _below(prefix: str, moved: dict[str, float]) -> dict[str, int]:
    return {k[len(prefix) :]: round(v) for k, v in moved.items() if k.startswith(prefix)}


def _gpu(samples: list[Line], started_ns: int, ended_ns: int) -> dict[str, Any] | None:
    if not samples:
        return None
    during = [s for s in samples if started_ns <= s["t_ns"] <= ended_ns]
    energy, reason = _energy(samples, started_ns, ended_ns)
    known = [s["reasons"] for s in during if s["reasons"] is not None]

    def values(key: str) -> list[float]:
        return [s[key] for s in during if s[key] is not None]

    clocks = values("clock_sm_mhz")
    return {
        "count": len({s["index"] for s in samples}),
        "name": samples[0]["name"],
        "samples": len(during),
        "power_w_mean": None if energy is None else energy / ((ended_ns - started_ns) / 1e9),
        "energy_j": energy,
        "energy_valid": energy is not None,
        "energy_reason": reason,
        "clock_sm_mhz_mean": _mean(clocks),
        "clock_sm_mhz_min": min(clocks, default=None),
        "temperature_c_max": max(values("temperature_c"), default=None),
        "memory_used_mib_max": max(values("memory_used_mib"), default=None),
        "utilization_mean": _mean(values("utilization")),
        "throttled_share": {
            name: sum(1 for r in known if r & bit) / len(known) for name, bit in _THROTTLES.items()
        }
        if known
        else None,
    }


def _energy(samples: list[Line], started_ns: int, ended_ns: int) -> tuple[float | None, str | None]:
    """Of all GPUs together (J); or why it is not known."""
    total = 0.0
    for index in {s["index"] for s in samples}:
        power = [
            ((s["t_ns"] - started_ns) / 1e9, s["power_w"])
            for s in samples
            if s["index"] == index and s["power_w"] is not None
        ]
        found = energy_j(power, 0.0, (ended_ns - started_ns) / 1e9) if power else "no_power"
        if isinstance(found, str):
            return None, found
        total += found
    return total, None


def energy_j(samples: Power, start_s: float, end_s: float) -> float | str:
    """Of one GPU in exactly that window: the trapezoids, cut at the edges.

    A reason in its place where it is not known: ``few_samples`` (under two in the window),
    ``edge`` (none before, or none after it), ``gap`` (over `MAX_GAP_S` between two).
    """
    if sum(start_s <= t <= end_s for t, _ in samples) < 2:
        return "few_samples"
    if samples[0][0] > start_s or samples[-1][0] < end_s:
        return "edge"
    total = 0.0
    for (t0, w0), (t1, w1) in pairwise(samples):
        a, b = max(t0, start_s), min(t1, end_s)
        if a >= b:
            continue
        if t1 - t0 > MAX_GAP_S:
            return "gap"
        slope = (w1 - w0) / (t1 - t0)
        total += (b - a) * (w0 + slope * ((a + b) / 2 - t0))
    return total


def _client(lines: list[Line]) -> dict[str, Any] | None:
    cores = [line["client_cpu"] for line in lines if line.get("client_cpu") is not None]
    busiest = [line["busiest_cpu"] for line in lines if line.get("busiest_cpu") is not None]
    if not cores:
        return None
    return {"cpu_mean": _mean(cores), "busiest_cpu_max": max(busiest, default=None)}


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None

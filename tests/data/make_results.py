"""Write the golden result directories: `python -m tests.data.make_results`.

They are made from the protocol's own dataclasses, so that they cannot drift from it;
a test makes them anew and compares.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import statistics
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench_agent.protocol import (
    SCHEMA,
    SUMS,
    Manifest,
    Point,
    PointSummary,
    RequestRecord,
    RunSpec,
    RunSummary,
    Stats,
    Target,
    Verdict,
    Workload,
)
from bench_agent.wire import encode
from tests.data.observations import GPU, SERVER, steady

HERE = Path(__file__).parent / "results"
STACK = "local"
RECIPE = "rehearsal"
WHOLE = "20261121T113405Z-rehearsal-1f2e"
FAILED = "20261121T120210Z-rehearsal-77ab"
START_NS = 1_795_260_845_000_000_000  # 2026-11-21T11:34:05Z
RECIPE_YAML = """\
# Numbers chosen so that a rehearsal ends within seconds.
model: dyno/simulated
engine: simulator
load:
  input_len: 128
  output_len: 24
  points: [{concurrency: 4}, {concurrency: 32}]
"""
PHASES_HOME = {"connect": 0.412, "provision": 0.873, "serve": 1.204, "collect": 0.355}
PHASES_HOST = {"calibrating": 1.508, "warming": 0.231, "running": 5.61, "closing": 0.094}


def main() -> None:
    """Write both directories below ``tests/data/results``."""
    write_whole(HERE)
    write_failed(HERE)


def write_whole(results: Path, *, run_id: str = WHOLE, recipe: str = RECIPE) -> Path:
    """A run of two points, the second with failures and not valid."""
    run = results / STACK / run_id
    points = [_point(run, *args) for args in _POINTS]
    spec = _spec(run_id, recipe, tuple(p.point for p in points))
    valid = all(p.verdict.valid for p in points)
    reasons = tuple(f"{p.point.name}: {r}" for p in points for r in p.verdict.reasons)
    summary = RunSummary(
        SCHEMA,
        run_id,
        "done",
        Verdict(valid, reasons),
        points[0].started_ns,
        points[-1].ended_ns,
        tuple(points),
        {"ttft_error_ms": {"mean": 0.184, "p99": 0.412}, "itl_error_ms": {"mean": -0.021}},
        server={"usage": True, "tokenize": False, "version": "0.33.0"}
        | {"notes": ["There is no /tokenize: prompts of text cannot be cut to exact lengths."]},
    )
    _json(run / "summary.json", encode(summary))
    _json(run / "manifest.json", encode(_manifest(spec, summary)))
    (run / "recipe.yaml").write_text(RECIPE_YAML, encoding="utf-8")
    (run / "server.log").write_text("INFO: ready on 127.0.0.1:8000\n", encoding="utf-8")
    (run / "agent.log").write_text("measured 2 points\n", encoding="utf-8")
    write_sums(run)
    _home(run, recipe, state="collected", phases=PHASES_HOME, collected_at="2026-11-21T11:34:19Z")
    return run


def write_failed(results: Path) -> Path:
    """A launch that failed: nothing was measured, the engine's log was rescued."""
    run = results / STACK / FAILED
    error = {
        "what": "The engine exited with 98 before it was ready.",
        "advice": "Free port 8000 on the host, or choose another with --set port=….",
        "phase": "serve",
        "log": "OSError: [Errno 98] Address already in use",
    }
    _home(run, RECIPE, state="failed", phases={"connect": 0.398, "provision": 0.844}, error=error)
    log = "INFO: starting\nOSError: [Errno 98] Address already in use\n"
    (run / "home" / "server.log").write_text(log, encoding="utf-8")
    return run


def write_sums(run: Path) -> None:
    """SHA256SUMS over every file of *run* but those in ``home/``."""
    files = sorted(p for p in run.rglob("*") if p.is_file() and "home" not in p.parts)
    lines = [
        f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.relative_to(run).as_posix()}"
        for p in files
        if p.name != SUMS
    ]
    (run / SUMS).write_text("\n".join(lines) + "\n", encoding="utf-8")


_POINTS = (
    (Point("00-c4", 24, max_concurrency=4), 0, (52.0, 10.0), ()),
    (
        Point("01-c32", None, max_concurrency=32, duration_s=1.2),
        3_100_000_000,
        (118.0, 14.0),
        ("send delay P99 14.2 ms is over the limit of 10 ms", "3 of 40 requests failed (limit 0)"),
    ),
)
#: Requests of the point that is ended by its time.
_SENT = 40
_BROKEN = {
    7: ("timeout", "no reply within 600 s"),
    19: ("http_error", '503: {"error": "queue is full"}'),
    31: ("http_error", "503"),
}


def _point(
    run: Path, point: Point, offset_ns: int, times: tuple[float, float], reasons: tuple[str, ...]
) -> PointSummary:
    started = START_NS + 2_000_000_000 + offset_ns
    records = _records(point, started, *times, broken=bool(reasons))
    summary = _summary(run.name, point, started, records, reasons)
    folder = run / "points" / point.name
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(encode(r), separators=(",", ":")) for r in records]
    (folder / "records.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    _json(folder / "summary.json", encode(summary))
    _json(folder / "vllm.json", _vllm(summary))
    return summary


def _records(
    point: Point, started: int, ttft: float, itl: float, *, broken: bool
) -> list[RequestRecord]:
    """Closed-loop clients: each sends its next request when its last reply is over."""
    dice = random.Random(point.name)
    free = [started + i * 900_000 for i in range(point.max_concurrency or 1)]
    records = []
    for index in range(point.num_prompts or _SENT):
        free.sort()
        record = _record(index, free[0], dice, ttft, itl)
        if broken and index in _BROKEN:
            failure, error = _BROKEN[index]
            record = replace(
                RequestRecord(
                    index,
                    record.request_id,
                    record.endpoint,
                    success=False,
                    due_ns=record.due_ns,
                    sent_ns=record.sent_ns,
                    done_ns=record.sent_ns + 40_000_000,
                ),
                failure=failure,
                error=error,
                http_status=503 if failure == "http_error" else None,
            )
        free[0] = record.done_ns + 300_000
        records.append(record)
    return records


def _record(index: int, due: int, dice: random.Random, ttft: float, itl: float) -> RequestRecord:
    sent = due + int(dice.uniform(20_000, 90_000))
    offsets = [int(ttft * 1e6 * dice.uniform(0.9, 1.35))]
    for _ in range(23):
        offsets.append(offsets[-1] + int(itl * 1e6 * dice.uniform(0.93, 1.12)))
    return RequestRecord(
        index=index,
        request_id=f"bench-{index}",
        endpoint="http://127.0.0.1:8000",
        success=True,
        due_ns=due,
        sent_ns=sent,
        done_ns=sent + offsets[-1] + 200_000,
        first_chunk_ns=sent + offsets[0],
        first_content_ns=sent + offsets[0],
        last_chunk_ns=sent + offsets[-1],
        chunk_ns=tuple(offsets),
        prompt_tokens=128,
        output_tokens=24,
        finish_reason="length",
        http_status=200,
        reads=25,
        coalesced=1 if index % 9 == 0 else 0,
    )


def _summary(
    run_id: str,
    point: Point,
    started: int,
    records: list[RequestRecord],
    reasons: tuple[str, ...],
) -> PointSummary:
    good = [r for r in records if r.success]
    ended = max(r.done_ns for r in records)
    took = (ended - started) / 1e9
    tokens = sum(r.output_tokens or 0 for r in good)
    prompts = sum(r.prompt_tokens or 0 for r in good)
    ttft = [r.chunk_ns[0] / 1e6 for r in good]
    e2el = [r.chunk_ns[-1] / 1e6 for r in good]
    gaps = [(b - a) / 1e6 for r in good for a, b in zip(r.chunk_ns, r.chunk_ns[1:], strict=False)]
    return PointSummary(
        schema=SCHEMA,
        run_id=run_id,
        point=point,
        verdict=Verdict(not reasons, reasons),
        started_ns=started,
        ended_ns=ended,
        duration_s=took,
        requested=len(records),
        completed=len(good),
        failed=len(records) - len(good),
        failures=dict(sorted(Counter(r.failure for r in records if r.failure).items())),
        total_input_tokens=prompts,
        total_output_tokens=tokens,
        request_throughput=round(len(good) / took, 6),
        output_throughput=round(tokens / took, 6),
        total_token_throughput=round((tokens + prompts) / took, 6),
        peak_concurrency=point.max_concurrency or 0,
        ttft_ms=_stats(ttft),
        tpot_ms=_stats([(e - t) / 23 for e, t in zip(e2el, ttft, strict=True)]),
        itl_ms=_stats(gaps),
        e2el_ms=_stats(e2el),
        client={"send_delay_ms": None, "coalesced_share": 0.0048, "stamped_by": ["kernel"]}
        | {"cpu_s": 0.31, "workers": 1, "clock_step_ms": 0.0, "busiest_cpu": 0.21}
        | {"lag_ms": {"p50": 0.06, "p99": 0.71, "max": 2.4}},
        request_goodput=round(sum(t <= _GOOD_TTFT_MS for t in ttft) / took, 6),
        good_share=round(sum(t <= _GOOD_TTFT_MS for t in ttft) / len(records), 6),
        peak_output_throughput=round(tokens / took * 1.12, 6),
        ttft_content_ms=_stats(ttft),
        e2el_from_due_ms=_stats([e + _waited(r) for e, r in zip(e2el, good, strict=True)]),
        queue_ms=_stats([_waited(r) for r in good]),
        steady=steady(started, ended, tokens / took, _stats(ttft)),
        server=SERVER | {"generation_tokens": tokens, "prompt_tokens": prompts},
        gpu=GPU | {"energy_j": round(3300 * took, 3), "joules_per_output_token": 0.9},
        unsupported_percentiles=("p99",),
    )


#: The objective that the golden run's goodput is counted with.
_GOOD_TTFT_MS = 100.0


def _waited(record: RequestRecord) -> float:
    return (record.sent_ns - record.due_ns) / 1e6


def _stats(values: list[float]) -> Stats:
    ordered = sorted(values)
    shares = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
    named = {name: round(_quantile(ordered, share), 6) for name, share in shares.items()}
    return Stats(
        mean=round(statistics.fmean(values), 6),
        median=named["p50"],
        std=round(statistics.pstdev(values), 6),
        min=ordered[0],
        max=ordered[-1],
        percentiles=named,
        count=len(values),
    )


def _quantile(ordered: list[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def _vllm(summary: PointSummary) -> dict[str, Any]:
    return {
        "backend": "openai",
        "model_id": "dyno/simulated",
        "num_prompts": summary.requested,
        "max_concurrency": summary.point.max_concurrency,
        "duration": summary.duration_s,
        "completed": summary.completed,
        "failed": summary.failed,
        "total_output_tokens": summary.total_output_tokens,
        "max_output_tokens_per_s": round(summary.output_throughput * 1.12),
    }


def _spec(run_id: str, recipe: str, points: tuple[Point, ...]) -> RunSpec:
    return RunSpec(
        SCHEMA,
        run_id,
        STACK,
        recipe,
        Target(("http://127.0.0.1:8000",), "dyno/simulated"),
        Workload(input_len=128, output_len=24, seed=7),
        points,
        planned_s=60.0,
        num_warmups=4,
        goodput={"ttft": _GOOD_TTFT_MS},
        recipe_yaml=RECIPE_YAML,
    )


def _manifest(spec: RunSpec, summary: RunSummary) -> Manifest:
    plain = encode(spec)
    del plain["context"]
    return Manifest(
        SCHEMA,
        spec.run_id,
        spec.stack,
        spec.recipe,
        summary.state,
        START_NS,
        summary.ended_ns + 94_000_000,
        {"sha256": "3b1f" * 16, "version": "0.1.0", "python": "3.11.2"},
        {"hostname": "bench-7", "os": "Debian GNU/Linux 12", "kernel": "6.1.0-28-amd64"}
        | {"cpu": "AMD EPYC 9555", "cores": 32, "memory_mib": 193_420, "boot_id": "a-boot"},
        plain,
        {
            "engine": {
                "name": "simulator",
                "args": {"ttft_ms": 50, "itl_ms": 10, "max_num_seqs": 256},
                "env": {},
            },
            "stack": STACK,
            "cloud": "local",
            "price": {"usd_per_hour": 4.5, "model": "on demand", "source": "preset"}
            | {"date": "2026-11-01"},
            "hosts": [{"name": "host-0", "accelerator": {"name": "NVIDIA L40S", "count": 8}}],
        },
        PHASES_HOST,
    )


def _home(
    run: Path,
    recipe: str,
    *,
    state: str,
    phases: dict[str, float],
    error: dict[str, str] | None = None,
    collected_at: str | None = None,
) -> None:
    stamp = run.name
    opened = f"{stamp[:4]}-{stamp[4:6]}-{stamp[6:8]}T{stamp[9:11]}:{stamp[11:13]}:{stamp[13:15]}"
    about = {
        "schema": SCHEMA,
        "run_id": run.name,
        "stack": STACK,
        "recipe": recipe,
        "owner": "somebody@home",
        "opened_at": opened + "+00:00",
        "state": state,
        "phases": phases,
        "error": error,
        "collected_at": collected_at,
    }
    (run / "home").mkdir(parents=True, exist_ok=True)
    _json(run / "home" / "run.json", about)


def _json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

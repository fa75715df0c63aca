"""The client's own error, measured against the simulator on this very host."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench_agent import identity, metrics, storage, workloads
from bench_agent.fetch import get
from bench_agent.load.plan import Load
from bench_agent.load.pool import Tick, drive
from bench_agent.protocol import RequestRecord, RunSpec, Workload
from bench_agent.simulator.options import Options
from bench_agent.simulator.server import Simulator, listen
from bench_agent.specs import at_once

MAX_STREAMS = 256
_MODEL = "calibration"
_TOKENS = 64
_WAVES = 2  # two waves of 50 ms + 63 x 10 ms: 1.4 s
_LOOPBACK = "127.0.0.1"


class CalibrationError(Exception):
    """The client's error could not be measured."""


def calibrate(spec: RunSpec, workers: int, cache: Path, tick: Tick) -> dict[str, Any]:
    """The client's error at the spec's largest number of streams; at once when it is known.

    Raises:
        CalibrationError: the simulated requests failed, or the run was stopped.
    """
    streams = largest_streams(spec)
    key = {
        "agent_sha256": identity.agent_sha256(),
        "kernel": platform.release(),
        "cpu": identity.cpu_model(),
        "streams": streams,
        "workers": min(workers, streams),
    }
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    path = cache / f"{name}.json"
    known = storage.read_json(path)
    if isinstance(known, dict) and known.get("key") == key:
        return {**known, "cached": True}
    found = {"key": key, **measure(streams, workers, tick), "measured_ns": time.time_ns()}
    cache.mkdir(parents=True, exist_ok=True)
    storage.write_json(path, found)
    return {**found, "cached": False}


def largest_streams(spec: RunSpec) -> int:
    """Most requests at once in any point, within what is calibrated."""
    return min(max(map(at_once, spec.points)), MAX_STREAMS)


def measure(streams: int, workers: int, tick: Tick) -> dict[str, Any]:
    """Load a simulator of our own, and compare token by token.

    Raises:
        CalibrationError: the simulated requests failed, or the run was stopped.
    """
    listener = listen(_LOOPBACK, 0)
    url = f"http://{_LOOPBACK}:{listener.getsockname()[1]}"
    options = Options(model=_MODEL, max_num_seqs=streams)
    with tempfile.TemporaryDirectory(prefix="bench-agent-") as folder:
        records_path = Path(folder) / "records.jsonl"
        stop = start_simulator(options, listener)
        try:
            outcome = drive(_load(url, streams, workers), records_path, tick)
            page = get(url, "/truth", timeout_s=10.0)[1]
        finally:
            stop()
        records = list(storage.read_records(records_path))
    if outcome.stopped or not records or not all(r.success for r in records):
        raise CalibrationError("The client could not be measured against its own simulator.")
    truths = {t["request_id"]: t for t in map(json.loads, page.splitlines())}
    tokens = sum(len(r.chunk_ns) for r in records)
    return {
        "streams": streams,
        **compare(records, truths),
        "tokens": tokens,
        "coalesced_share": metrics.coalesced_share(records),
        "cpu_us_per_token": outcome.tally.cpu_s / tokens * 1e6,
    }


def _load(url: str, streams: int, workers: int) -> Load:
    workload = Workload(input_len=128, output_len=_TOKENS)
    return Load(
        name="calibration",
        base_urls=(url,),
        model=_MODEL,
        api="completions",
        prompt=workloads.prompts(workload, "completions", "calibration"),
        output_len=_TOKENS,
        num_prompts=_WAVES * streams,
        max_concurrency=streams,
        timeout_s=20.0,
        workers=workers,
    )


def compare(records: Sequence[RequestRecord], truths: dict[str, Any]) -> dict[str, Any]:
    """Absolute differences between what the client measured and what was really sent (ms)."""
    first: list[float] = []
    gaps: list[float] = []
    for record in records:
        truth = truths[record.request_id]
        sent = truth["sent_ns"]
        if len(sent) != len(record.chunk_ns):
            raise CalibrationError("The client and its simulator count different tokens.")
        first.append(abs(metrics.ttft_ms(record) - (sent[0] - truth["arrived_ns"]) / 1e6))
        true_gaps = [(b - a) / 1e6 for a, b in pairwise(sent)]
        mine = metrics.itl_ms(record)
        gaps += [abs(a - b) for a, b in zip(mine, true_gaps, strict=True)]
    return {"ttft_error_ms": _error(first), "itl_error_ms": _error(gaps)}


def _error(values: Sequence[float]) -> dict[str, float]:
    stats = metrics.stats(values)
    if stats is None:
        return {"mean": 0.0, "p99": 0.0, "max": 0.0}
    return {"mean": stats.mean, "p99": stats.percentiles["p99"], "max": stats.max}


def start_simulator(options: Options, listener: socket.socket) -> Callable[[], None]:
    """Serve in a child process; the function ends it. It goes with this process, too."""
    stop_fd, life = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(life)
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_IGN)  # told over the pipe
            Simulator(options, listener, None, stop_fd).serve()
            code = 0
        finally:
            os._exit(code)
    os.close(stop_fd)
    listener.close()

    def stop() -> None:
        os.close(life)
        os.waitpid(pid, 0)

    return stop

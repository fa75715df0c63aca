"""The client's own error, measured against the simulator on this very host."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from math import sqrt
from pathlib import Path
from typing import Any

from bench_agent import identity, loads, metrics, storage, workloads
from bench_agent.fetch import FetchError, get
from bench_agent.load.plan import Load, LoadError
from bench_agent.load.pool import Outcome, Tick, drive
from bench_agent.load.tally import Tally
from bench_agent.protocol import Limits, Point, RequestRecord, RunSpec, Workload
from bench_agent.simulator.comparison import ComparisonError, compare
from bench_agent.simulator.options import Options
from bench_agent.simulator.process import start_simulator
from bench_agent.simulator.server import listen

#: Of a run; the command takes more.
MAX_STREAMS = 1024
#: The simulator has no more than one core, and takes several times the client's share of it.
_A_STREAM, _A_CORE, _CORES = 100.0, 10_000.0, 4
_MODEL = "calibration"
_PROMPT = 32
_WAVES = 2
#: Seconds that the gaps of one request take in all: as a rule, and at most.
_GAPS_S, _MOST_GAPS_S = 0.63, 1.6
_FEW_TOKENS, _MOST_TOKENS = 24, 100_000
_PATIENCE_S = 10.0
_LATE_MS = 10.0
_RUNGS = 5
_REACHED = 0.8
_LOOPBACK = "127.0.0.1"


class CalibrationError(Exception):
    """The client's error could not be measured."""


class OverloadError(CalibrationError):
    """Not in time: the host is too busy, or the load too much for it."""


@dataclass(frozen=True)
class Shape:
    """What is put on. `tokens_per_s`: of all streams together, once they stream."""

    streams: int
    tokens_per_s: float
    workers: int

    @property
    def itl_s(self) -> float:
        """Between two tokens of a stream."""
        return min(self.streams / self.tokens_per_s, _MOST_GAPS_S)

    @property
    def ttft_s(self) -> float:
        """Enough for the simulator to read what all streams send at once in the beginning."""
        return max(0.05, self.streams * 250e-6)

    @property
    def tokens(self) -> int:
        """Of one request."""
        usual = max(_FEW_TOKENS, 1 + int(_GAPS_S / self.itl_s))
        most = min(1 + int(_MOST_GAPS_S / self.itl_s), _MOST_TOKENS // self.streams)
        return max(2, min(usual, most))

    @property
    def planned_s(self) -> float:
        """How long the load takes."""
        return _WAVES * (self.ttft_s + (self.tokens - 1) * self.itl_s)


def calibrate(spec: RunSpec, workers: int, cache: Path, tick: Tick) -> dict[str, Any]:
    """The client's error at the spec's largest number of streams; at once when it is known.

    Raises:
        CalibrationError: it could not be measured, or the tick said so.
    """
    streams = largest_streams(spec)
    return find(Shape(streams, usual_rate(streams), workers), cache, tick, spec.limits)


def largest_streams(spec: RunSpec) -> int:
    """Most requests at once, within what is calibrated."""
    return min(loads.most_at_once(spec.points, spec.search), MAX_STREAMS)


def usual_rate(streams: int) -> float:
    """Tokens/s: what a server may send so many streams, as far as this host can simulate it."""
    cores = min(len(os.sched_getaffinity(0)), _CORES)
    return min(_A_STREAM * streams, _A_CORE * cores)


def find(
    shape: Shape,
    cache: Path,
    tick: Tick,
    limits: Limits,
    *,
    ladder: bool = False,
    force: bool = False,
    say: Callable[[str], None] = lambda _line: None,
) -> dict[str, Any]:
    """The errors at *shape*, out of *cache* unless *force* says otherwise.

    `tokens_per_s` is the rate that was really reached. `true_itl_ms` are the gaps between what
    the simulator sent: where the machine itself was late, `note` says it, and nothing is kept.
    `highest_believable_tokens_per_s` is the highest rate at which the client stayed within
    *limits*: in a *ladder* of rates, else at this one alone (None: not even there). The simulator
    takes most of the host meanwhile, so that the client by itself may well be good for more:
    `highest_is_lower_bound` False says that it was the client that failed at a higher one.

    Raises:
        CalibrationError: it could not be measured, or the tick said so.
    """
    shape = replace(shape, workers=min(shape.workers, shape.streams))
    key = {
        "agent_sha256": identity.agent_sha256(),
        "kernel": platform.release(),
        "cpu": identity.cpu_model(),
        "streams": shape.streams,
        "tokens_per_s": shape.tokens_per_s,
        "workers": shape.workers,
    }
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    path = cache / f"{name}.json"
    known = None if force else storage.read_json(path)
    if isinstance(known, dict) and known.get("key") == key and (known["ladder"] or not ladder):
        return {**known, **believable(known, limits), "cached": True}
    first = measure(shape, tick)
    say(_line(first))
    rungs = climb(shape, first, tick, limits, say) if ladder else []
    found = {"key": key, **first, "ladder": rungs, "measured_ns": time.time_ns()}
    if not _late(first):
        _keep(path, found)
    return {**found, **believable(found, limits), "cached": False}


def _keep(path: Path, found: dict[str, Any]) -> None:
    """Beside another run that keeps the same; a cache that cannot be written is no cache."""
    own = path.with_name(f"{path.stem}-{os.getpid()}.json")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        storage.write_json(own, found)
        own.replace(path)


def climb(
    shape: Shape, first: dict[str, Any], tick: Tick, limits: Limits, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Measurements at ever higher rates until the client fails; at lower ones until it does not."""
    rungs, rate = [first], shape.tokens_per_s
    good = holds(first, limits)

    def step(rate: float) -> bool:
        """Whether to go on in the same direction."""
        try:
            rungs.append(measure(replace(shape, tokens_per_s=rate), tick))
        except OverloadError:
            return False
        say(_line(rungs[-1]))
        short = rungs[-1]["tokens_per_s"] < _REACHED * rate
        return holds(rungs[-1], limits) is good and not (good and short)

    for _ in range(_RUNGS):
        rate *= 2 if good else 0.5
        if not step(rate):
            if len({holds(rung, limits) for rung in rungs}) > 1:  # once more, in between
                step(rate * (sqrt(0.5) if good else sqrt(2)))
            break
    return rungs


def holds(found: dict[str, Any], limits: Limits) -> bool:
    """Whether the client was within *limits*: by none of them would a point be invalid."""
    seen: list[tuple[float, float]] = [
        (found["ttft_error_ms"]["mean"], limits.max_client_error_ms),
        (found["itl_error_ms"]["mean"], limits.max_client_error_ms),
        (found["coalesced_share"], limits.max_coalesced_share),
        ((found["lag_ms"] or {}).get("p99", 0.0), limits.max_client_lag_ms),
        (found["busiest_cpu"], limits.max_client_cpu),
    ]
    return all(value <= limit for value, limit in seen)


def believable(found: dict[str, Any], limits: Limits) -> dict[str, Any]:
    """The highest rate of one calibration at which the client held, and what that means."""
    rungs = found["ladder"] or [found]
    bad = [rung for rung in rungs if not holds(rung, limits)]
    end = min((rung["tokens_per_s"] for rung in bad), default=float("inf"))
    good = [r["tokens_per_s"] for r in rungs if r not in bad and r["tokens_per_s"] < end]
    return {
        "highest_believable_tokens_per_s": max(good, default=None),
        "highest_is_lower_bound": all(_late(rung) for rung in bad),
    }


def measure(shape: Shape, tick: Tick) -> dict[str, Any]:
    """Load a simulator of our own, and compare token by token.

    Raises:
        CalibrationError: it cannot be done; `OverloadError`: not in time.
    """
    end = time.monotonic() + shape.planned_s + _PATIENCE_S

    def patient(tally: Tally) -> bool:
        return tick(tally) and time.monotonic() < end

    try:
        outcome, records, truths = _drive(shape, patient)
    except (LoadError, FetchError, OSError, ValueError) as error:
        raise _failed(str(error)) from None
    if outcome.stopped and time.monotonic() >= end:
        raise OverloadError(
            "The client could not be measured: the host is too busy. Try again later."
        )
    if outcome.stopped or not records:
        raise _failed("it was stopped.")
    if bad := [record for record in records if not record.success]:
        why = f"{bad[0].failure}: {bad[0].error}"
        raise _failed(f"{len(bad)} of {len(records)} requests failed ({why}).")
    try:
        return _figures(shape, outcome, records, truths)
    except ComparisonError as error:
        raise _failed(str(error)) from None


def _failed(why: str) -> CalibrationError:
    return CalibrationError(f"The client could not be measured against its own simulator: {why}")


def _drive(shape: Shape, tick: Tick) -> tuple[Outcome, list[RequestRecord], dict[str, Any]]:
    listener = listen(_LOOPBACK, 0)
    url = f"http://{_LOOPBACK}:{listener.getsockname()[1]}"
    options = Options(
        model=_MODEL,
        ttft_ms=shape.ttft_s * 1e3,
        itl_ms=shape.itl_s * 1e3,
        max_num_seqs=shape.streams,
        max_model_len=_PROMPT + shape.tokens,
    )
    with tempfile.TemporaryDirectory(prefix="bench-agent-") as folder:
        path = Path(folder) / "records.jsonl"
        stop = start_simulator(options, listener)
        try:
            outcome = drive(_load(url, shape), path, tick)
            page = b"" if outcome.stopped else get(url, "/truth", timeout_s=_PATIENCE_S)[1]
        finally:
            stop()
        records = list(storage.read_records(path))
    truths = {truth["request_id"]: truth for truth in map(json.loads, page.splitlines())}
    return outcome, records, truths


def _load(url: str, shape: Shape) -> Load:
    workload = Workload(input_len=_PROMPT, output_len=shape.tokens)
    return Load(
        name="calibration",
        point=Point("calibration", _WAVES * shape.streams, shape.streams),
        base_urls=(url,),
        model=_MODEL,
        api="completions",
        requests=workloads.requests(workload, "completions", "calibration"),
        workers=shape.workers,
    )


def _figures(
    shape: Shape, outcome: Outcome, records: Sequence[RequestRecord], truths: dict[str, Any]
) -> dict[str, Any]:
    tally = outcome.tally
    tokens = sum(len(record.chunk_ns) for record in records)
    found = {
        "streams": shape.streams,
        "asked_tokens_per_s": shape.tokens_per_s,
        "tokens_per_s": round(tokens / (outcome.ended_ns - outcome.started_ns) * 1e9, 1),
        **compare(records, truths),
        "itl_ms": shape.itl_s * 1e3,
        "tokens": tokens,
        "coalesced_share": metrics.coalesced_share(records),
        "cpu_us_per_token": round(tally.cpu_s / tokens * 1e6, 3),
        "busiest_cpu": round(tally.busiest_cpu, 3),
        "lag_ms": outcome.lag_ms,
    }
    return {**found, "note": _LATE.format(**found) if _late(found) else None}


_LATE = (
    "The machine itself was late while the client was measured: P99 of the gaps between the "
    "simulator's tokens is {true_itl_ms[p99]:.1f} ms where {itl_ms:.1f} ms were due."
)


def _late(found: dict[str, Any]) -> bool:
    late: float = found["true_itl_ms"]["p99"] - found["itl_ms"]
    return late > _LATE_MS


def _line(found: dict[str, Any]) -> str:
    """One measurement, for a person who waits."""
    return (
        f"{found['tokens_per_s']:,.0f} tokens/s: mean error of TTFT "
        f"{found['ttft_error_ms']['mean']:.3f} ms, of ITL {found['itl_error_ms']['mean']:.3f} ms, "
        f"{found['cpu_us_per_token']:.1f} us of CPU a token."
    )

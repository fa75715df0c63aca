"""One client under one load: what it said, what was true, what it cost."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from tools.bench_agent import agent
from tools.bench_agent.clients import Client, Load
from tools.bench_agent.figures import Timing, TokenErrors, truth
from tools.bench_agent.server import Served, timing_server
from tools.bench_agent.supervisor import Job, supervise

#: What a start costs is seen in a run of almost nothing.
_ALMOST_NOTHING = (1, 1, 2)


@dataclass(frozen=True)
class Plan:
    """The same for all clients."""

    ttft_ms: float
    itl_ms: float
    tokens: int
    rounds: int
    limit_s: float


@dataclass(frozen=True)
class Trial:
    """`failure` says what went wrong; the figures are None then.

    `cpu_us` a token is the whole client's; `cpu_us_marginal` less what a start alone costs.
    `start_s`: from the start of its process to the arrival of its first measured request.
    """

    client: str
    streams: int
    failure: str | None = None
    began_ns: int = 0
    requests: int = 0
    tokens: int = 0
    tokens_per_s: float | None = None
    truth: Timing | None = None
    said: Timing | None = None
    errors: TokenErrors | None = None
    cpu_s: float | None = None
    cpu_us: float | None = None
    cpu_us_marginal: float | None = None
    server_cpu_us: float | None = None
    peak_mib: float | None = None
    start_s: float | None = None


def baseline(client: Client, binary: str, plan: Plan) -> Trial:
    """What a start costs."""
    streams, rounds, tokens = _ALMOST_NOTHING
    return trial(client, binary, replace(plan, rounds=rounds, tokens=tokens), streams)


def trial(client: Client, binary: str, plan: Plan, streams: int) -> Trial:
    """Run *client* once, in a folder that goes."""
    folder = Path(tempfile.mkdtemp(prefix="bench-agent-"))
    try:
        return _trial(client, binary, plan, streams, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _trial(client: Client, binary: str, plan: Plan, streams: int, folder: Path) -> Trial:
    log, stdin = folder / "client.log", folder / "stdin"
    with timing_server(plan.ttft_ms, plan.itl_ms) as server:
        load = Load(server.url, streams, streams * plan.rounds, plan.tokens)
        start = client.start(binary, load, folder)
        stdin.write_bytes(start.stdin)
        job = Job(start.argv, str(folder), str(log), plan.limit_s, str(stdin), start.env)
        server_cpu = server.cpu_s()
        cost = supervise(job)
        server_cpu = server.cpu_s() - server_cpu
        everything = server.served()
    row = Trial(client.name, streams, cpu_s=cost.cpu_s, peak_mib=cost.peak_mib)
    if cost.timed_out or cost.exit_code:
        why = "took too long" if cost.timed_out else f"ended with {cost.exit_code}"
        return replace(row, failure=f"{why}: {_last_line(log)}")
    try:
        said = client.said(folder)
        served = list(client.measured(folder, load, everything))
        if len(served) != load.requests:
            return replace(row, failure=f"{len(served)} of {load.requests} requests were whole")
        row = _figures(replace(row, said=said), client, folder, served)
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        return replace(row, failure=f"left no figures: {type(error).__name__}: {error}")
    start_s = (row.began_ns - cost.started_ns) / 1e9
    return replace(row, start_s=start_s, server_cpu_us=server_cpu / row.tokens * 1e6)


def _figures(row: Trial, client: Client, folder: Path, served: list[Served]) -> Trial:
    tokens = sum(len(each.sent_ns) for each in served)
    began = min(each.arrived_ns for each in served)
    ended = max(each.sent_ns[-1] for each in served)
    return replace(
        row,
        requests=len(served),
        tokens=tokens,
        tokens_per_s=tokens / (ended - began) * 1e9,
        truth=truth(served),
        errors=agent.errors(folder, served) if client is agent.AGENT else None,
        cpu_us=(row.cpu_s or 0.0) / tokens * 1e6,
        began_ns=began,
    )


def less_start(row: Trial, start: Trial) -> Trial:
    """*row* with what a token costs beyond *start*, if both went well."""
    if row.failure or start.failure or row.cpu_s is None or start.cpu_s is None:
        return row
    return replace(row, cpu_us_marginal=(row.cpu_s - start.cpu_s) / row.tokens * 1e6)


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1][:200] if lines else "it said nothing"

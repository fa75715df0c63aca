"""This project's own client: the archive that is shipped, run as it is run on a host."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from bench_agent.layout import RunDir, Workdir
from bench_agent.protocol import SCHEMA, Limits, Point, RunSpec, Target, Workload
from bench_agent.storage import read_records
from bench_agent.wire import encode
from provisioning import agent
from tools.bench_agent.clients import INPUT_TOKENS, Client, Load, Start, read_json
from tools.bench_agent.figures import Timing, TokenErrors, token_errors
from tools.bench_agent.server import MODEL, Served

RUN_ID = "20260101T000000Z-bench-agent-0000"
POINT = "00-bench"
_PLANNED_S = 3600.0
#: The verdict is not what is looked at here.
_ANY = Limits(max_send_delay_ms=1e6, max_coalesced_share=1.0, max_client_error_ms=1e6)


def spec(load: Load) -> RunSpec:
    """One point of that load, uncalibrated."""
    return RunSpec(
        schema=SCHEMA,
        run_id=RUN_ID,
        stack="loopback",
        recipe="bench-agent",
        target=Target((load.url,), MODEL),
        workload=Workload("random", INPUT_TOKENS, load.tokens),
        points=(Point(POINT, load.requests, load.streams),),
        planned_s=_PLANNED_S,
        limits=_ANY,
        calibrate=False,
    )


def start(_binary: str, load: Load, folder: Path) -> Start:
    """The archive, and its spec on standard input."""
    archive = agent.build()
    path = folder / archive.name
    path.write_bytes(archive.data)
    argv = [sys.executable, str(path), "start", "--workdir", str(folder / "work")]
    return Start(argv, json.dumps(encode(spec(load))).encode())


def run_dir(folder: Path) -> RunDir:
    """Where the run lies."""
    return Workdir(folder / "work").run(RUN_ID)


def said(folder: Path) -> Timing:
    """What its summary says.

    Raises:
        ValueError: the run did not come to its end.
    """
    run_path = run_dir(folder)
    if not run_path.summary.exists():
        raise ValueError(f"The run broke off: {run_path.agent_log.read_text()[-300:]}")
    run = read_json(run_path.summary)
    if run["state"] != "done":
        events = [json.loads(line) for line in run_path.events.read_text().splitlines()]
        notes = [event["message"] for event in events if event["kind"] == "note"]
        raise ValueError(f"The run ended as {run['state']}: {notes}")
    point = run["points"][0]
    gaps = point["itl_ms"]["percentiles"] if point["itl_ms"] else {"p50": None, "p99": None}
    return Timing(point["ttft_ms"]["mean"], gaps["p50"], gaps["p99"])


def measured(folder: Path, _load: Load, served: list[Served]) -> list[Served]:
    """Those that are on record: not what the probe asked for."""
    found = {record.request_id for record in read_records(run_dir(folder).records(POINT))}
    return [row for row in served if row.request_id in found]


def errors(folder: Path, served: list[Served]) -> TokenErrors:
    """Stamp by stamp."""
    seen = {
        record.request_id: [record.sent_ns + offset for offset in record.chunk_ns]
        for record in read_records(run_dir(folder).records(POINT))
    }
    return token_errors({row.request_id: row.sent_ns for row in served}, seen)


AGENT = Client("bench_agent", "", start, said, measured)

"""``status``: all runs on this host, and who uses it."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from bench_agent import storage
from bench_agent.layout import Workdir
from bench_agent.liveness import listing
from bench_agent.protocol import SCHEMA, HostStatus
from bench_agent.wire import encode


def arguments(_parser: argparse.ArgumentParser) -> None:
    """No flags of its own."""


def run(args: argparse.Namespace) -> int:
    """Print one HostStatus."""
    workdir = Workdir(Path(args.workdir))
    owner = storage.read_json(workdir.lock_owner)
    status = HostStatus(
        schema=SCHEMA,
        now_ns=time.time_ns(),
        lock=owner if isinstance(owner, dict) else None,
        runs=tuple(listing(run) for run in workdir.runs()),
    )
    print(json.dumps(encode(status)))
    return 0

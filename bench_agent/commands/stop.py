"""``stop``: ask a run's own process to close."""

from __future__ import annotations

import argparse
import json
import os
import signal
import time
from contextlib import suppress

from bench_agent.commands.known import UNKNOWN, known_run, run_argument
from bench_agent.layout import RunDir
from bench_agent.liveness import is_active, is_alive, listing, read_status
from bench_agent.wire import encode

PATIENCE_S = 20.0


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of this command."""
    run_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Stop the run if it is active, and print how it lies now."""
    folder = known_run(args)
    if folder is None:
        return UNKNOWN
    _ask(folder)
    deadline = time.monotonic() + PATIENCE_S
    while is_active(folder) and time.monotonic() < deadline:
        time.sleep(0.05)
    print(json.dumps(encode(listing(folder))))
    return 0


def _ask(folder: RunDir) -> None:
    status = read_status(folder)
    if status is None or not is_active(folder) or not is_alive(status):
        return
    with suppress(ProcessLookupError):
        os.kill(status.pid, signal.SIGTERM)

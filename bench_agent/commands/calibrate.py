"""``calibrate``: the client's own error on this host, without any server."""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from bench_agent.calibration import CalibrationError, Shape, find, usual_rate
from bench_agent.layout import Workdir
from bench_agent.load.pool import STREAMS_A_WORKER
from bench_agent.protocol import Limits

BAD_FLAGS = 2
NOT_MEASURED = 5
MAX_STREAMS = 4096


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of this command."""
    parser.add_argument("--streams", type=int, required=True, help="replies that stream at a time")
    parser.add_argument("--tokens-per-s", type=float, help="of all streams together")
    parser.add_argument("--workers", type=int, help="processes of the client")
    parser.add_argument("--ladder", action="store_true", help="look for the highest rate, too")
    parser.add_argument("--force", action="store_true", help="measure even what is known")


def run(args: argparse.Namespace) -> int:
    """Measure, and print what was found."""
    if wrong := _wrong(args):
        print(wrong, file=sys.stderr)
        return BAD_FLAGS
    streams = args.streams
    usual = min(os.cpu_count() or 1, -(-streams // STREAMS_A_WORKER))
    shape = Shape(streams, args.tokens_per_s or usual_rate(streams), args.workers or usual)
    _say(
        f"The client against its own simulator: {streams} streams at "
        f"{shape.tokens_per_s:,.0f} tokens/s, {shape.planned_s:.1f} s a measurement."
    )
    stops: list[int] = []

    def on_signal(number: int, _frame: FrameType | None) -> None:
        stops.append(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    try:
        found = find(
            shape,
            Workdir(Path(args.workdir)).calibration,
            lambda _tally: not stops,
            Limits(),
            ladder=args.ladder,
            force=args.force,
            say=_say,
        )
    except CalibrationError as error:
        _say(str(error))
        return NOT_MEASURED
    if found["note"]:
        _say(found["note"])
    print(json.dumps(found))
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _wrong(args: argparse.Namespace) -> str | None:
    if not 1 <= args.streams <= MAX_STREAMS:
        return f"--streams must be from 1 to {MAX_STREAMS}, got {args.streams}."
    rate = args.tokens_per_s
    if rate is not None and not (rate > 0 and math.isfinite(rate)):
        return f"--tokens-per-s must be more than 0, got {rate:g}."
    if args.workers is not None and args.workers < 1:
        return f"--workers must be at least 1, got {args.workers}."
    return None

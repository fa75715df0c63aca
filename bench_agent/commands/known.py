"""The run that a command names."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bench_agent.layout import RunDir, Workdir

UNKNOWN = 4


def run_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--run``."""
    parser.add_argument("--run", required=True, help="the run id")


def known_run(args: argparse.Namespace) -> RunDir | None:
    """The run's folder; None, and a sentence on standard error, when there is none."""
    workdir = Workdir(Path(args.workdir))
    try:
        folder = workdir.run(args.run)
    except ValueError as error:
        print(error, file=sys.stderr)
        return None
    if not folder.path.is_dir():
        print(f"There is no run {args.run} below {workdir.runs_path}.", file=sys.stderr)
        return None
    return folder

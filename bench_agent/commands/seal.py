"""``seal``: close a run whose process died."""

from __future__ import annotations

import argparse
import sys

from bench_agent.commands.known import UNKNOWN, known_run, run_argument
from bench_agent.sealing import StillActive, seal_dead_run
from bench_agent.specs import SpecError

LIVE = 5


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of this command."""
    run_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Seal; nothing when it is sealed."""
    folder = known_run(args)
    if folder is None:
        return UNKNOWN
    try:
        seal_dead_run(folder)
    except StillActive:
        print(f"Run {args.run} is still active. Stop it, or wait for its end.", file=sys.stderr)
        return LIVE
    except SpecError as error:
        print(f"Run {args.run} left no spec to seal it by: {error}", file=sys.stderr)
        return 2
    return 0

"""The command line of the agent: finds the command's module, loads nothing else."""

from __future__ import annotations

import argparse
import importlib
import os
import sys

COMMANDS = (
    *("start", "follow", "status", "stop", "seal", "send"),
    *("simulate", "calibrate", "prompts", "version"),
)


def main(argv: list[str] | None = None) -> None:
    """Run one command and exit with its code."""
    sys.exit(execute(sys.argv[1:] if argv is None else argv))


def execute(argv: list[str]) -> int:
    """Run one command; its exit code.

    Raises:
        SystemExit: the arguments are wrong (2) or help was asked for (0).
    """
    parser = argparse.ArgumentParser(prog="bench-agent", description="What runs on the host.")
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("--workdir", default=".", help="the host's working folder")
    if not argv or argv[0] not in COMMANDS:
        parser.parse_args(argv)
        return 2
    command = importlib.import_module(f"bench_agent.commands.{argv[0]}")
    command.arguments(parser)
    args = parser.parse_args(argv)
    os.umask(0o077)
    try:
        code: int = command.run(args)
    except BrokenPipeError:
        # Whoever read has gone. The interpreter must not trip over it once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code

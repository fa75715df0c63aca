"""``version``: what this agent is."""

from __future__ import annotations

import argparse
import json
import sys

from bench_agent import __version__
from bench_agent.protocol import SCHEMA


def arguments(_parser: argparse.ArgumentParser) -> None:
    """No flags of its own."""


def run(_args: argparse.Namespace) -> int:
    """Print version, Python and protocol."""
    python = ".".join(map(str, sys.version_info[:3]))
    print(json.dumps({"version": __version__, "python": python, "protocol": SCHEMA}))
    return 0

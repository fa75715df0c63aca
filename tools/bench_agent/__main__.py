"""`python -m tools.bench_agent`: this project's load client beside others, in one run.

Each client puts the same load on a server of known timing, one after the other, and the tables
say what was true, what each said, and what it cost.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tools.bench_agent.agent import AGENT
from tools.bench_agent.clients import OTHERS, Client
from tools.bench_agent.table import render
from tools.bench_agent.trial import Plan, Trial, baseline, less_start, trial

HOW_TO = "docs/how-to/compare-load-clients.md"
FAILED, USAGE = 1, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 all gave figures, 1 one of them did not, 2 a bad argument."""
    args = _arguments(argv)
    try:
        clients = found(args.client)
    except ValueError as error:
        print(error, file=sys.stderr)
        return USAGE
    missing = [client for client in OTHERS if client.name not in {each.name for each, _ in clients}]
    for client in missing:
        _tell(f"{client.name} is not installed here. See {HOW_TO}, or --client {client.name}=PATH.")
    plan = Plan(args.ttft_ms, args.itl_ms, args.tokens, args.rounds, args.limit_s)
    trials = compare(clients, plan, args.streams)
    if args.json:
        print(
            json.dumps({"plan": asdict(plan), "trials": [asdict(row) for row in trials]}, indent=1)
        )
    else:
        print(render(trials))
    return FAILED if any(row.failure for row in trials) else 0


def found(named: Sequence[str]) -> list[tuple[Client, str]]:
    """The clients that are here, with their programs; *named* are ``name=path``.

    Raises:
        ValueError: a name that is no client, or a path that is no program.
    """
    paths = dict(each.partition("=")[::2] for each in named)
    for name, path in paths.items():
        if name not in {client.name for client in OTHERS}:
            names = ", ".join(client.name for client in OTHERS)
            raise ValueError(f"{name!r} is no client known here. There are {names}.")
        if not shutil.which(path):
            raise ValueError(f"{path!r} is no program. Say --client {name}=/path/to/it.")
    programs = [(client, shutil.which(paths.get(client.name, client.name))) for client in OTHERS]
    return [(AGENT, ""), *((c, str(Path(p).absolute())) for c, p in programs if p)]


def compare(
    clients: Sequence[tuple[Client, str]], plan: Plan, streams: Sequence[int]
) -> list[Trial]:
    """All clients at each number of streams, by turns, so that a busy minute hits them all."""
    starts = {}
    for client, binary in clients:
        _tell(f"{client.name}: what a start costs …")
        starts[client.name] = baseline(client, binary, plan)
    rows = []
    for count in streams:
        for client, binary in clients:
            _tell(f"{client.name}: {count} streams …")
            rows.append(less_start(trial(client, binary, plan, count), starts[client.name]))
    return rows


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench_agent", description=(__doc__ or "").partition("\n")[2].strip()
    )
    parser.add_argument("--streams", type=int, nargs="+", default=[64, 256, 1024])
    parser.add_argument("--tokens", type=int, default=256, help="a request")
    parser.add_argument("--rounds", type=int, default=2, help="requests a stream")
    parser.add_argument("--ttft-ms", type=float, default=50.0)
    parser.add_argument("--itl-ms", type=float, default=10.0)
    parser.add_argument("--client", action="append", default=[], metavar="NAME=PATH")
    parser.add_argument("--limit-s", type=float, default=600.0, help="for one run of one client")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())

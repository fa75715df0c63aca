"""``prompts``: requests like those of a run's point, for another client to send.

A stream of their own: a prompt that was sent before would be in the server's prefix cache.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from bench_agent import closing
from bench_agent.client import FetchError, StoppedError
from bench_agent.commands.known import UNKNOWN, known_run, run_argument
from bench_agent.layout import RunDir
from bench_agent.load.plan import LoadError
from bench_agent.loads import Loads
from bench_agent.probe import ProbeError, Server
from bench_agent.protocol import Point, RunSpec
from bench_agent.tokenizer import TokenizerError
from bench_agent.wire import WireError, decode

FAILED = 1


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of this command."""
    run_argument(parser)
    parser.add_argument("--stream", required=True, help="a name: each has prompts of its own")
    parser.add_argument("--count", type=int, required=True, help="how many, at most")


def run(args: argparse.Namespace) -> int:
    """Print ``{"prompt", "max_tokens", "prompt_tokens"}``, a request a line; ids or text."""
    folder = known_run(args)
    if folder is None:
        return UNKNOWN
    try:
        spec = decode(RunSpec, json.loads(folder.spec.read_text()))
        _print(spec, _server(folder), args.stream, args.count)
    except (OSError, ValueError, WireError, LoadError, TokenizerError, FetchError) as error:
        return _failed(error)
    except (ProbeError, StoppedError) as error:
        return _failed(error)
    return 0


def _failed(error: Exception) -> int:
    print(f"The prompts of the run cannot be made: {error}", file=sys.stderr)
    return FAILED


def _print(spec: RunSpec, server: Server, stream: str, count: int) -> None:
    made = Loads(spec, closing.read_secret(spec), lambda: True)
    made.server = server
    try:
        requests = made.of(Point(stream, count)).requests
    finally:
        made.close()
    for index in range(min(count, requests.count or count)):
        request = requests(index)
        known: dict[str, Any] = {
            "prompt": request.prompt,
            "max_tokens": request.max_tokens,
            "prompt_tokens": request.prompt_tokens,
        }
        print(json.dumps(known))


def _server(folder: RunDir) -> Server:
    """What the run found its server to do; as if it did all where the run did not ask."""
    try:
        found = json.loads((folder.path / "summary.json").read_text()).get("server") or {}
    except OSError:
        found = {}
    names = Server.__dataclass_fields__.keys() - {"notes"}
    return Server(**{name: value for name, value in found.items() if name in names})

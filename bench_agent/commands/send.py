"""``send``: a run's files on standard output, from where the receiver left off."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import BinaryIO

from bench_agent import storage
from bench_agent.commands.known import UNKNOWN, known_run, run_argument
from bench_agent.layout import RunDir
from bench_agent.protocol import SUMS, Frame
from bench_agent.wire import encode

BAD_LIST = 2
_BLOCK = 1024 * 1024
#: Files that only grow; all others may be replaced until the run is sealed.
_GROWING = (".jsonl", "agent.log", "recipe.yaml")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of this command."""
    run_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Write frames: each a JSON line and the bytes that it announces."""
    folder = known_run(args)
    if folder is None:
        return UNKNOWN
    have = _have(sys.stdin.buffer.read())
    if have is None:
        print("Standard input must be a JSON object of path: bytes already had.", file=sys.stderr)
        return BAD_LIST
    send(folder, have, sys.stdout.buffer)
    return 0


def send(folder: RunDir, have: dict[str, int], out: BinaryIO) -> None:
    """All that *have* lacks; SHA256SUMS last, and only from a sealed run."""
    sealed = folder.sealed
    for name in folder.files():
        path = folder.path / name
        if sealed:
            _send_file(path, name, path.stat().st_size, have, out)
        elif name.endswith(_GROWING):
            _send_file(path, name, storage.whole_lines(path), have, out)
    if sealed:
        _send_file(folder.sums, SUMS, folder.sums.stat().st_size, have, out)
    _head(out, Frame("", sealed=sealed, sha256=storage.sha256(folder.sums) if sealed else ""))
    out.flush()


def _have(text: bytes) -> dict[str, int] | None:
    try:
        data = json.loads(text or b"{}")
    except ValueError:
        return None
    if not isinstance(data, dict) or not all(type(v) is int and v >= 0 for v in data.values()):
        return None
    return data


def _send_file(path: Path, name: str, size: int, have: dict[str, int], out: BinaryIO) -> None:
    offset = have.get(name, 0)
    if offset > size:
        offset = 0
    _head(out, Frame(name, offset, size - offset))
    left = size - offset
    with path.open("rb") as file:
        file.seek(offset)
        while left:
            block = file.read(min(left, _BLOCK))
            if not block:
                raise OSError(5, "a file shrank while it was sent", str(path))
            out.write(block)
            left -= len(block)


def _head(out: BinaryIO, frame: Frame) -> None:
    out.write(json.dumps(encode(frame)).encode() + b"\n")

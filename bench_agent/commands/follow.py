"""``follow``: a run's events as they come, and its progress."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace

from bench_agent.commands.known import UNKNOWN, known_run, run_argument
from bench_agent.layout import RunDir
from bench_agent.liveness import read_status, state_of
from bench_agent.protocol import ACTIVE_STATES, Event
from bench_agent.wire import decode, encode

_PROGRESS_S = 0.5
_LOOK_S = 0.1


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of this command."""
    run_argument(parser)
    parser.add_argument("--since", type=int, default=0, help="the last event already seen")


def run(args: argparse.Namespace) -> int:
    """Print events until the run has ended."""
    folder = known_run(args)
    if folder is None:
        return UNKNOWN
    log = _Log(folder)
    next_progress = 0.0
    while True:
        state = state_of(folder, read_status(folder))
        events = log.new()
        for event in events:
            if event.seq > args.since and event.kind != "end":
                _print(event)
        if state not in ACTIVE_STATES:
            _print(log.end or Event(log.last + 1, time.time_ns(), "end", state))
            return 0
        if time.monotonic() >= next_progress:
            next_progress = time.monotonic() + _PROGRESS_S
            _print(_progress(folder, log.last))
        time.sleep(_LOOK_S)


class _Log:
    """Reads events.jsonl as it grows."""

    def __init__(self, folder: RunDir) -> None:
        self.last = 0
        self.end: Event | None = None
        self._path = folder.events
        self._at = 0

    def new(self) -> list[Event]:
        """The events that were added since the last look."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._at)
                data = file.read()
        except FileNotFoundError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._at += len(whole)
        events = [decode(Event, json.loads(line)) for line in whole.splitlines()]
        for event in events:
            self.last = event.seq
            self.end = event if event.kind == "end" else self.end
        return events


def _progress(folder: RunDir, seq: int) -> Event:
    progress = Event(seq, time.time_ns(), "progress")
    return replace(progress, status=read_status(folder))


def _print(event: Event) -> None:
    sys.stdout.write(json.dumps(encode(event)) + "\n")
    sys.stdout.flush()

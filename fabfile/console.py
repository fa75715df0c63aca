"""What a person sees: live on a terminal, plain lines elsewhere, JSON lines when asked."""

from __future__ import annotations

import json
import sys
import time
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from bench_agent.protocol import RunStatus
from provisioning.errors import DynoError
from provisioning.progress import Progress
from provisioning.stack import minutes

_PLAIN_EVERY_S = 5.0


def progress(*, as_json: bool) -> Progress:
    """The way of telling that fits where standard error goes."""
    if as_json:
        return JsonLines()
    return Terminal() if sys.stderr.isatty() else Lines()


def complain(error: DynoError, *, as_json: bool) -> None:
    """Say what happened and what to do, the log's tail first."""
    if as_json:
        keys = ("what", "advice", "phase", "host", "retryable", "exit_code", "log")
        print(json.dumps({"error": {key: getattr(error, key) for key in keys}}))
        return
    if error.log:
        print("\n".join(f"  | {line}" for line in error.log.splitlines()), file=sys.stderr)
    print(f"Error ({error.phase}): {error.what}", file=sys.stderr)
    if error.advice:
        print(error.advice, file=sys.stderr)


def show_json(value: Any) -> None:
    """One JSON document on standard output."""
    print(json.dumps(value, indent=1, ensure_ascii=False))


def load_line(status: RunStatus) -> str:
    """Where the load is: point, requests, tokens/s, time left."""
    if status.state != "running":
        return status.state
    over = status.completed + status.failed
    parts = [
        status.point,
        f"{over}/{status.requested} requests",
        f"{status.output_tokens_per_s:.0f} tok/s",
    ]
    if status.failed:
        parts.append(f"{status.failed} failed")
    if status.eta_s is not None:
        parts.append(f"{minutes(timedelta(seconds=status.eta_s))} left")
    return ", ".join(parts)


class Lines:
    """Plain lines on standard error, one a phase and one each few seconds of load."""

    def __init__(self) -> None:
        self._last = 0.0

    def phase(self, name: str) -> None:
        """A phase begins."""
        self._say(f"{name} …")

    def done(self, name: str, seconds: float) -> None:
        """A phase ended well."""
        self._say(f"{name} done in {seconds:.1f} s")

    def note(self, text: str) -> None:
        """Say something."""
        self._say(text)

    def load(self, status: RunStatus) -> None:
        """Say where the load is, now and then."""
        if time.monotonic() - self._last >= _PLAIN_EVERY_S:
            self._last = time.monotonic()
            self._say(load_line(status))

    def _say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


class JsonLines(Lines):
    """The same as JSON lines on standard error; standard output stays one document."""

    def _say(self, text: str) -> None:
        print(json.dumps({"progress": text}), file=sys.stderr, flush=True)


class Terminal:
    """One live line at the bottom, what is done above it."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._live: Live | None = None
        self._name = ""

    def phase(self, name: str) -> None:
        """A phase begins: the live line is its."""
        self._name = name
        self._live = Live(Text(f"… {name}"), console=self._console, transient=True)
        self._live.start()

    def done(self, name: str, seconds: float) -> None:
        """A phase ended well: its line stays."""
        self._end()
        self._console.print(Text(f"✓ {name} ({seconds:.1f} s)"))

    def note(self, text: str) -> None:
        """Say something above the live line."""
        self._console.print(Text(f"  {text}"))

    def load(self, status: RunStatus) -> None:
        """The live line tells where the load is."""
        if self._live is None:
            return
        share = (status.completed + status.failed) / max(1, status.requested)
        width = 20
        bar = "━" * round(share * width) + "╌" * (width - round(share * width))
        line = Text(f"… {self._name} {bar} {load_line(status)}", no_wrap=True, overflow="ellipsis")
        self._live.update(line)

    def _end(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def __del__(self) -> None:
        self._end()

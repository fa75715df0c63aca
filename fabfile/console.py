"""What a person sees: live on a terminal, plain lines elsewhere, JSON lines when asked."""

from __future__ import annotations

import json
import sys
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from provisioning.errors import DynoError
from provisioning.stack import minutes

if TYPE_CHECKING:  # what shows a load is loaded with what puts one on
    from bench_agent.protocol import RunStatus
    from provisioning.progress import Progress

_PLAIN_EVERY_S = 5.0


def progress(*, as_json: bool) -> Progress:
    """The way of telling that fits where standard error goes."""
    if as_json:
        return JsonLines()
    if not sys.stderr.isatty():
        return Lines()
    from fabfile.terminal import Terminal  # noqa: PLC0415 - rich is slow to load

    return Terminal()


def complain(error: DynoError, *, as_json: bool) -> None:
    """Say what happened and what to do, the log's tail first."""
    if as_json:
        print(json.dumps({"error": about(error)}))
        return
    if error.log:
        print("\n".join(f"  | {line}" for line in error.log.splitlines()), file=sys.stderr)
    print(f"Error ({error.phase}): {error.what}", file=sys.stderr)
    if error.advice:
        print(error.advice, file=sys.stderr)


def about(error: DynoError) -> dict[str, Any]:
    """An error as JSON values."""
    keys = ("what", "advice", "phase", "host", "retryable", "exit_code", "log")
    return {key: getattr(error, key) for key in keys}


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

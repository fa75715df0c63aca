"""Work on several hosts at once, host by host: live on a terminal, plain lines elsewhere."""

from __future__ import annotations

import json
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from provisioning.deploys.report import Report, StepReport

#: Hears of a host, a step (or none), and one short line.
Tell = Callable[[str, str, str], None]


@contextmanager
def lines(hosts: Sequence[str], *, as_json: bool) -> Iterator[Tell]:
    """The way of telling that fits where standard error goes, for as long as the work lasts."""
    if as_json or not sys.stderr.isatty():
        one_at_a_time = threading.Lock()

        def tell(host: str, step: str, text: str) -> None:
            said = {"host": host, "step": step, "progress": text}
            line = json.dumps(said) if as_json else _line(host, step, text)
            with one_at_a_time:
                print(line, file=sys.stderr, flush=True)

        yield tell
        return
    from fabfile.live_hosts import LiveHosts  # noqa: PLC0415 - rich is slow to load

    with LiveHosts(hosts) as live:
        yield live.tell


def summary(report: Report) -> Iterator[str]:
    """What was done on a host, or (of a dry run) what would be."""
    if not report.changed:
        yield f"{report.host}: nothing to change ({report.seconds:.1f} s)"
        return
    if not report.dry_run:
        yield _cut(f"{report.host}: changed {', '.join(report.changed)} ({report.seconds:.1f} s)")
        return
    yield f"{report.host}: would run"
    for step in report.steps:
        if step.changed:
            yield from _planned(step)


def _planned(step: StepReport) -> Iterator[str]:
    yield f"  {step.name}:"
    yield from (f"    {command}" for command in step.commands)
    if step.more:
        yield "    … and what follows from that"


def _line(host: str, step: str, text: str) -> str:
    return f"{host} {step}: {text}" if step else f"{host}: {text}"


def _cut(line: str) -> str:
    width = shutil.get_terminal_size().columns
    return line if len(line) <= width else f"{line[: width - 1]}…"

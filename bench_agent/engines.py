"""Whether the server under load is still the one that was started."""

from __future__ import annotations

from bench_agent import clock
from bench_agent.protocol import EngineProcess, Target


def died(target: Target) -> str:
    """What became of *target*'s processes, as a sentence; empty while all of them live.

    One that was started anew by whoever watches over it has another number or start: it died.
    """
    gone = [number for number, one in enumerate(target.engines) if not _lives(one)]
    if not gone:
        return ""
    many = len(target.engines)
    which = f" {', '.join(str(n + 1) for n in gone)} of {many}" if many > 1 else ""
    pids = ", ".join(str(target.engines[n].pid) for n in gone)
    return f"The engine{which} died (process {pids})."


def _lives(one: EngineProcess) -> bool:
    return one.boot_id == clock.boot_id() and one.pid_started == clock.process_started(one.pid)

"""A log on a host, followed until the run, or who reads it, is through."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from bench_agent.protocol import CLOSED_STATES
from provisioning import launch
from provisioning.command import quote
from provisioning.errors import RemoteError, UsageError
from provisioning.facts.python import Pythons, usable
from provisioning.host import Host

_PROBE = Path(__file__).parent / "log_probe.py"


def follow(
    host: Host, run_id: str, say: Callable[[str], None], *, engine: bool, lines: int
) -> None:
    """Hand each line of the engine's log (else of the agent's) to *say*, the last *lines* first.

    Raises:
        UsageError: there is no such log.
        RemoteError: the connection broke.
    """
    at = launch.folder(host, run_id) if engine else host.path("runs", run_id)
    task = {
        "log": f"{at}/log" if engine else f"{at}/agent.log",
        "pid": f"{at}/pid",
        "status": "" if engine else f"{at}/control/status.json",
        "closed": CLOSED_STATES,
        "lines": lines,
    }
    python = usable(host.fact(Pythons), host.name).path
    command = quote(python, "-I", "-S", "-", json.dumps(task))
    with host.remote.stream(command, stdin=_PROBE.read_bytes()) as stream:
        for message in map(json.loads, stream):
            if "line" in message:
                say(message["line"])
            if message.get("end") == "missing":
                raise UsageError(
                    f"There is no log {task['log']} on the host.", "`fab status` lists the runs."
                )
            if "end" in message:
                return
    raise RemoteError(
        f"The connection to {host.name} broke.", "The run goes on; try again.", host=host.name
    )

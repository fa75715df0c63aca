"""A driver on the host: a script on a Python's standard input that says how it goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from provisioning.command import quote
from provisioning.errors import BenchError
from provisioning.host import Host
from provisioning.second_opinion.base import Teller


def told(host: Host, driver: Path, python: str, task: dict[str, Any], tell: Teller) -> Any:
    """What *driver* says in the end, given *task* (no secrets: it is an argument).

    It prints JSON objects, a line each, at least every few seconds: ``{"tell": text}``,
    ``{"beat": n}``, at last ``{"end": …}``.

    Raises:
        BenchError: it broke off.
        RemoteError: the connection did.
    """
    command = quote(python, "-I", "-", json.dumps(task))
    last = ""
    with host.remote.stream(command, stdin=driver.read_bytes()) as lines:
        for line in lines:
            last = line.decode(errors="replace").strip() if isinstance(line, bytes) else line
            try:
                said = json.loads(last)
            except ValueError:
                continue
            if "end" in said:
                return said["end"]
            if "tell" in said:
                tell(str(said["tell"]))
    raise BenchError(
        f"The driver of the second opinion broke off: {last[:200] or 'it said nothing'}.",
        "The run's own result is not touched by that.",
        host=host.name,
    )

"""What a run's engines serve, and where: kept at home, for who asks them while they run."""

from __future__ import annotations

import json

from bench_agent.protocol import Target
from bench_agent.wire import WireError, decode, encode
from provisioning.errors import UsageError
from provisioning.rundir import RunDir, cannot_write, durable

FILE = "target.json"


def keep(run: RunDir, target: Target) -> None:
    """Write ``home/target.json``: addresses and paths on the host, no secrets.

    Raises:
        CollectError: no room.
    """
    try:
        durable(run.home / FILE, json.dumps(encode(target), indent=1).encode())
    except OSError as error:
        raise cannot_write(run.path, error) from None


def of(run: RunDir) -> Target:
    """What `keep` wrote.

    Raises:
        UsageError: the run's engine was never ready, or its account cannot be read.
    """
    try:
        return decode(Target, json.loads((run.home / FILE).read_text()))
    except (OSError, ValueError, WireError):
        raise UsageError(
            f"The engine of {run.run_id} was never ready, as far as is known here.",
            "`fab diagnose` says why; `fab serve` starts one.",
        ) from None

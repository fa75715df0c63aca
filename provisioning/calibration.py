"""The load client's own error on a host, measured there without any model."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from provisioning import agent as agents
from provisioning.agent import Agent
from provisioning.facts.lock import LockOwner, Owner
from provisioning.facts.python import Pythons, usable
from provisioning.facts.system import System
from provisioning.operations import agent as agent_operations
from provisioning.operations import lock
from provisioning.progress import Phases, Progress
from provisioning.rundir import new_run_id
from provisioning.site import Site, owner


def calibrate(site: Site, progress: Progress, *argv: str) -> dict[str, Any]:
    """Measure at *site*, as *argv* tells the agent's ``calibrate``; the host is ours meanwhile.

    Raises:
        HostError: somebody else uses the host, or its Python is too old.
        BenchError: the client could not be measured.
    """
    archive = agents.build()
    host, phases = site.host(), Phases(progress)
    with phases("connect"):
        host.gather(System, LockOwner, *agent_operations.facts(host))
        usable(host.fact(Pythons), host.name)
    since = datetime.now(UTC).isoformat(timespec="seconds")
    ours = Owner(owner(), new_run_id("calibration"), since)
    with phases("provision"):
        shipping = list(agent_operations.shipped(host, archive.name, archive.data))
        lock.acquire(host, ours)
        host.execute(*shipping, label="agent.shipped")
    try:
        with phases("calibrate"):
            return Agent(site.remote, site.workdir).calibrate(*argv)
    finally:
        host.apply(lock.released, ours.run_id)

"""The load client's own error on a host, measured there without any model."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from bench_agent import loads
from provisioning import agent as agents
from provisioning.agent import Agent
from provisioning.deploys.step import Step, Teller
from provisioning.errors import BenchError, RemoteError
from provisioning.facts.calibrations import Calibrations
from provisioning.facts.changing import Changing
from provisioning.facts.lock import LockOwner, Owner
from provisioning.facts.python import Pythons, usable
from provisioning.facts.system import System
from provisioning.holding import held
from provisioning.host import Host
from provisioning.operations import agent as agent_operations
from provisioning.progress import Phases, Progress
from provisioning.recipe_schema import Recipe
from provisioning.rundir import new_run_id
from provisioning.site import Site, owner

#: What takes the processor for itself, or the engine's packages: not beside a measurement.
_BUSY = ("packages", "system", "docker", "toolkit", "gpu", "python_env")
#: Of one that a run asks for; see `bench_agent.calibration`.
_MOST_STREAMS = 1024


def calibrate(site: Site, progress: Progress, *argv: str) -> dict[str, Any]:
    """Measure at *site*, as *argv* tells the agent's ``calibrate``; the host is ours meanwhile.

    Raises:
        HostError: somebody else uses the host, or its Python is too old.
        BenchError: the client could not be measured.
    """
    archive = agents.build()
    host, phases = site.host(), Phases(progress)
    with phases("connect"):
        host.gather(System, LockOwner, Changing, *agent_operations.facts(host))
        usable(host.fact(Pythons), host.name)
    since = datetime.now(UTC).isoformat(timespec="seconds")
    ours = Owner(owner(), new_run_id("calibration"), since)
    shipping = list(agent_operations.shipped(host, archive.name, archive.data))
    with held(host, ours, progress.note):
        with phases("provision"):
            host.execute(*shipping, label="agent.shipped")
        with phases("calibrate"):
            return Agent(site.remote, site.workdir).calibrate(*argv)


def step(recipe: Recipe) -> Step:
    """The calibration that a run of *recipe* will ask for, made while images and models come.

    It is the agent's own business whether the host was quiet enough: what it does not believe it
    does not keep, and measures again when the run begins.
    """
    search = recipe.load.search.protocol() if recipe.load.search else None
    streams = min(loads.most_at_once(recipe.points(), search), _MOST_STREAMS)
    return Step(
        "calibration",
        (Calibrations(), System()),
        after=("agent", *_BUSY),
        run=lambda host, tell: _made(host, streams, tell),
    )


def _made(host: Host, streams: int, tell: Teller) -> None:
    sought = (agents.build().sha256, host.fact(System).kernel, streams)
    if sought in host.fact(Calibrations):
        return
    try:
        Agent(host.remote, host.workdir).calibrate("--streams", str(streams))
    except (BenchError, RemoteError) as error:
        tell(f"{error.what} The run tries again.")

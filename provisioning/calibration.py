"""The load client's own error on a host, measured there without any model."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from bench_agent import loads
from provisioning import agent as agents
from provisioning.agent import Agent
from provisioning.command import Command
from provisioning.deploys.step import Step, Teller
from provisioning.errors import CommandError, RemoteError
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

#: What takes the processor for itself: not beside a measurement. Images and models come from the
#: network beside it; whether the host was quiet enough for all that is the agent's own judgement.
_BUSY = (
    *("packages", "system", "docker", "toolkit", "gpu", "gpu-proof", "p2p", "python_env", "data"),
    *("opinion-compressa", "opinion-vllm"),
)
#: Of one that a run asks for; see `bench_agent.calibration`.
_MOST_STREAMS = 1024
_LIMIT_S = "600"


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
    """The calibration that a run of *recipe* will ask for, made when the host is quiet again.

    It is the agent's own business whether it was quiet enough: what it does not believe it does
    not keep, and measures again when the run begins.
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
    entry = agents.entry_point(host.workdir)
    argv = (entry, "calibrate", "--streams", str(streams), "--workdir", host.workdir)
    shown = f"measure the load client with {streams} streams"
    measured = Command("timeout", _LIMIT_S, *argv, shown=shown)
    try:
        host.execute(measured, label="calibration")
    except CommandError as error:
        last = error.log.splitlines()[-1:] or ["it said nothing"]
        tell(f"The client could not be measured: {last[0]} The run tries again.")
    except RemoteError as error:
        tell(f"{error.what} The run tries again.")

"""What the engine needs to be started: enough GPUs, systemd for its launcher, a cache folder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from provisioning import placement
from provisioning.command import Command, Fact
from provisioning.deploys import gpu
from provisioning.deploys.step import Step
from provisioning.errors import HostError
from provisioning.facts.gpus import Gpus
from provisioning.facts.groups import Groups
from provisioning.facts.paths import AtPath
from provisioning.facts.sudo import Sudo
from provisioning.host import Host
from provisioning.needs import Needs
from provisioning.operations import services

_CACHE_MODE = 0o755
_OWN = 'mkdir -p "$1" && chown "$2:$(id -gn "$2")" "$1" && chmod "$3" "$1"'


def cache(needs: Needs) -> str:
    """The folder of what engines keep from one start to the next."""
    return f"{needs.data.rstrip('/')}/cache"


def steps(needs: Needs) -> tuple[Step, ...]:
    """The step ``serving``; none for an engine that needs nothing of that."""
    facts = _facts(needs)
    if not facts:
        return ()

    def check(host: Host) -> None:
        # GPUs that a driver is yet to come for, or that are yet to be divided, are judged later.
        driven = bool(host.fact(Gpus)) if placement.facts(needs) else False
        if driven and gpu.profile(needs) is None:
            placement.places(host, needs)
        if needs.launcher == "systemd" and not host.fact(services.FACT):
            raise _no_systemd(host)

    def cached(host: Host) -> Iterator[Command]:
        return _cached(host, needs)

    operations = (cached,) if needs.weights else ()
    return (Step("serving", facts, check, operations, after=("preflight", "disks", "gpu")),)


def _facts(needs: Needs) -> tuple[Fact[Any], ...]:
    systemd = (services.FACT, Sudo()) if needs.launcher == "systemd" else ()
    weights = (AtPath(cache(needs)), Groups()) if needs.weights else ()
    return (*placement.facts(needs), *systemd, *weights)


def _cached(host: Host, needs: Needs) -> Iterator[Command]:
    """The folder is there, and our user's: on a data disk only root can make it."""
    path, user = cache(needs), host.fact(Groups).user
    if host.fact(AtPath(path)) is None:
        argv = (path, user, f"{_CACHE_MODE:o}")
        elsewhere = needs.data != needs.workdir
        yield Command.shell(_OWN, *argv, sudo=elsewhere, shown=f"make folder {path}")


def _no_systemd(host: Host) -> HostError:
    return HostError(
        f"The recipe starts its engine by systemd, which does not run on {host.name}.",
        "Choose another launcher: `--set launcher=process`.",
        host=host.name,
    )

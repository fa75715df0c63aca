"""Is the host fit, as far as facts tell? Asked before anything is changed; changes nothing.

It waits for a cloud that is still setting the machine up: all other steps come after it.
What belongs to one topic is checked there: GPUs by `gpu`, the data disk by `disks`, the clock by
`system`. Root is asked for by the deploy itself, where a command needs it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from provisioning import models, ways_out
from provisioning.command import Command, Fact
from provisioning.deploys.disks import wanted
from provisioning.deploys.step import Step
from provisioning.errors import DynoError, HostError
from provisioning.facts.cloud_init import CloudInit
from provisioning.facts.images import Images
from provisioning.facts.ports import PortsInUse
from provisioning.facts.python_env import PythonEnv
from provisioning.facts.space import Space
from provisioning.facts.system import System
from provisioning.host import Host
from provisioning.needs import Needs
from provisioning.operations import cloud_init, disks, images, python_env

SUPPORTED = {"debian": ("12", "13"), "ubuntu": ("22.04", "24.04")}
PROCESSORS = ("x86_64", "aarch64")
#: What is done in the way of those distributions.
_THEIRS = frozenset(
    {"gpu", "data_disk", "packages", "docker", "toolkit", "limits", "sysctl", "hugepages"}
) | {"time_sync"}
_GB = 10**9
#: What a new file system leaves of a disk.
_LEFT = 0.97


def steps(needs: Needs) -> tuple[Step, ...]:
    """The step ``preflight``: a check; a dry run lists the wait for a first boot here, too."""

    def check(host: Host) -> None:
        if needs.needs.model_dump(exclude_defaults=True).keys() & _THEIRS:
            _distribution(host)
        _memory(host, needs)
        _port(host, needs)
        _space(host, needs)
        ways_out.check(host, needs)

    def settled(host: Host) -> Iterator[Command]:
        # Any other deploy has waited before it asked what is to do.
        return cloud_init.over(host) if host.dry_run else iter(())

    return (Step("preflight", _facts(needs), check, (settled,)),)


def _facts(needs: Needs) -> tuple[Fact[Any], ...]:
    asked = needs.needs
    found: list[Fact[Any]] = [System(), CloudInit()]
    if needs.port is not None:
        found.append(PortsInUse())
    if asked.free_disk_gb:
        found.append(Space(needs.data))
        found += [Images()] if asked.images else []
        found += [PythonEnv(python_env.path(needs))] if asked.python else []
        found += disks.facts(wanted(needs)) if asked.data_disk else ()
    return (*found, *ways_out.facts(needs))


def _distribution(host: Host) -> None:
    machine = host.fact(System)
    if machine.release not in SUPPORTED.get(machine.distribution, ()):
        known = " and ".join(f"{k.title()} {', '.join(v)}" for k, v in SUPPORTED.items())
        raise HostError(
            f"{host.name} runs {machine.os or 'no distribution that tells its name'}, which is "
            "not supported.",
            f"Supported are {known}.",
            host=host.name,
        )
    if machine.machine not in PROCESSORS:
        raise HostError(
            f"{host.name} has a processor that is not supported ({machine.machine}).",
            f"Supported are {' and '.join(PROCESSORS)}.",
            host=host.name,
        )


def _memory(host: Host, needs: Needs) -> None:
    asked, have = needs.needs.memory_gb, host.fact(System).memory_mib * 2**20 / _GB
    if have < asked:
        raise HostError(
            f"{host.name} has {have:.0f} GB of memory, and the recipe needs {asked:g} GB.",
            "Take a larger machine, or a smaller model.",
            host=host.name,
        )


def _port(host: Host, needs: Needs) -> None:
    if needs.port is not None and needs.port in host.fact(PortsInUse):
        raise HostError(
            f"Port {needs.port} of {host.name} is in use.",
            "End it, or set engine.port to another one (or leave it out: one that is free is "
            "found).",
            host=host.name,
        )


def _space(host: Host, needs: Needs) -> None:
    """Room for what has yet to come; nothing is asked once all that the recipe brings is there."""
    asked = needs.needs.free_disk_gb
    if not asked or _all_there(host, needs):
        return
    free = _free(host, needs)
    if free is not None and free + _there(host, needs) < asked * _GB:
        raise HostError(
            f"{needs.data} of {host.name} has {free / _GB:.1f} GB left, and the recipe needs "
            f"{asked:g} GB.",
            "Make room there, take a larger disk, or ask for a data disk (host.data_disk).",
            host=host.name,
        )


def _all_there(host: Host, needs: Needs) -> bool:
    asked, model = needs.needs, models.of(needs)
    there = [host.fact(model.cached).complete] if model else []
    if asked.images:
        there.append(not images.absent(host, asked.images))
    if asked.python:
        there.append(host.fact(PythonEnv(python_env.path(needs))) is not None)
    return bool(there) and all(there)


def _there(host: Host, needs: Needs) -> int:
    """Bytes of the model that lie there already."""
    model = models.of(needs)
    cached = host.fact(model.cached) if model else None
    return cached.bytes + cached.leftover_bytes if cached else 0


def _free(host: Host, needs: Needs) -> float | None:
    """Bytes free for data, or that will be; None where only a disk not yet mounted could tell."""
    if needs.needs.data_disk is None:
        return host.fact(Space(needs.data))
    try:
        volume = disks.volume_of(host, wanted(needs))
    except DynoError:
        return None  # for `disks` to say
    if volume is None or volume.mounted:
        return host.fact(Space(needs.data))
    new = (volume.path,) if volume.format else volume.members if volume.create else ()
    found = [disks.device(host, wanted(needs), path) for path in new]
    return sum(device.size for device in found if device) * _LEFT if new else None

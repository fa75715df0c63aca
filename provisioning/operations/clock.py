"""The host's clock is kept by a time service."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from provisioning.command import Command, Fact
from provisioning.errors import HostError
from provisioning.facts.clock import Clock
from provisioning.facts.deb_packages import DebPackages
from provisioning.facts.units import Unit, Units
from provisioning.host import Host
from provisioning.operations import apt

#: In the order in which one that is there is preferred. Clouds bring chrony along.
SERVICES = ("chrony", "ntpsec", "ntp", "systemd-timesyncd")
_DEFAULT = "systemd-timesyncd"
_UNITS = Units(tuple(f"{name}.service" for name in SERVICES))


def kept(host: Host) -> Iterator[Command]:
    """A time service runs, now and after a boot: the one that is there, else systemd's.

    Raises:
        HostError: none can run there.
    """
    found: tuple[Unit, ...] = host.fact(_UNITS)
    units = dict(zip(SERVICES, found, strict=False))
    if any(unit.running for unit in units.values()):
        return
    container = host.fact(Clock).container
    if container:
        raise HostError(
            f"No time service can run on {host.name}: it is a container ({container}), whose "
            "clock is its machine's.",
            "Set host.time_sync to false, and look after the clock of the machine.",
            host=host.name,
        )
    there = [name for name, unit in units.items() if unit.there]
    if not there:
        yield from apt.packages(host, _DEFAULT)
    name = there[0] if there else _DEFAULT
    yield Command("systemctl", "enable", "--now", f"{name}.service", sudo=True)


def facts() -> tuple[Fact[Any], ...]:
    """What `kept` asks; gather it with other facts to save an exchange."""
    return (_UNITS, Clock(), DebPackages())

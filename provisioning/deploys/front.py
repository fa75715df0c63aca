"""nginx, for a recipe that puts it in front of several instances; nothing of it runs by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from provisioning.command import Command
from provisioning.deploys.step import Step
from provisioning.facts.deb_packages import DebPackages
from provisioning.facts.units import Units
from provisioning.host import Host
from provisioning.needs import Needs
from provisioning.operations import apt

PACKAGE = "nginx"
#: Whichever of these is there, brings the program.
_KINDS = ("nginx", "nginx-core", "nginx-light", "nginx-full", "nginx-extras")
_SERVICE = "nginx.service"
_UNITS = Units((_SERVICE,))
# The package starts its service: with the sites of others, on ports that are not ours to take.
_MASK = Command("systemctl", "mask", "--runtime", _SERVICE, sudo=True)
_IDLE = """
systemctl disable "$1" 2>/dev/null
systemctl unmask --runtime "$1" && systemctl reset-failed "$1" 2>/dev/null; :
"""


def steps(needs: Needs) -> tuple[Step, ...]:
    """Nginx is installed; a service of that name is as it was before."""
    if needs.layout.front != "nginx":
        return ()
    # No two steps may use apt at once.
    after = ("preflight", "disks", "packages", "docker", "toolkit", "gpu")
    return (Step("front", (_UNITS, *apt.facts()), None, (installed,), after),)


def installed(host: Host) -> Iterator[Command]:
    """Nginx is there, its service off if it came with it."""
    (unit,) = host.fact(_UNITS) or (None,)
    there = not host.fact(DebPackages).keys().isdisjoint(_KINDS)
    masked = unit is not None and unit.file == "masked-runtime"  # by one that was interrupted
    if there and not masked:
        return
    if unit is not None:
        yield _MASK
    yield from apt.packages(host, *(() if there else (PACKAGE,)))
    if unit is not None:
        yield Command.shell(_IDLE, _SERVICE, sudo=True, shown=f"leave {_SERVICE} off")


def about(host: Host, needs: Needs) -> dict[str, Any]:
    """What the manifest should know: the package's version."""
    if needs.layout.front != "nginx":
        return {}
    packages = host.fact(DebPackages)
    return {name: packages[name] for name in _KINDS if name in packages}

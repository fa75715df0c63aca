"""Docker on a host: installed, running, open to our user, with Compose."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from provisioning import docker_trouble
from provisioning.command import Command, Fact
from provisioning.errors import HostError
from provisioning.facts.compose import Compose, Kinds
from provisioning.facts.docker import Docker
from provisioning.facts.groups import Groups
from provisioning.facts.system import System
from provisioning.host import Host
from provisioning.host_schema import Docker as Wanted
from provisioning.operations import apt, services
from provisioning.operations.apt import Archive

_GROUP = "docker"
_PLUGIN = "docker-compose-plugin"  # of Docker's own archive
_JOIN = 'getent group "$1" >/dev/null || groupadd --system "$1"; usermod -aG "$1" "$2"'
# What it does not say itself stands in the journal; a start that failed too often is forgiven.
_SERVE = """
systemctl reset-failed "$1" 2>/dev/null
systemctl enable "$1" 2>&1 && systemctl "$2" "$1" && exit
journalctl -u "$1" -b -n 40 -o cat --no-pager >&2
exit 1
"""


def there(host: Host) -> bool:
    """Whether Docker's server is on the host, running or not."""
    daemon = host.fact(Docker)
    unit = services.unit(host, services.DOCKER)
    return daemon is not None and (daemon.access != "none" or unit.there)


def command(host: Host, *argv: str, **options: Any) -> Command:
    """A command for Docker; by root when our login does not reach it yet."""
    daemon = host.fact(Docker)
    mine = daemon is not None and daemon.access == "user"
    return Command("docker", *argv, sudo=not mine, **options)


def installed(host: Host, wanted: Wanted, archive: Archive | None) -> Iterator[Command]:
    """Docker is on the host; one that is there already is kept, from wherever it came."""
    if wanted.source == "present":
        return
    if there(host):
        yield from apt.repaired(host)
        return
    if archive is not None:
        yield from apt.archive(host, archive)
    yield from apt.packages(host, *_packages(host, wanted))


def running(host: Host) -> Iterator[Command]:
    """Docker's server runs, and does so after a boot."""
    found = services.unit(host, services.DOCKER)
    if found.there and not found.running:
        yield _service("start")


def restarted() -> Command:
    """Docker's server is started anew: it reads its file, and looks for NVIDIA's hook."""
    return _service("restart")


def reloaded() -> Command:
    """Docker's server reads its runtimes and registries again; containers are not touched."""
    # It is a signal: nobody says when it has been heeded.
    script = 'systemctl reload "$1" && sleep 0.5'
    return Command.shell(script, services.DOCKER, sudo=True, shown="reload docker.service")


def ours(host: Host) -> Iterator[Command]:
    """Our user is in Docker's group: from its next login on, Docker answers it."""
    member = host.fact(Groups)
    if member.user != "root" and _GROUP not in member.groups:
        shown = f"add {member.user} to group {_GROUP}"
        yield Command.shell(_JOIN, _GROUP, member.user, sudo=True, shown=shown)


def composed(host: Host, wanted: Wanted, archive: Archive | None) -> Iterator[Command]:
    """Compose is there, of the kind that is wanted."""
    if wanted.source == "present" or has_compose(host.fact(Compose), wanted):
        return
    package = compose_package(host, wanted)
    if archive is not None and package == _PLUGIN:
        yield from apt.archive(host, archive)  # Docker may have been there without it
    yield from apt.packages(host, package)


def has_compose(found: Kinds, wanted: Wanted) -> bool:
    """Whether what is *found* is what is *wanted*."""
    plugin, standalone = found.plugin is not None, found.standalone is not None
    kinds = {"plugin": plugin, "standalone": standalone, "any": plugin or standalone, "none": True}
    return kinds[wanted.compose]


def compose_package(host: Host, wanted: Wanted) -> str:
    """The package that brings Compose.

    Raises:
        HostError: the distribution has none of the kind that is wanted.
    """
    if wanted.compose == "standalone":
        return "docker-compose"  # Docker's own archive has none; this one fits any engine
    if wanted.source in {"vendor", "mirror"}:
        return _PLUGIN
    machine = host.fact(System)
    if machine.distribution == "ubuntu":
        return "docker-compose-v2"
    if machine.release != "12" or wanted.compose == "any":
        return "docker-compose"  # from Debian 13 on it is the plug-in
    raise HostError(
        f"{machine.os} has no package with the plug-in `docker compose`.",
        "Ask for `compose: any` (its older `docker-compose`), or take Docker from `vendor`.",
        host=host.name,
    )


def facts(*archives: Archive) -> tuple[Fact[Any], ...]:
    """What the operations here ask."""
    return (Docker(), Compose(), Groups(), System(), services.FACT, *apt.facts(*archives))


def _packages(host: Host, wanted: Wanted) -> tuple[str, ...]:
    version = f"={wanted.version}" if wanted.version else ""
    if wanted.source in {"vendor", "mirror"}:
        return (f"docker-ce{version}", f"docker-ce-cli{version}", "containerd.io")
    machine = host.fact(System)
    # Debian 13 split the command off.
    cli = machine.distribution == "debian" and machine.release != "12"
    return (f"docker.io{version}", *((f"docker-cli{version}",) if cli else ()), "ca-certificates")


def _service(verb: str) -> Command:
    return Command.shell(
        _SERVE,
        services.DOCKER,
        verb,
        sudo=True,
        shown=f"{verb} {services.DOCKER}",
        explain=docker_trouble.of_start,
    )

"""NVIDIA Container Toolkit on a host: installed, and known to Docker."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from provisioning.command import Command, Fact
from provisioning.facts.daemon_json import DaemonJson
from provisioning.facts.docker import Daemon, Docker
from provisioning.facts.toolkit import Toolkit
from provisioning.host import Host
from provisioning.host_schema import Toolkit as Wanted
from provisioning.operations import apt, docker
from provisioning.operations.apt import Archive

_PACKAGE = "nvidia-container-toolkit"
_RUNTIME = "nvidia"
_MODE = "nvidia-container-runtime.mode"


def installed(host: Host, wanted: Wanted, archive: Archive | None) -> Iterator[Command]:
    """The whole toolkit is on the host; one that is there already is kept."""
    if there(host) or archive is None:
        return
    version = f"={wanted.version}" if wanted.version else ""
    # Its parts are of one version; apt would take the newest of each.
    parts = (f"{_PACKAGE}-base", "libnvidia-container-tools", "libnvidia-container1")
    yield from apt.archive(host, archive)
    yield from apt.packages(
        host, f"{_PACKAGE}{version}", *((f"{part}{version}" for part in parts) if version else ())
    )


def there(host: Host) -> bool:
    """Whether the whole toolkit is on the host."""
    found = host.fact(Toolkit)
    return found is not None and found.whole


def configured(host: Host, mode: str | None) -> Iterator[Command]:
    """Docker's file names NVIDIA's runtime, and that runtime works in *mode*."""
    found = host.fact(Toolkit)
    if mode is not None and (found is None or found.mode != mode):
        yield Command("nvidia-ctk", "config", "--set", f"{_MODE}={mode}", "--in-place", sudo=True)
    if _RUNTIME not in (host.fact(DaemonJson).values.get("runtimes") or {}):
        yield Command("nvidia-ctk", "runtime", "configure", "--runtime=docker", sudo=True)


def known(host: Host) -> Iterator[Command]:
    """Docker's server knows the toolkit: its runtime, and the hook that ``--gpus`` needs.

    The hook is looked for at Docker's start only. While containers run it is not restarted:
    they would end, and whether it really has to be is seen by the proof.
    """
    daemon, found = host.fact(Docker), host.fact(Toolkit)
    if daemon is None or daemon.access == "none":
        return
    if found is not None and found.newer_than_docker and undisturbed(daemon):
        yield docker.restarted()
    elif _RUNTIME not in daemon.runtimes:
        yield docker.reloaded()


def undisturbed(daemon: Daemon) -> bool:
    """Whether a restart of Docker ends no container."""
    return daemon.running == 0 or daemon.live_restore


def facts(*archives: Archive) -> tuple[Fact[Any], ...]:
    """What the operations here ask."""
    return (Toolkit(), Docker(), DaemonJson(), *apt.facts(*archives))

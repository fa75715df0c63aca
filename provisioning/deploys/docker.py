"""Docker and Compose."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from provisioning.command import Command
from provisioning.deploys.origin import Origin, require_version
from provisioning.deploys.step import Step
from provisioning.errors import HostError
from provisioning.facts.compose import Compose
from provisioning.facts.daemon_json import PATH, DaemonJson
from provisioning.facts.docker import Docker
from provisioning.host import Host
from provisioning.host_schema import Docker as Wanted
from provisioning.needs import Needs
from provisioning.operations import archives, docker, docker_settings
from provisioning.volume import CONTAINERD, DOCKER

# One at a time with apt; its folders are on the disk.
_AFTER = ("preflight", "disks", "packages", "system", "gpu")


def steps(needs: Needs) -> tuple[Step, ...]:
    """Docker is there, runs, goes by our settings, and answers our user.

    Raises:
        UsageError: it is to come from a mirror that the recipe does not name.
    """
    wanted = needs.needs.docker
    if wanted is None:
        return ()
    origin = Origin(wanted, "docker", archives.docker, needs.recipe_folder)
    on_disk = needs.needs.data_disk is not None
    store = f"{needs.data}/{DOCKER}" if on_disk else None

    def check(host: Host) -> None:
        _check(host, wanted, origin)

    def settled(host: Host) -> Iterator[Command]:
        return docker_settings.settled(host, wanted.insecure_registries, store)

    def installed(host: Host) -> Iterator[Command]:
        return docker.installed(host, wanted, origin.archive(host))

    def contained(host: Host) -> Iterator[Command]:
        return docker_settings.contained(host, f"{needs.data}/{CONTAINERD}")

    def composed(host: Host) -> Iterator[Command]:
        return docker.composed(host, wanted, origin.archive(host))

    return (
        Step(
            "docker",
            facts=(*docker.facts(*origin.asked()), *docker_settings.facts(store=on_disk)),
            check=check,
            operations=(
                settled,  # first: a Docker that is new starts with them
                installed,
                docker.running,
                *((contained,) if on_disk else ()),
                docker.ours,
                composed,
            ),
            after=_AFTER,
        ),
    )


def about(host: Host, needs: Needs) -> dict[str, Any]:
    """What the manifest should know: what Docker and Compose are; empty without them."""
    if needs.needs.docker is None:
        return {}
    daemon, kinds = host.fact(Docker), host.fact(Compose)
    if daemon is None:
        return {}
    return {
        "version": daemon.version,
        "storage": daemon.storage,
        "root": daemon.root,
        "compose_plugin": kinds.plugin,
        "compose_standalone": kinds.standalone,
    }


def require_settings(host: Host) -> None:
    """See that Docker's file can be read, before anything is changed.

    Raises:
        HostError: it is not JSON; what is wrong with it.
    """
    trouble = host.fact(DaemonJson).trouble
    if trouble:
        raise HostError(
            f"Docker's settings on {host.name} are not JSON: {trouble} ({PATH}).",
            "Put the file right, or move it away: Docker would not start with it.",
            host=host.name,
        )


def require_usable(host: Host) -> None:
    """See that the Docker that is there is one that this machine's GPUs and disks can be given to.

    Raises:
        HostError: it is a snap, or one of a user's own.
    """
    daemon = host.fact(Docker)
    if daemon is None or not daemon.kind:
        return
    raise HostError(*_UNUSABLE[daemon.kind], host=host.name)


_UNUSABLE = {
    "snap": (
        "Docker on the host is a snap: it is shut off from NVIDIA's toolkit and from data disks.",
        "Remove it there if nobody needs it (`sudo snap remove docker`), then run this again.",
    ),
    "rootless": (
        "The Docker that answers our user is rootless: it does not go by the settings of the host.",
        "Let it speak to the host's own there: `docker context use default`, and no DOCKER_HOST.",
    ),
}


def _check(host: Host, wanted: Wanted, origin: Origin) -> None:
    require_settings(host)
    require_usable(host)
    if docker.there(host):
        daemon = host.fact(Docker)
        if daemon is not None and daemon.version:
            require_version(daemon.version, wanted, "Docker", host)
    elif wanted.source == "present":
        raise HostError(
            "There is no Docker on the host, and the recipe installs none (source: present).",
            "Install it there, or say `source: vendor` or `distribution`.",
            host=host.name,
        )
    else:
        origin.archive(host)
    _check_compose(host, wanted, origin)


def _check_compose(host: Host, wanted: Wanted, origin: Origin) -> None:
    if docker.has_compose(host.fact(Compose), wanted):
        return
    if wanted.source == "present":
        kind = {"plugin": "the plug-in `docker compose`", "standalone": "`docker-compose`"}
        raise HostError(
            f"The host lacks {kind.get(wanted.compose, 'Docker Compose')}, "
            "and the recipe installs none (source: present).",
            "Install it there, or name another source for Docker.",
            host=host.name,
        )
    docker.compose_package(host, wanted)
    origin.archive(host)

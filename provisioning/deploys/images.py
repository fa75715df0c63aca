"""Container images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from provisioning.command import Command
from provisioning.deploys.docker import require_usable
from provisioning.deploys.step import Step
from provisioning.errors import HostError
from provisioning.host import Host
from provisioning.needs import Needs
from provisioning.operations import docker, images


def steps(needs: Needs) -> tuple[Step, ...]:
    """The images that the recipe names are on the host."""
    names = tuple(needs.needs.images)
    if not names:
        return ()

    def check(host: Host) -> None:
        if needs.needs.docker is None and not docker.there(host):
            raise HostError(
                "The recipe pulls images, and there is no Docker on the host.",
                "Ask for it with `host.docker` in the recipe.",
                host=host.name,
            )
        require_usable(host)

    def pulled(host: Host) -> Iterator[Command]:
        return images.pulled(host, *names)

    # After the toolkit, too: Docker may be restarted for it, which ends a pull.
    return (
        Step(
            "images",
            facts=(*images.FACTS, *docker.facts()),
            check=check,
            operations=(pulled,),
            after=("preflight", "disks", "docker", "toolkit"),
        ),
    )


def about(host: Host, needs: Needs) -> dict[str, Any]:
    """What the manifest should know: the digest of each image; empty without one."""
    return dict(images.digests(host, *needs.needs.images)) if needs.needs.images else {}

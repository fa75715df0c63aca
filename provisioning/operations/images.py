"""Container images on a host."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from provisioning import docker_trouble
from provisioning.command import Command, Fact
from provisioning.facts.docker import Docker
from provisioning.facts.images import Images
from provisioning.host import Host
from provisioning.image_names import ImageName
from provisioning.operations import docker

_PULL = Path(__file__).with_name("images_pull.sh").read_text(encoding="utf-8")
FACTS: tuple[Fact[Any], ...] = (Docker(), Images())


def pulled(host: Host, *names: str) -> Iterator[Command]:
    """The images of these *names* are on the host: those missing are pulled, all at once.

    A tag that is there is not asked for again: only a digest says what is meant for ever.
    """
    missing = absent(host, names)
    if missing:
        command = docker.command(host)
        yield Command.shell(
            _PULL,
            host.path("pulls"),
            command.line(),
            *missing,
            shown=f"pull {', '.join(missing)}",
            explain=docker_trouble.of_pull,
        )


def absent(host: Host, names: Iterable[str]) -> list[str]:
    """Those of *names* that are not on the host."""
    there = host.fact(Images)
    return [name for name in dict.fromkeys(names) if not ImageName.of(name).among(there)]


def digests(host: Host, *names: str) -> dict[str, str]:
    """What the images of these *names* really are, for the manifest.

    The digest that their registry knows; the image's own id for one that came from none.
    """
    there = host.fact(Images)
    found = {name: ImageName.of(name).among(there) for name in names}
    return {name: image.digest or image.id for name, image in found.items() if image}

"""What a host has to reach outside where something is yet to be fetched."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from provisioning import models
from provisioning.command import Fact
from provisioning.errors import HostError
from provisioning.facts.egress import Egress, Way
from provisioning.facts.images import Images
from provisioning.facts.python_env import FROZEN, PythonEnv
from provisioning.host import Host
from provisioning.needs import Needs
from provisioning.operations import images, python_env

_DOCKER_HUB = "registry-1.docker.io"


def facts(needs: Needs) -> tuple[Fact[Any], ...]:
    """What `check` asks; nothing where nothing is fetched."""
    ways = tuple(_ways(needs))
    found: list[Fact[Any]] = [Egress(ways)] if ways else []
    if needs.needs.images:
        found.append(Images())
    if needs.needs.python is not None:
        found.append(PythonEnv(python_env.path(needs)))
    if model := models.of(needs):
        found += [model.cached, PythonEnv(model.tool)]
    return tuple(found)


def check(host: Host, needs: Needs) -> None:
    """See that all that is missing can be fetched.

    Raises:
        HostError: what cannot be reached, what for, and why not.
    """
    ways = tuple(_ways(needs))
    closed = host.fact(Egress(ways)) if ways else {}
    if not closed:  # then nothing else has to be asked
        return
    for url, what, advice in _missing(host, needs):
        if url in closed:
            raise HostError(
                f"{host.name} does not reach {url.removeprefix('tcp://')}, where {what} "
                f"({closed[url]}).",
                f"Open its way out, {advice}",
                host=host.name,
            )


def registry(image: str) -> str:
    """Where an image comes from, as ``host:port``."""
    first, slash, _ = image.partition("/")
    named = slash and ("." in first or ":" in first or first == "localhost")
    if not named or first in {"docker.io", "index.docker.io"}:
        first = _DOCKER_HUB
    return first if ":" in first else f"{first}:443"


def _ways(needs: Needs) -> Iterator[Way]:
    if model := models.of(needs):
        receipts = f"{model.home}/dyno/models--{model.name.replace('/', '--')}/*.json"
        yield Way(model.hub, (receipts,))
        if index := _index(needs):
            yield Way(index, (receipts, f"{model.tool}/{FROZEN}"))
    if index := _index(needs):
        yield Way(index, (f"{python_env.path(needs)}/{FROZEN}",))
    for image in _pulled(needs):
        yield Way(f"tcp://{registry(image)}", image=image)


def _pulled(needs: Needs) -> Iterator[str]:
    """The images to ask for: one without TLS and without a port may be at either of two."""
    docker = needs.needs.docker
    plain = {name for name in docker.insecure_registries if ":" not in name} if docker else ()
    return (image for image in needs.needs.images if image.partition("/")[0] not in plain)


def _missing(host: Host, needs: Needs) -> Iterator[tuple[str, str, str]]:
    """Address, what is there, and what else to do, of each thing that is not on the host."""
    model = models.of(needs)
    if model and not host.fact(model.cached).complete:
        other = "or bring the model there yourself and set model.path."
        yield model.hub, f"the model {model.name} is", f"name a mirror in model.hub, {other}"
        if (index := _index(needs)) and host.fact(PythonEnv(model.tool)) is None:
            yield index, "the model's downloader is", other
    if (index := _index(needs)) and host.fact(PythonEnv(python_env.path(needs))) is None:
        advice = "or name another mirror in host.python.index_url."
        yield index, "the packages of the recipe's environment are", advice
    for image in images.absent(host, _pulled(needs)):
        advice = "or bring the image there yourself (`docker load`)."
        yield f"tcp://{registry(image)}", f"the image {image} is", advice


def _index(needs: Needs) -> str | None:
    """The package index that the recipe names; of the public one the installer itself tells."""
    asked = needs.needs.python
    return f"{asked.index_url}/" if asked and asked.index_url else None

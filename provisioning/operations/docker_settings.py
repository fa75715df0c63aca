"""Docker's settings, merged with what somebody else put there; and where its images lie."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from provisioning.command import Command, Fact
from provisioning.facts.daemon_json import PATH, DaemonJson
from provisioning.facts.docker import Docker
from provisioning.facts.paths import AtPath
from provisioning.facts.stores import CONFIG, DOCKER, Stores
from provisioning.host import Host
from provisioning.operations import docker, files, services

_ROOT = "data-root"
_REGISTRIES = "insecure-registries"
_FOLDER = 'mkdir -p "$1"'


def merged(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, Any]:
    """*theirs* with what is missing of *ours*: values stay, lists grow, objects are merged."""
    result = dict(theirs)
    for key, value in ours.items():
        if isinstance(value, Mapping):
            result[key] = merged(theirs.get(key) or {}, value)
        elif isinstance(value, list):
            known = theirs.get(key) or []
            result[key] = [*known, *(item for item in value if item not in known)]
        else:
            result.setdefault(key, value)
    return result


def settled(host: Host, registries: list[str], store: str | None) -> Iterator[Command]:
    """Docker's file holds ours beside theirs, and its server goes by it.

    *store* is the folder for images: only for a Docker that has none yet, for they would not
    move. Can be applied before Docker is there: it then starts with these settings.
    """
    file = host.fact(DaemonJson)
    theirs = file.values
    wanted: dict[str, Any] = {_REGISTRIES: registries} if registries else {}
    if store and _empty(host):
        wanted[_ROOT] = store
    values = merged(theirs, wanted)
    if values != theirs:
        yield Command.shell(_FOLDER, PATH.rpartition("/")[0], sudo=True, shown="make /etc/docker")
        text, owner = json.dumps(values, indent=2) + "\n", file.owner or None
        yield files.write(PATH, text, file.mode, sudo=True, owner=owner)
    yield from _applied(host, values, store)


def contained(host: Host, store: str) -> Iterator[Command]:
    """The *store* holds containerd's content, unless there is some, or its file says where.

    Containers of a Docker that keeps its images itself are containerd's, too: they would not live
    through the move.
    """
    kept, daemon = host.fact(Stores), host.fact(Docker)
    if kept.containerd or kept.root or not services.unit(host, services.CONTAINERD).there:
        return
    if daemon is not None and daemon.access != "none" and daemon.containers:
        return
    # A key before the first table is one of the whole file.
    text = f'root = "{store}"\n' + ("version = 2\n" if kept.config is None else kept.config)
    yield Command.shell(_FOLDER, CONFIG.rpartition("/")[0], sudo=True, shown="make /etc/containerd")
    file = host.fact(AtPath(CONFIG, sudo=True))
    mode, owner = (file.mode, file.owner) if file else (0o644, None)
    yield files.write(CONFIG, text, mode, sudo=True, owner=owner)
    yield Command("systemctl", "restart", services.CONTAINERD, sudo=True)
    if docker.there(host):
        yield docker.restarted()


def facts(*, store: bool) -> tuple[Fact[Any], ...]:
    """What the operations here ask; with *store*, those about folders too."""
    of_store = (Stores(), AtPath(CONFIG, sudo=True), services.FACT)
    return (Docker(), DaemonJson(), *(of_store if store else ()))


def _empty(host: Host) -> bool:
    daemon = host.fact(Docker)
    if daemon is None or daemon.access == "none":
        return not host.fact(Stores).docker
    used = daemon.root != DOCKER or daemon.images or daemon.containers
    return not used and not host.fact(Stores).docker


def _applied(host: Host, values: Mapping[str, Any], store: str | None) -> Iterator[Command]:
    daemon = host.fact(Docker)
    if daemon is None or daemon.access == "none":
        return
    if store is not None and values.get(_ROOT) == store != daemon.root:
        yield docker.restarted()
    elif not set(values.get(_REGISTRIES, [])) <= set(daemon.insecure_registries):
        yield docker.reloaded()

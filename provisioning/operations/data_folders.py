"""Folders on the data disk, and what has to wait for that disk at boot."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from provisioning.command import Command, Fact
from provisioning.errors import HostError
from provisioning.facts.groups import Groups
from provisioning.facts.paths import AtPath
from provisioning.facts.places import Place
from provisioning.host import Host
from provisioning.needs import Needs
from provisioning.operations import files
from provisioning.volume import ENVIRONMENTS, MODELS, RESULTS

#: Folders that are our user's; Docker and containerd make theirs themselves.
_OURS = ((MODELS, 0o755), (RESULTS, 0o700), (ENVIRONMENTS, 0o755))
_SERVICES = ("docker", "containerd")
_OWN = 'mkdir -p "$1" && chown "$2:$(id -gn "$2")" "$1" && chmod "$3" "$1"'
# What is not empty stays: results of runs that went before.
_LINK = """
[ -d "${1%/*}" ] || mkdir -p -m 700 "${1%/*}" || exit
[ ! -d "$1" ] || rmdir "$1" || exit
ln -s "$2" "$1"
"""


def owned(host: Host, needs: Needs) -> Iterator[Command]:
    """Models, results and environments have folders of our user there, and runs lead there.

    Results that lie in the working folder already stay, and so do those that follow.

    Raises:
        HostError: the disk was somebody else's before, and so are the folders there.
    """
    user = host.fact(Groups).user
    for name, mode in _OURS:
        path = f"{needs.data}/{name}"
        found = host.fact(AtPath(path))
        owner = found.owner.split(":")[0] if found is not None else user
        if owner not in {user, "root"}:
            raise HostError(
                f"{path} belongs to {owner}, not to {user}.",
                "Log in as that user, or set host.data_disk.mount to another folder.",
                host=host.name,
            )
        if found is None or found.mode != mode or owner != user:
            shown = f"make folder {path} ({mode:04o}, {user})"
            yield Command.shell(_OWN, path, user, f"{mode:o}", sudo=True, shown=shown)
    runs, results = f"{needs.workdir}/runs", f"{needs.data}/{RESULTS}"
    if host.fact(Place(runs)) in {"nothing", "empty"}:
        yield Command.shell(_LINK, runs, results, shown=f"link {runs} to {results}")


def awaited(host: Host, needs: Needs) -> Iterator[Command]:
    """Docker and containerd start after the data disk is mounted, or not at all.

    The disk is mounted with ``nofail``, so that a host without it can be logged in to; they would
    fill the boot disk then, and hide what they put there once the disk is back.
    """
    if needs.needs.docker is None:
        return
    changes: list[Command] = []
    for service in _SERVICES:
        folder = _drop_ins(service)
        changes += files.directory(host, folder, sudo=True)
        content = f"[Unit]\nRequiresMountsFor={needs.data}\n"
        changes += files.file(host, f"{folder}/llm-dyno-data.conf", content, sudo=True)
    yield from changes
    if changes:
        yield Command("systemctl", "daemon-reload", sudo=True)


def facts(needs: Needs) -> tuple[Fact[Any], ...]:
    """What the operations here ask; gather it with other facts to save an exchange."""
    ours = [AtPath(f"{needs.data}/{name}") for name, _ in _OURS]
    found: list[Fact[Any]] = [Groups(), *ours, Place(f"{needs.workdir}/runs")]
    if needs.needs.docker is not None:
        for service in _SERVICES:
            folder = _drop_ins(service)
            found += [AtPath(folder, sudo=True)]
            found += [AtPath(f"{folder}/llm-dyno-data.conf", sudo=True)]
    return tuple(found)


def _drop_ins(service: str) -> str:
    return f"/etc/systemd/system/{service}.service.d"

"""A topic of `fab provision` that only the comparison has: a tree of files, and a second unit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from provisioning.command import Command, Fact
from provisioning.deploys.step import Step
from provisioning.facts.paths import AtPath
from provisioning.host import Host
from provisioning.needs import Needs
from provisioning.operations import files, services
from tests.lab.comparison import tree

FOLDERS = (tree.PLACE, *(f"{tree.PLACE}/{name}" for name in tree.FOLDERS))
FILES = {f"{tree.PLACE}/{name}": content for name, content in tree.files().items()}


def steps(needs: Needs) -> tuple[Step, ...]:
    """The step ``tree``, whatever the recipe asks for."""
    del needs
    paths = (AtPath(path, sudo=True) for path in (*FOLDERS, *FILES))
    facts: tuple[Fact[Any], ...] = (services.FACT, *paths)
    return (Step("tree", facts, None, (_copied, _served), ("docker",)),)


def _copied(host: Host) -> Iterator[Command]:
    for path in FOLDERS:
        yield from files.directory(host, path, sudo=True, owner="root:root")
    for path, content in FILES.items():
        yield from files.file(host, path, content, sudo=True, owner="root:root")


def _served(host: Host) -> Iterator[Command]:
    if not services.unit(host, services.CONTAINERD).running:
        yield Command("systemctl", "enable", "--now", services.CONTAINERD, sudo=True)

"""The agent on a host."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from provisioning.command import Command, Fact, quote
from provisioning.facts.agents import Agents
from provisioning.facts.paths import AtPath
from provisioning.facts.python import Pythons, usable
from provisioning.host import Host
from provisioning.operations import files, workdir

CURRENT = "current"


def shipped(host: Host, name: str, archive: bytes) -> Iterator[Command]:
    """The agent *name* lies in the working folder, and ``agent/current`` runs it.

    The name holds the archive's hash, so one that is there is never sent again. Older ones stay:
    a run that is going on may still read its own.

    Raises:
        HostError: the host's Python is missing or too old.
    """
    host.gather(*facts(host))
    python = usable(host.fact(Pythons), host.name)
    yield from workdir.prepared(host)
    if name not in host.fact(Agents):
        yield files.write(host.path("agent", name), archive, 0o600)
    start = quote(python.path, "-I", "-S", host.path("agent", name))
    script = f'#!/bin/sh\nexec {start} "$@"\n'
    yield from files.file(host, host.path("agent", CURRENT), script, 0o700)


def facts(host: Host) -> tuple[Fact[Any], ...]:
    """What `shipped` asks; gather it with other facts to save an exchange."""
    return (Pythons(), Agents(), AtPath(host.path("agent", CURRENT)), *workdir.facts(host))

"""Our folder on a host."""

from __future__ import annotations

from collections.abc import Iterator

from provisioning.command import Command
from provisioning.facts.paths import AtPath
from provisioning.host import Host
from provisioning.operations import files

FOLDERS = ("agent", "calibration", "engines", "runs")
PRIVATE = 0o700  # results and engine logs are nobody else's


def prepared(host: Host) -> Iterator[Command]:
    """The working folder and those in it are there; what is in it is for us alone."""
    host.gather(*facts(host))
    if host.fact(AtPath(host.workdir)) is None:
        yield files.make(host.workdir, PRIVATE)  # one that is there may be more than ours
    for folder in FOLDERS:
        yield from files.directory(host, host.path(folder), PRIVATE)


def facts(host: Host) -> tuple[AtPath, ...]:
    """What `prepared` asks; gather it with other facts to save an exchange."""
    return (AtPath(host.workdir), *(AtPath(host.path(folder)) for folder in FOLDERS))

"""A model made out of another: what that needs on the host, and the making itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from provisioning import conversions
from provisioning.command import Command, Fact
from provisioning.conversions import Conversion, Source
from provisioning.facts.model_folder import ModelFolder
from provisioning.host import Host
from provisioning.operations import files, python_env


def there(host: Host, wanted: Conversion) -> bool:
    """Whether it is made already."""
    source = wanted.source(host)
    return source is not None and wanted.name(source) in host.fact(wanted.made)


def installer(host: Host, wanted: Conversion) -> Iterator[Command]:
    """What makes the converter's environment is there; nothing where the model is."""
    if not there(host, wanted):
        yield from python_env.fetched(host, wanted.tool, wanted.environment)


def equipped(host: Host, wanted: Conversion) -> Iterator[Command]:
    """The environment of the converter is there; nothing where the model is."""
    if not there(host, wanted):
        yield from python_env.made(host, wanted.tool, wanted.environment)


def prepared(host: Host, wanted: Conversion, source: Source) -> Iterator[Command]:
    """Program and task are on the host."""
    job = wanted.job(source)
    for folder in (wanted.made.folder, job.rpartition("/")[0]):
        yield from files.directory(host, folder, 0o755)
    yield from files.directory(host, job, 0o700)
    yield from files.file(host, wanted.program, conversions.program(), 0o644)
    yield from files.file(host, f"{job}/task.json", wanted.task(source), 0o600)


def started(wanted: Conversion, source: Source) -> Iterator[Command]:
    """It is being made; one that is already goes on."""
    python = f"{wanted.environment}/bin/python"
    shown = f"start the conversion of {wanted.origin} to {wanted.scheme}"
    argv = (python, "-I", "-s", wanted.program, "start", wanted.job(source))
    yield Command(*argv, shown=shown)


def facts(wanted: Conversion) -> tuple[Fact[Any], ...]:
    """What is asked beforehand."""
    origin: Fact[Any] = wanted.hub.cached if wanted.hub else ModelFolder(wanted.origin)
    return (origin, wanted.made, *python_env.facts(wanted.environment))

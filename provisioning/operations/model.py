"""A model in the cache of a host: what its download needs there, and the download itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from provisioning import models
from provisioning.command import Command, Fact, Secret
from provisioning.facts.paths import AtPath
from provisioning.host import Host
from provisioning.host_schema import PythonPackages
from provisioning.models import HubModel
from provisioning.operations import files, python_env
from provisioning.versions import HUB_TOOL

# The token is on disk for the moment until the downloader has read it, whatever happens.
_START = """
umask 077
trap 'rm -f "$3/token"' EXIT
trap 'exit 1' HUP INT TERM PIPE
rm -f "$3/token" && cat >"$3/token" && "$1" -I -s "$2" start "$3"
"""


def prepared(host: Host, model: HubModel) -> Iterator[Command]:
    """Downloader and task are on the host; nothing where the model is, or is on its way."""
    if _settled(host, model):
        return
    yield from files.directory(host, model.home, 0o755)
    yield from files.directory(host, f"{model.home}/dyno", 0o755)
    yield from files.directory(host, model.folder, 0o700)
    yield from files.file(host, model.program, models.program(), 0o644)
    yield from files.file(host, f"{model.folder}/task.json", model.task, 0o600)


def installer(host: Host, model: HubModel) -> Iterator[Command]:
    """What makes the downloader's environment is there; nothing where that is not needed."""
    if not _settled(host, model):
        yield from python_env.fetched(host, _tool(model), model.tool)


def equipped(host: Host, model: HubModel) -> Iterator[Command]:
    """The environment of the downloader is there; nothing where it is not needed."""
    if not _settled(host, model):
        yield from python_env.made(host, _tool(model), model.tool)


def started(host: Host, model: HubModel, token: Secret | None) -> Iterator[Command]:
    """The download runs; the *token* goes to it alone."""
    if not _settled(host, model):
        yield Command.shell(
            _START,
            f"{model.tool}/bin/python",
            model.program,
            model.folder,
            stdin=token or b"",
            shown=f"start the download of {model.name}",
        )


def stopped(host: Host, model: HubModel) -> Iterator[Command]:
    """No download of *model* runs; what it has brought stays."""
    if host.fact(model.download).state == "running":
        python = f"{model.tool}/bin/python"
        shown = f"stop the download of {model.name}"
        yield Command(python, "-I", "-s", model.program, "stop", model.folder, shown=shown)


def facts(model: HubModel) -> tuple[Fact[Any], ...]:
    """What all of these ask."""
    paths = (
        model.home,
        f"{model.home}/dyno",
        model.folder,
        model.program,
        f"{model.folder}/task.json",
    )
    return (model.cached, model.download, *map(AtPath, paths), *python_env.facts(model.tool))


def _settled(host: Host, model: HubModel) -> bool:
    host.gather(*facts(model))
    running = host.fact(model.download).state == "running"
    return running or host.fact(model.cached).complete


def _tool(model: HubModel) -> PythonPackages:
    return PythonPackages(packages=list(HUB_TOOL), index_url=model.index_url)

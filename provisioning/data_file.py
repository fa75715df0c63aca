"""The file that a workload reads: found here, brought to the host, named by its hash."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from bench_agent.protocol import Workload
from provisioning.command import Command
from provisioning.errors import UsageError
from provisioning.facts.paths import AtPath
from provisioning.host import Host
from provisioning.operations import files
from provisioning.recipe_schema import Recipe

#: The workload's option that names it, and the folder on the host.
OPTION = "path"
FOLDER = "files"
_MOST_BYTES = 64 * 2**20
_ODD = re.compile(r"[^A-Za-z0-9._-]+")
_MODE, _FOLDER_MODE = 0o600, 0o700


@dataclass(frozen=True)
class DataFile:
    """A file at the controller, as it was read; `path` is absolute."""

    path: Path
    content: bytes

    @cached_property
    def sha256(self) -> str:
        """The hash of its content."""
        return hashlib.sha256(self.content).hexdigest()

    def on(self, host: Host) -> str:
        """Its path on *host*."""
        return host.path(FOLDER, f"{self.sha256[:12]}-{_ODD.sub('_', self.path.name)[-64:]}")

    def about(self) -> dict[str, Any]:
        """What the manifest should know of it."""
        return {"name": self.path.name, "sha256": self.sha256, "bytes": len(self.content)}


def find(recipe: Recipe) -> DataFile | None:
    """The file of the recipe's workload, if it names one: beside the recipe, or in this folder.

    Raises:
        UsageError: there is none, it cannot be read, or is too large to be brought to a host.
    """
    named = recipe.load.workload.options.get(OPTION)
    if named is None:
        return None
    key = f"load.workload.options.{OPTION}"
    if not isinstance(named, str) or not named:
        raise UsageError(f"{key}: must be the path of a file, got {named!r}.")
    places = [folder / Path(named).expanduser() for folder in (recipe.folder, Path.cwd()) if folder]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        looked = " and ".join(dict.fromkeys(str(place.parent) for place in places))
        raise UsageError(f"{key}: there is no file {named} (looked in {looked}).", "Correct it.")
    return DataFile(path.resolve(), _read(path, key))


def shipped(host: Host, data: DataFile) -> Iterator[Command]:
    """*data* lies on the host."""
    yield from files.directory(host, host.path(FOLDER), _FOLDER_MODE)
    yield from files.file(host, data.on(host), data.content, _MODE)


def facts(host: Host, data: DataFile) -> tuple[AtPath, ...]:
    """What `shipped` asks; gather it with other facts to save an exchange."""
    return (AtPath(host.path(FOLDER)), AtPath(data.on(host)))


def reading(workload: Workload, path: str) -> Workload:
    """*workload*, reading its file at *path*."""
    return replace(workload, options=workload.options | {OPTION: path})


def _read(path: Path, key: str) -> bytes:
    try:
        size = path.stat().st_size
        if size <= _MOST_BYTES:
            return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{key}: {path} cannot be read: {error.strerror}.") from None
    raise UsageError(
        f"{key}: {path} has {size / 2**20:.0f} MiB; {_MOST_BYTES // 2**20} are the most that is "
        "brought to a host.",
        "Keep the part of it that the load needs.",
    )

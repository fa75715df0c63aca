"""Steps that write files, on this machine: what they do can be seen without root."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from provisioning.command import Command, Fact
from provisioning.deploys.step import Step
from provisioning.host import Host
from provisioning.remote import LocalRemote


@dataclass(frozen=True)
class There(Fact[bool]):
    """Whether a file is in the working folder."""

    name: str

    @property
    def command(self) -> Command:
        """Look for it."""
        return Command.shell('[ ! -e "$DYNO_WORKDIR/$1" ] || echo yes', self.name)

    def parse(self, stdout: str) -> bool:
        """Read ``yes`` or nothing."""
        return bool(stdout.strip())


def touch(name: str) -> Command:
    """Make the file."""
    return Command.shell('touch "$DYNO_WORKDIR/$1"', name, shown=f"touch {name}")


def touched(name: str) -> Callable[[Host], Iterator[Command]]:
    """An operation: the file *name* is there."""

    def operation(host: Host) -> Iterator[Command]:
        if not host.fact(There(name)):
            yield touch(name)

    return operation


def step(name: str, *after: str, **more: object) -> Step:
    """A step that makes a file of its own name."""
    values = {"facts": (There(name),), "operations": (touched(name),), "after": after} | more
    return Step(name, **values)  # type: ignore[arg-type] # by name


def here(folder: Path) -> Host:
    """This machine, *folder* being the working folder."""
    return Host(LocalRemote(folder), str(folder), who="me")

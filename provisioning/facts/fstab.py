"""What is mounted at boot."""

from __future__ import annotations

from dataclasses import dataclass

from provisioning.command import Command, Fact

#: An option that programs pass over: the line is ours.
OURS = "x-llm-dyno"


@dataclass(frozen=True)
class Entry:
    """A line that mounts something; `source` as it stands there, ``UUID=…`` or a path."""

    source: str
    folder: str
    filesystem: str
    options: tuple[str, ...]

    @property
    def ours(self) -> bool:
        """Whether we wrote it."""
        return OURS in self.options


class Fstab(Fact[tuple[Entry, ...]]):
    """The entries of ``/etc/fstab``; none where there is no such file."""

    command = Command.shell("[ ! -e /etc/fstab ] || cat /etc/fstab", shown="read /etc/fstab")

    def parse(self, stdout: str) -> tuple[Entry, ...]:
        """Read the lines that say something; those that no program understands are passed over."""
        rows = (line.split() for line in stdout.splitlines() if not line.lstrip().startswith("#"))
        return tuple(_entry(row) for row in rows if len(row) >= 3)


def _entry(row: list[str]) -> Entry:
    options = row[3] if len(row) > 3 else "defaults"
    folder = row[1].replace(r"\040", " ")
    return Entry(row[0], folder.rstrip("/") or "/", row[2], tuple(options.split(",")))

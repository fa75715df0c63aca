"""What is mounted where."""

from __future__ import annotations

from dataclasses import dataclass

from provisioning.command import Command, Fact


@dataclass(frozen=True)
class Mount:
    """A file system at a folder: what was mounted, and how."""

    folder: str
    filesystem: str
    source: str
    read_only: bool


class Mounts(Fact[tuple[Mount, ...]]):
    """All mounts, in the kernel's order: a later one at the same folder hides an earlier one."""

    command = Command("cat", "/proc/self/mountinfo")

    def parse(self, stdout: str) -> tuple[Mount, ...]:
        """Read the kernel's table: blanks in names are octal, a lone dash divides the fields."""
        return tuple(_mount(line) for line in stdout.splitlines() if line.strip())


def at(mounts: tuple[Mount, ...], path: str) -> Mount | None:
    """The mount that *path* (absolute) is on; None in an empty table."""
    on = [m for m in mounts if path == m.folder or path.startswith(m.folder.rstrip("/") + "/")]
    longest = max((len(mount.folder) for mount in on), default=0)
    return next((mount for mount in reversed(on) if len(mount.folder) == longest), None)


def _mount(line: str) -> Mount:
    left, _, right = line.partition(" - ")
    folder, flags = left.split()[4:6]
    filesystem, source, super_flags = right.split()[:3]
    read_only = "ro" in flags.split(",") or "ro" in super_flags.split(",")
    return Mount(_plain(folder), filesystem, _plain(source), read_only)


def _plain(text: str) -> str:
    for code, character in ((r"\040", " "), (r"\011", "\t"), (r"\012", "\n"), (r"\134", "\\")):
        text = text.replace(code, character)
    return text

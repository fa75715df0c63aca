"""A model that lies in a folder of its own."""

from __future__ import annotations

from dataclasses import dataclass

from provisioning.command import Command, Fact

_ASK = r"""
[ -d "$1" ] || exit 0
cd "$1" || { echo closed; exit 0; }
sha256sum config.json 2>/dev/null || echo -
find -L . -type f -printf '%s\n'
"""


@dataclass(frozen=True)
class Folder:
    """How much lies there; `config_sha256` is of its ``config.json``, empty without one."""

    bytes: int
    files: int
    config_sha256: str = ""


@dataclass(frozen=True)
class ModelFolder(Fact[Folder | None]):
    """The model in the folder *path*; None when there is none that we may read."""

    path: str

    @property
    def command(self) -> Command:
        """Count its files and hash its configuration."""
        return Command.shell(_ASK, self.path, shown=f"look at the model in {self.path}")

    def parse(self, stdout: str) -> Folder | None:
        """Read a line with a hash, and a size on each line after it."""
        head, *sizes = stdout.splitlines() or ["closed"]
        if head == "closed":
            return None
        config = head.split()[0].strip("-")
        return Folder(sum(map(int, sizes)), len(sizes), config)

"""What stands at a path, whether it holds anything, and where it leads."""

from __future__ import annotations

from dataclasses import dataclass

from provisioning.command import Command, Fact

_ASK = """
if [ -L "$1" ]; then printf 'link %s\\n' "$(readlink "$1")"
elif [ -d "$1" ]; then
  if [ -n "$(ls -A "$1" 2>/dev/null)" ]; then echo filled; else echo empty; fi
elif [ -e "$1" ]; then echo other
else echo nothing; fi
"""


@dataclass(frozen=True)
class Place(Fact[str]):
    """``nothing``, ``empty`` or ``filled`` (a folder), ``link TARGET`` or ``other``."""

    path: str
    sudo: bool = False

    @property
    def command(self) -> Command:
        """Look, without following a link."""
        return Command.shell(_ASK, self.path, sudo=self.sudo, shown=f"look into {self.path}")

    def parse(self, stdout: str) -> str:
        """Read the one line."""
        return stdout.strip()

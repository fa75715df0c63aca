"""How much room there is for a folder."""

from __future__ import annotations

from dataclasses import dataclass

from provisioning.command import Command, Fact

_ASK = """
d=$1
until [ -e "$d" ]; do d=${d%/*}; d=${d:-/}; done
df -Pk "$d"
"""


@dataclass(frozen=True)
class Space(Fact[int]):
    """Bytes free for us where the folder `path` (absolute) is, or will be."""

    path: str

    @property
    def command(self) -> Command:
        """Ask for the first folder above that exists."""
        return Command.shell(_ASK, self.path, shown=f"df of {self.path}")

    def parse(self, stdout: str) -> int:
        """Read the fourth column of the last line of ``df -Pk``: KiB, and mounts hold blanks."""
        return int(stdout.splitlines()[-1].partition("% ")[0].split()[-2]) * 1024

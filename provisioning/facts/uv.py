"""The tool that makes virtual environments."""

from __future__ import annotations

from dataclasses import dataclass

from provisioning.command import Command, Fact


@dataclass(frozen=True)
class Uv(Fact[bool]):
    """Whether our uv lies at `path` below the working folder; it is whole if it is there."""

    path: str

    @property
    def command(self) -> Command:
        """Look for a program."""
        script = '[ ! -x "$DYNO_WORKDIR/$1" ] || echo there'
        return Command.shell(script, self.path, shown=f"look for {self.path}")

    def parse(self, stdout: str) -> bool:
        """Read ``there``, or nothing."""
        return bool(stdout.strip())

"""What we wrote down on the host ourselves."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from provisioning.command import Command, Fact


@dataclass(frozen=True)
class Record(Fact[dict[str, Any] | None]):
    """The JSON object in the working folder at `name`; None when there is none, or it is torn."""

    name: str

    @property
    def command(self) -> Command:
        """Read it, if it is there."""
        script = '[ ! -e "$DYNO_WORKDIR/$1" ] || cat "$DYNO_WORKDIR/$1"'
        return Command.shell(script, self.name, shown=f"read {self.name}")

    def parse(self, stdout: str) -> dict[str, Any] | None:
        """Read the object."""
        try:
            said = json.loads(stdout)
        except ValueError:
            return None
        return said if isinstance(said, dict) else None

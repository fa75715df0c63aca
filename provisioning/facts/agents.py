"""Which agent archives lie on the host."""

from __future__ import annotations

from provisioning.command import Command, Fact


class Agents(Fact[frozenset[str]]):
    """File names of the agents in the working folder; each name holds its archive's hash."""

    command = Command.shell('ls -1 "$DYNO_WORKDIR/agent" 2>/dev/null || :', shown="list agents")

    def parse(self, stdout: str) -> frozenset[str]:
        """Keep the archives only: not what an upload that broke off left behind."""
        return frozenset(name for name in stdout.splitlines() if name.endswith(".pyz"))

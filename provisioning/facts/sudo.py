"""Whether our user may become root."""

from __future__ import annotations

from provisioning.command import Command, Fact


class Sudo(Fact[bool]):
    """Always true: where our user may not become root, asking is a `HostError`."""

    lasting = True
    command = Command("echo", "root", sudo=True, shown="see whether we may become root")

    def parse(self, stdout: str) -> bool:
        """Read what only root said."""
        return stdout.strip() == "root"

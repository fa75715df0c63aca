"""Which TCP ports the host listens on."""

from __future__ import annotations

from provisioning.command import Command, Fact

_LISTEN = "0A"


class PortsInUse(Fact[frozenset[int]]):
    """TCP ports with a listener, on whatever address, IPv4 and IPv6."""

    command = Command.shell("cat /proc/net/tcp /proc/net/tcp6 2>/dev/null || :", shown="list ports")

    def parse(self, stdout: str) -> frozenset[int]:
        """Read the kernel's table: local address in column 2, state in column 4."""
        rows = [line.split() for line in stdout.splitlines() if ":" in line]
        return frozenset(int(r[1].rpartition(":")[2], 16) for r in rows if r[3] == _LISTEN)

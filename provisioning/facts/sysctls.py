"""Settings of the kernel."""

from __future__ import annotations

from dataclasses import dataclass

from provisioning.command import Command, Fact

# grep names the file of each line; one that cannot be read is passed over.
_ASK = 'cd /proc/sys && { grep -H "" -- "$@" 2>/dev/null || :; }'


@dataclass(frozen=True)
class Sysctls(Fact[dict[str, str]]):
    """Values by path below /proc/sys (``vm/swappiness``), of those in `paths` that there are.

    Asked by root, for some are nobody else's to read. Numbers in one value stand a blank apart.
    """

    paths: tuple[str, ...]

    @property
    def command(self) -> Command:
        """Read all of them at once."""
        return Command.shell(_ASK, *self.paths, sudo=True, shown="read kernel settings")

    def parse(self, stdout: str) -> dict[str, str]:
        """Read lines of ``path:value``."""
        rows = (line.partition(":") for line in stdout.splitlines())
        return {path: " ".join(value.split()) for path, _, value in rows}

"""The key of a package archive that we brought to the host."""

from __future__ import annotations

from dataclasses import dataclass

from provisioning.command import Command, Fact

#: Our files are named apart from everybody else's.
KEYRINGS = "/etc/apt/keyrings"
_ASK = """
[ -r "$1" ] && [ -r "$1.verified" ] || exit 0
read -r fingerprint sum <"$1.verified"
[ "$(sha256sum <"$1" | cut -c 1-64)" != "$sum" ] || echo "$fingerprint"
"""


@dataclass(frozen=True)
class AptKey(Fact[str | None]):
    """The fingerprint with which the key of archive `name` was verified.

    None when there is no such key, or another one lies there now.
    """

    name: str

    @property
    def path(self) -> str:
        """Where it lies; what it was verified with lies beside it, in ``….verified``."""
        return f"{KEYRINGS}/llm-dyno-{self.name}.asc"

    @property
    def command(self) -> Command:
        """Compare its hash with that of the key that was verified."""
        return Command.shell(_ASK, self.path, shown=f"look at the key of {self.name}")

    def parse(self, stdout: str) -> str | None:
        """Read the fingerprint."""
        return stdout.strip() or None

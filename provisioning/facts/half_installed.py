"""Debian packages that an interruption left half way."""

from __future__ import annotations

from provisioning.command import Fact
from provisioning.facts.deb_packages import DebPackages

# dpkg's second letter: unpacked, half configured, half installed, triggers awaited or pending.
_HALF_WAY = "UFHWt"


class HalfInstalled(Fact[tuple[str, ...]]):
    """Packages that are unpacked, half configured or half installed."""

    command = DebPackages.command
    when_missing = ()

    def parse(self, stdout: str) -> tuple[str, ...]:
        """Read lines of status (wanted, is, error), name and version."""
        rows = (line.split("\t") for line in stdout.splitlines())
        return tuple(name for status, name, _ in rows if status[1:2] in _HALF_WAY)

"""Which Debian packages are installed."""

from __future__ import annotations

from provisioning.command import Command, Fact

_FORMAT = "${db:Status-Abbrev}\\t${Package}\\t${Version}\\n"


class DebPackages(Fact[dict[str, str]]):
    """Versions by package, of those that are installed as a whole; empty without dpkg.

    One that an interruption left unpacked or half configured is not installed.
    """

    command = Command("dpkg-query", "-W", f"-f={_FORMAT}", shown="dpkg-query -W")
    when_missing: dict[str, str] = {}  # noqa: RUF012 - an answer, never changed

    def parse(self, stdout: str) -> dict[str, str]:
        """Read lines of status (wanted, is, error), name and version."""
        rows = (line.split("\t") for line in stdout.splitlines())
        return {name: version for status, name, version in rows if status[1:].rstrip() == "i"}

"""Whether commands that change the host are at work there, of a `fab` that may be gone."""

from __future__ import annotations

from provisioning.command import Command, Fact

# Each script of changes holds the folder's lock (shared) for as long as it runs: see exchange.py.
_ASK = """
[ -d "$DYNO_WORKDIR" ] && command -v flock >/dev/null || exit 0
flock -n -x "$DYNO_WORKDIR" true || echo yes
"""


class Changing(Fact[bool]):
    """Whether a script of changes runs in this working folder."""

    command = Command.shell(_ASK, shown="see whether changes are being made")

    def parse(self, stdout: str) -> bool:
        """Read ``yes`` or nothing."""
        return bool(stdout.strip())

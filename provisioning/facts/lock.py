"""Who is using the host."""

from __future__ import annotations

import json
from dataclasses import dataclass

from provisioning.command import Command, Fact

_ASK = """
[ -e "$DYNO_WORKDIR/lock/owner.json" ] || exit 0
cat "$DYNO_WORKDIR/lock/owner.json" 2>/dev/null || echo '{}'
"""


@dataclass(frozen=True)
class Owner:
    """Who holds the lock, for which run, since when (RFC 3339)."""

    who: str
    run_id: str
    since: str


class LockOwner(Fact[Owner | None]):
    """The lock's owner; None when it is free. A lock without an owner is somebody's still."""

    command = Command.shell(_ASK, shown="read the lock")

    def parse(self, stdout: str) -> Owner | None:
        """Read ``owner.json``."""
        if not stdout.strip():
            return None
        try:
            said = json.loads(stdout)
        except ValueError:
            said = None
        said = said if isinstance(said, dict) else {}
        return Owner(*(str(said.get(key, "unknown")) for key in ("who", "run_id", "since")))

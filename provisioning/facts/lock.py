"""Who is using the host."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

from provisioning.command import Command, Fact

#: A lease that was not renewed for so long has ended.
LEASE_S = 40

# The first line: this boot, its age in seconds, the boot and age at which the lock was renewed.
_ASK = """
cd "$DYNO_WORKDIR/lock" 2>/dev/null && [ -e owner.json ] || exit 0
read -r boot </proc/sys/kernel/random/boot_id
IFS='. ' read -r now rest </proc/uptime
read -r then beat 2>/dev/null <beat || :
echo "$boot $now ${then:--} ${beat:--}"
cat owner.json 2>/dev/null || echo '{}'
"""


@dataclass(frozen=True)
class Owner:
    """Who holds the lock, for which run, since when (RFC 3339).

    A `lease` has to be renewed while its `controller` (a process, by `holding.ourselves`) lives;
    any other lock is its run's until it is released. `left` says why nobody holds it any more;
    `beat` and `silent_s` tell when it was renewed, by the host's own clock since its boot.
    """

    who: str
    run_id: str
    since: str
    lease: bool = False
    controller: str = ""
    left: str = ""
    beat: int = field(default=0, compare=False)
    silent_s: int = field(default=0, compare=False)

    def said(self) -> dict[str, Any]:
        """What stands in the lock."""
        about: dict[str, Any] = {"who": self.who, "run_id": self.run_id, "since": self.since}
        return about | ({"lease": True, "controller": self.controller} if self.lease else {})


class LockOwner(Fact[Owner | None]):
    """The lock's owner; None when it is free. A lock without an owner is somebody's still."""

    command = Command.shell(_ASK, shown="read the lock")

    def parse(self, stdout: str) -> Owner | None:
        """Read the line of times, then ``owner.json``."""
        times, _, text = stdout.partition("\n")
        if not times.strip():
            return None
        try:
            said = json.loads(text)
        except ValueError:
            said = None
        return _aged(_owner(said if isinstance(said, dict) else {}), times)


def _owner(said: dict[str, Any]) -> Owner:
    who, run_id, since = (str(said.get(key, "unknown")) for key in ("who", "run_id", "since"))
    return Owner(who, run_id, since, bool(said.get("lease")), str(said.get("controller", "")))


def _aged(owner: Owner, times: str) -> Owner:
    boot, now, then, beat = times.split()
    if then == "-" or not beat.isdigit():
        return owner
    if then != boot:
        return replace(owner, left="the host was started anew since")
    silent_s = int(now) - int(beat)
    owner = replace(owner, beat=int(beat), silent_s=silent_s)
    if owner.lease and silent_s > LEASE_S:
        return replace(owner, left=f"nobody has renewed it for {silent_s} s")
    return owner

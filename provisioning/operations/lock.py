"""The lock of a host: one run at a time, for two loads on one GPU measure nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import partial

from provisioning import controller
from provisioning.command import Command
from provisioning.errors import CommandError, HostError
from provisioning.facts.lock import LEASE_S, LockOwner, Owner
from provisioning.host import Host

# Renamed to its place with its owner in it: a full disk or a crash leaves no lock of nobody's,
# and a rename fails where a lock with an owner is. One that was left ($1 is its run) is moved
# away first; two that do so take turns.
_TAKE = """
umask 077
mkdir -p "$DYNO_WORKDIR" && cd "$DYNO_WORKDIR" && new=$(mktemp -d lock.XXXXXX) || exit
trap 'rm -rf "$new"' EXIT
cat >"$new/owner.json" || exit
read -r boot </proc/sys/kernel/random/boot_id
IFS='. ' read -r now rest </proc/uptime
echo "$boot $now" >"$new/beat" || exit
exec 8>>audit.log
flock -x 8 2>/dev/null || :
if [ "$1" = unknown ] || { [ -n "$1" ] && grep -qsF "\\"$1\\"" lock/owner.json; }; then
  mv lock "$new/old"
fi
mv -T "$new" lock && rm -rf lock/old
"""
# Looked at again, for what we know may be old; renamed first, for removing is not atomic.
_RELEASE = """
cd "$DYNO_WORKDIR" || exit
[ "$1" = unknown ] || grep -qF "\\"$1\\"" lock/owner.json || exit 0
mv lock "lock.$$" && rm -rf "lock.$$"
"""
_RETURN = """
cd "$DYNO_WORKDIR" && grep -qsF "\\"$1\\"" lock/owner.json || exit 0
grep -qsF '"lease": true' lock/owner.json || exit 0
mv lock "lock.$$" && rm -rf "lock.$$"
"""
_KEEP = """
umask 077
cd "$DYNO_WORKDIR/lock" && grep -qF "\\"$1\\"" owner.json || exit
new=$(mktemp owner.XXXXXX) && cat >"$new" && mv -f "$new" owner.json
"""
#: A folder of a network that hangs must not hang `fab`.
TIMEOUT_S = 30.0


def acquire(host: Host, owner: Owner, note: Callable[[str], None] | None = None) -> bool:
    """Take the lock for *owner*; its own run may take it again. True if something was done.

    One that somebody left behind is taken over, which *note* is told.

    Raises:
        HostError: another run has it; says who, since when, and what to do.
    """
    found = host.fact(LockOwner)
    if note and found and found.run_id != owner.run_id and (why := left(found)):
        note(f"Taking over the lock of {found.who} (since {found.since}): {why}.")
    try:
        return host.apply(taken, owner)
    except CommandError:
        # Somebody may have been faster, between our question and our mkdir.
        require_free(host, owner.run_id)
        raise


def taken(host: Host, owner: Owner) -> Iterator[Command]:
    """The lock is *owner*'s, leased or for good as it says."""
    held = require_free(host, owner.run_id)
    if held is None or left(held):
        before = held.run_id if held else ""
        text = json.dumps(owner.said()) + "\n"
        shown = f"take the lock for {owner.run_id}"
        explain = partial(_explained, host.workdir)
        yield Command.shell(
            _TAKE, before, stdin=text, shown=shown, explain=explain, timeout_s=TIMEOUT_S
        )
    elif held.lease and not owner.lease:
        yield kept(owner)


def released(host: Host, run_id: str) -> Iterator[Command]:
    """The lock is not *run_id*'s; somebody else's is left alone."""
    owner = host.fact(LockOwner)
    if owner is not None and owner.run_id == run_id:
        shown = f"release the lock of {run_id}"
        yield Command.shell(_RELEASE, run_id, shown=shown, timeout_s=TIMEOUT_S)


def kept(owner: Owner) -> Command:
    """Make a lock that is leased for *owner* its own."""
    text = json.dumps(owner.said()) + "\n"
    shown = f"keep the lock for {owner.run_id}"
    return Command.shell(_KEEP, owner.run_id, stdin=text, shown=shown, timeout_s=TIMEOUT_S)


def returned(run_id: str) -> Command:
    """End the lease of *run_id*; a lock that is its own by now is left alone."""
    shown = f"return the lock of {run_id}"
    return Command.shell(_RETURN, run_id, shown=shown, timeout_s=TIMEOUT_S)


def left(owner: Owner) -> str:
    """Why *owner* holds the lock no more; empty when it does."""
    if owner.left or not owner.lease or not controller.gone(owner.controller):
        return owner.left
    return "its `fab`, on this machine, is gone"


def require_free(host: Host, run_id: str) -> Owner | None:
    """Who has the lock, if that is *run_id* or one that is gone; None when it is free.

    Raises:
        HostError: another has it; says who, since when, and what to do.
    """
    owner = host.fact(LockOwner)
    if owner is None or left(owner) or owner.run_id == run_id:
        return owner
    raise _refusal(host, owner)


def _explained(workdir: str, said: str) -> tuple[str, str] | None:
    """What keeps a lock from being taken that is nobody's doing."""
    for pattern, what, advice in _TROUBLE:
        if re.search(pattern, said):
            return what.format(workdir), advice
    return None


_TROUBLE = (
    (
        r"No space left on device|Disk quota exceeded",
        "There is no space left for {} on the host.",
        "Make room there, or set the stack's workdir to a folder on a larger disk.",
    ),
    (
        r"Permission denied|Read-only file system|Operation not permitted",
        "Our user may not write to {} on the host.",
        "Give that folder to it, or set the stack's workdir to another one.",
    ),
)


def _refusal(host: Host, owner: Owner) -> HostError:
    if owner.lease:
        return HostError(
            f"{host.name} is in use by {owner.who} since {owner.since} ({owner.run_id}).",
            f"Wait until that is over. If it was cut off, its lock ends {LEASE_S} s after its last "
            "sign of life.",
            host=host.name,
        )
    return HostError(
        f"{host.name} is in use by {owner.who} since {owner.since} (run {owner.run_id}).",
        f"Wait for it, join it with `fab attach`, or end it with `fab stop`. If that run is surely "
        f"gone, remove {host.path('lock')} on the host.",
        host=host.name,
    )

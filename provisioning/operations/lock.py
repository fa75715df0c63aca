"""The lock of a host: one run at a time, for two loads on one GPU measure nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict

from provisioning.command import Command
from provisioning.errors import CommandError, HostError
from provisioning.facts.lock import LockOwner, Owner
from provisioning.host import Host

# Renamed to its place with its owner in it: a full disk or a crash leaves no lock of nobody's,
# and a rename fails where a lock with an owner is.
_TAKE = """
umask 077
mkdir -p "$DYNO_WORKDIR" && cd "$DYNO_WORKDIR" && new=$(mktemp -d lock.XXXXXX) || exit
trap 'rm -rf "$new"' EXIT
cat >"$new/owner.json" && mv -T "$new" lock
"""
# Looked at again, for what we know may be old; renamed first, for removing is not atomic.
_RELEASE = """
cd "$DYNO_WORKDIR" || exit
[ "$1" = unknown ] || grep -qF "\\"$1\\"" lock/owner.json || exit 0
mv lock "lock.$$" && rm -rf "lock.$$"
"""


def acquire(host: Host, owner: Owner) -> bool:
    """Take the lock for *owner*; its own run may take it again. True if it was free.

    Raises:
        HostError: another run has it; says who, since when, and what to do.
    """
    try:
        return host.apply(taken, owner)
    except CommandError:
        # Somebody may have been faster, between our question and our mkdir.
        _refuse_others(host, owner.run_id)
        raise


def taken(host: Host, owner: Owner) -> Iterator[Command]:
    """The lock is *owner*'s."""
    if not _refuse_others(host, owner.run_id):
        yield Command.shell(
            _TAKE,
            stdin=json.dumps(asdict(owner)) + "\n",
            shown=f"take the lock for {owner.run_id}",
        )


def released(host: Host, run_id: str) -> Iterator[Command]:
    """The lock is not *run_id*'s; somebody else's is left alone."""
    owner = host.fact(LockOwner)
    if owner is not None and owner.run_id == run_id:
        yield Command.shell(_RELEASE, run_id, shown=f"release the lock of {run_id}")


def _refuse_others(host: Host, run_id: str) -> bool:
    owner = host.fact(LockOwner)
    if owner is None:
        return False
    if owner.run_id == run_id:
        return True
    raise HostError(
        f"{host.name} is in use by {owner.who} since {owner.since} (run {owner.run_id}).",
        f"Wait for it, join it with `fab attach`, or end it with `fab stop`. If that run is surely "
        f"gone, remove {host.path('lock')} on the host.",
        host=host.name,
    )
